"""Trees in the layout of each licensed data set, of tiny procedural images. They show nobody."""

import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openpyxl

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.records import ClipKey

Rows = list[list[Any]]
EMOTIONS = {
    "casme2": (("disgust", "repression"), ("happiness",), ("surprise",)),
    "samm": (("Anger", "Contempt", "Fear"), ("Happiness",), ("Surprise",)),
}


def columns(names: str) -> list[str]:
    return names.split(",")


CASME2_HEADER = columns("Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,AU,Estimated Emotion")
SMIC_HEADER = columns(
    "Subject,Filename,,OnsetF,OffsetF,Onset2F,Offset2F,,FirstF,LastF,TotalMF1,TotalMF2,TotalVL,"
    "Emotion"
)
SAMM_HEADER = columns(
    "Subject,Filename,Inducement Code,Onset Frame,Apex Frame,Offset Frame,Duration,Micro,"
    "Action Units,Estimated Emotion,Objective Classes,Notes"
)
CASME3_HEADER = columns("Subject,Filename,Onset,Apex,Offset,AU,Objective class,emotion")
MMEW_HEADER = columns("Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,AU,Estimated Emotion")
FOURDME_HEADER = columns("sub_ID,fold_name,Emotion,Onset,Apex,Offset,AUs")


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
    write_table(root / "CASME2-coding-20140508.xlsx", [CASME2_HEADER, *rows])
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
    write_table(root / "SAMM_Micro_FACS_Codes_v2.xlsx", [SAMM_HEADER, *rows], above=13)
    for row in rows:
        subject = str(row[0]).zfill(3)
        write_frames(root / subject / row[1], range(row[3], row[3] + 3), subject + "_{:05d}.jpg")
    return root


def write_composite(root: Path) -> Path:
    write_casme2(root / "casme2")
    write_smic(root / "smic")
    write_samm(root / "samm")
    return root


def write_casme3(root: Path) -> Path:
    """Two expressions in one long video, of which one frame was dropped."""
    rows = [
        ["spNO.1", "b", 175, 178, 181, "4", 1, "happy"],
        ["spNO.1", "b", 190, 192, 194, "4", 1, "disgust"],
        ["spNO.2", "A", 3, 5, 7, "4", 1, "Surprise"],
        ["spNO.2", "A", 9, 9, 9, "4", 1, "fear"],
        ["spNO.2", "A", 12, 13, 15, "4", 1, "others"],
    ]
    write_table(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", [CASME3_HEADER, *rows])
    numbers = [number for number in range(170, 200) if number != 176]
    write_frames(root / "spNO.1" / "b" / "color", numbers, "{}.jpg")
    write_frames(root / "spNO.2" / "a" / "color", range(0, 20), "{}.jpg")
    return root


def write_mmew(root: Path) -> Path:
    rows = [
        [3, "S03-01-002", 1, 3, 6, "4", "happiness"],
        ["S05", "S05-02-001", 1, 3, 0, "4", "surprise"],
        ["05", "S05-03-001", 1, 3, 6, "4", "anger"],
        ["05", "S05-09-001", 1, 3, 6, "4", "others"],
    ]
    write_table(root / "MMEW_Micro_Exp.xlsx", [MMEW_HEADER, *rows])
    for row in rows:
        write_frames(root / row[6] / row[1], range(1, 7), "{}.jpg")
    return root


def write_fourdme(root: Path) -> Path:
    """The second clip was cut and numbered from 1; its subject is written in another way."""
    rows = [
        ["S01", "S01_a_1", "Positive", 10, 12, 14, "12"],
        ["s1", "S01_a_2", "Negative & Repression", 30, 32, 34, "4"],
        ["S02", "S02_b_1", "Negatively surprise", 10, 12, 14, "1"],
        ["S02", "S02_b_2", "Surprise", 10, 12, 14, "1"],
    ]
    write_table(root / "4DME_Labelling_Micro_release v1.xlsx", [FOURDME_HEADER, *rows])
    for row in rows:
        numbers = range(1, 6) if row[1] == "S01_a_2" else range(row[3], row[5] + 1)
        write_frames(root / "gray_micro" / row[1][:3] / row[1], numbers, "{}.jpg")
    return root
