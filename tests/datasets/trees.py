"""Trees in the layout of each licensed data set, of tiny procedural images. They show nobody."""

import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl

from hmrm_lab.datasets.recordings.coding import simple
from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.datasets.recordings.reader import COLUMNS
from hmrm_lab.records import ClipKey

Rows = list[list[Any]]
EMOTIONS = {
    "casme2": (("disgust", "repression"), ("happiness",), ("surprise",)),
    "samm": (("Anger", "Contempt", "Fear"), ("Happiness",), ("Surprise",)),
}


LAYOUTS = tomllib.loads(Path(__file__).with_name("layouts.toml").read_text(encoding="utf-8"))
HEADERS = {name: layout["header"].split(",") for name, layout in LAYOUTS.items()}
ROLES = {simple(text): role.rstrip("?") for role, texts in COLUMNS.items() for text in texts}


def official(dataset: str) -> dict[ClipKey, int]:
    return {key: label for key, label in megc2019().items() if key.dataset == dataset}


def write_table(path: Path, rows: Iterable[Sequence[Any]], *, above: int = 0) -> Path:
    """A workbook or comma-separated text, with lines of text above the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [["terms of use"]] * above + [list(row) for row in rows]
    if path.suffix == ".csv":
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def ods_rows(rows: Iterable[Sequence[str | float]]) -> str:
    """Rows of text and numbers as XML of OpenDocument."""
    lines = []
    for row in rows:
        cells = []
        for cell in row:
            number = f'office:value-type="float" office:value="{cell}"'
            kind = 'office:value-type="string"' if isinstance(cell, str) else number
            cells.append(f"<table:table-cell {kind}><text:p>{cell}</text:p></table:table-cell>")
        lines.append(f"<table:table-row>{''.join(cells)}</table:table-row>")
    return "".join(lines)


def write_ods(path: Path, *sheets: str, before: str = "") -> None:
    """An OpenDocument workbook of sheets that are given as XML."""
    urn = "urn:oasis:names:tc:opendocument:xmlns"
    names = " ".join(f'xmlns:{name}="{urn}:{name}:1.0"' for name in ("office", "table", "text"))
    tables = "".join(
        f'<table:table table:name="Sheet{number}">{sheet}</table:table>'
        for number, sheet in enumerate(sheets)
    )
    body = f"<office:spreadsheet {names}>{tables}</office:spreadsheet>"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", before + body)


def write_frames(
    folder: Path, numbers: Iterable[int], name: str = "img{}.jpg", size: tuple[int, int] = (32, 24)
) -> None:
    """Images with these numbers; the first three differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, number in enumerate(numbers):
        path = folder / name.format(number)
        path.write_bytes(image_bytes(path.suffix, min(index, 2), size))


@cache
def image_bytes(suffix: str, step: int = 0, size: tuple[int, int] = (32, 24)) -> bytes:
    """A wave of width and height `size` that moves to the right by two pixels a step."""
    down, across = np.mgrid[: size[1], : size[0]]
    wave = 120 + 60 * np.sin((across - 2 * step) / 3) + 40 * np.cos(down / 4)
    image = np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()


def casme2_rows() -> Rows:
    """The clips of the official list, and one of another emotion; frames 46, 48 and 50."""
    rows = []
    for number, (key, label) in enumerate(official("casme2").items()):
        emotions = EMOTIONS["casme2"][label]
        rows.append([int(key.subject[3:]), key.clip, None, 46, 48, 50, None, "4+R12"])
        rows[-1].append(emotions[number % len(emotions)])
    return [*rows, [1, "EP03_02", None, 46, 48, 50, None, "1", "others"]]


def write_casme2(
    root: Path, rows: Rows | None = None, *, images: str = "Cropped", name: str = "reg_img{}.jpg"
) -> Path:
    rows = rows or casme2_rows()
    write_table(root / "CASME2-coding-20140508.xlsx", [HEADERS["casme2"], *rows])
    for subject, clip, _, onset, *_ in rows:
        write_frames(root / images / f"sub{int(subject):02d}" / clip, range(onset, onset + 5), name)
    return root


def write_smic(root: Path, keys: Iterable[ClipKey] | None = None) -> Path:
    """The cut clips; every third id is written with the short subject."""
    classes = {"ne": "negative", "po": "positive", "sur": "surprise"}
    for number, key in enumerate(keys or official("smic")):
        subject, code, take = key.clip.split("_")
        clip = f"s{int(subject[1:])}_{code}_{take}" if number % 3 == 0 else key.clip
        folder = root / "HS" / key.subject / "micro" / classes[code] / clip
        write_frames(folder, range(123, 126), "image{:06d}.bmp")
    return root


def samm_rows() -> Rows:
    """The clips of the official list, two of them with the published slip, and one 'Other'."""
    rows = []
    for number, (key, label) in enumerate(official("samm").items()):
        emotions = EMOTIONS["samm"][label]
        apex = 5561 if key.clip in ("028_4_1", "032_3_1") else 5563
        rows.append([key.subject, key.clip, None, 5562, apex, 5564, 3, "Micro - 1/2", "AU4"])
        rows[-1] += [emotions[number % len(emotions)], 1, None]
    other = ["006", "006_7_1", None, 1, 2, 3, 3, "Micro - 1/2", "AU4", "Other", 7, None]
    return [*rows, other]


def write_samm(root: Path, rows: Rows | None = None) -> Path:
    rows = rows or samm_rows()
    write_table(root / "SAMM_Micro_FACS_Codes_v2.xlsx", [HEADERS["samm"], *rows], above=13)
    for row in rows:
        subject = str(row[0]).zfill(3)
        write_frames(root / subject / row[1], range(row[3], row[3] + 3), subject + "_{:05d}.jpg")
    return root


def write_composite(root: Path) -> Path:
    write_casme2(root / "casme2")
    write_smic(root / "smic")
    write_samm(root / "samm")
    return root


def write_few(root: Path, name: str) -> Rows:
    rows: Rows = LAYOUTS[name]["few"]
    write_table(root / LAYOUTS[name]["file"], [HEADERS[name], *rows])
    return rows


def write_casme3(root: Path) -> Path:
    """Two expressions in one long video, of which one frame was dropped."""
    write_few(root, "casme3")
    numbers = [number for number in range(170, 200) if number != 176]
    write_frames(root / "spNO.1" / "b" / "color", numbers, "{}.jpg")
    write_frames(root / "spNO.2" / "a" / "color", range(0, 20), "{}.jpg")
    return root


def write_mmew(root: Path) -> Path:
    for row in write_few(root, "mmew"):
        write_frames(root / row[6] / row[1], range(1, 7), "{}.jpg")
    return root


def write_fourdme(root: Path) -> Path:
    """The second clip was cut and numbered from 1; its subject is written in another way."""
    for row in write_few(root, "fourdme"):
        numbers = range(1, 6) if row[1] == "S01_a_2" else range(row[3], row[5] + 1)
        write_frames(root / "gray_micro" / row[1][:3] / row[1], numbers, "{}.jpg")
    return root


def write_whole(root: Path, name: str) -> Path:
    """All clips of a data set, in its published format; their folders link to the same frames."""
    if name == "smic":
        return write_smic(root)
    whole, rows, header = LAYOUTS[name]["whole"], [], HEADERS[name]
    write_frames(root / "frames", range(1, 4), "{:05d}.png")
    listed = {
        role: [cell for cell, count in whole[role].items() for _ in range(count)]
        for role in {"emotion", "units", "objective"} & whole.keys()
    }
    for n in range(len(listed["emotion"])):
        cells: dict[str, Any] = {role: of[n % len(of)] for role, of in listed.items()}
        facts = {"n": n, "who": n % 26 + 1, "word": cells["emotion"].strip().lower()}
        cells |= {role: whole[role].format(**facts) for role in ("subject", "clip")}
        cells |= {"onset": 1, "apex": 2, "offset": 3, "fps": (500, 300, 200)[n % 3]}
        rows.append([cells.get(ROLES.get(simple(text), "")) for text in header])
        folder = root / whole["folder"].format(**facts)
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(root / "frames")
    write_table(root / LAYOUTS[name]["file"], [header, *rows], above=LAYOUTS[name].get("above", 0))
    return root
