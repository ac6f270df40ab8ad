"""Recordings end to end: check, prepare, run, on trees in each data set's layout."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import quick_config
from datasets import trees
from loops import wait_for
from test_cli import hmrm, printed

from hmrm_lab.config import load_config
from hmrm_lab.preparation import load_clips, load_flowset
from hmrm_lab.preparation.crops import FRAMES_SEARCHED

TEMPLATE = ("--set", "faces.name=template", "--set", "flow.name=dis")
TAKES = {"ammsm": "flow maps and onset", "meganet_mesti": "pictures", "hmrm": "flow maps"}
MAIN = "from hmrm_lab.cli import main; main()"
USABLE = {"casme2": 145, "smic": 164, "samm": 133, "composite": 442}
USABLE |= dict.fromkeys(("casme3", "mmew", "fourdme"), 3)
pytestmark = pytest.mark.usefixtures("empty_cache")


def prepared(name: str, root: Path, *more: object, cwd: Path) -> dict[str, Any]:
    words = ("prepare", name, "--root", root, "--jobs", 1, "--json", *more)
    return json.loads(printed(*words, cwd=cwd))


def write_faces(root: Path) -> Path:
    """Synthetic people in the layout of CASME II, the face beside the middle of a wider frame."""
    known = load_clips(quick_config("hmrm", "data.subjects=2", "data.clips=6"))
    rows, official = [], trees.casme2_rows()
    for number, clip in enumerate(known):
        subject = (2, 17)[int(clip.key.subject[1:]) % 2]
        row = next(r for r in official if r[0] == subject and r[-1] != "others" and r not in rows)
        row[3:6] = [1 + clip.onset, 1 + clip.apex, 1 + clip.offset]
        rows.append(row)
        folder = root / "Cropped" / f"sub{subject:02d}" / row[1]
        folder.mkdir(parents=True)
        for index in range(len(clip.frames)):
            border = 30, 60, 90, 20 + number, cv2.BORDER_REPLICATE
            wide = cv2.copyMakeBorder(clip.frames[index], *border)
            image = cv2.cvtColor(wide, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / f"reg_img{1 + index}.jpg"), image)
    trees.write_table(root / "CASME2-coding-20140508.xlsx", [trees.HEADERS["casme2"], *rows])
    return root


EACH_WAY = ("mmew", "casme3")  # short clips, and long videos with several; all in the full tier
REST = [pytest.param(name, marks=pytest.mark.full) for name in USABLE if name not in EACH_WAY]


@pytest.mark.parametrize("name", [*EACH_WAY, *REST])
def test_check_prepare_run(name: str, tmp_path: Path) -> None:
    root = getattr(trees, f"write_{name}")(tmp_path / name)
    printed("data", "check", name, "--root", root, "--json", cwd=tmp_path)
    facts = prepared(name, root, *TEMPLATE, cwd=tmp_path)
    assert facts["clips"] == {"usable": USABLE[name], "left out": 0}
    assert facts["faces"] == {"detected": 0, "neighbour": 0, "template": USABLE[name]}
    assert sum(facts["apexes"].values()) == USABLE[name]
    if name == "composite":
        assert facts["subjects"] == 68
        assert facts["apexes"]["annotated"] == 442 - 164 - 2
    if facts["subjects"] > 5:
        return  # a run is that of the others, for longer
    quick = ("--preset", "smoke", "--jobs", 1, "--set", "training.epochs=1")
    where = ("--data", name, "--root", root, *TEMPLATE, *quick)
    ran = hmrm("run", "--system", "ststnet", *where, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "faces:" not in ran.stderr and "flow:" not in ran.stderr, "all was prepared"
    table = printed("compare", "--systems", ",".join(TAKES), *where, "--json", cwd=tmp_path)
    assert {row["System"]: row["Takes"] for row in json.loads(table)["systems"]} == TAKES


def test_faces_are_found_and_looked_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("dlib", reason="the extra 'faces' is not installed")
    root = write_faces(tmp_path / "faces")
    config = load_config("smoke", data="casme2", overrides=["flow.name=dis"])
    clip = (load_clips(config, root) or [])[0]
    onset = clip.frames.paths[clip.onset]  # type: ignore[attr-defined]
    wall = np.random.default_rng(0).normal(150, 6, clip.frames[0].shape).astype(np.uint8)
    cv2.imwrite(str(onset), wall)
    sheet = tmp_path / "sheet.html"
    facts = prepared("casme2", root, "--set", "flow.name=dis", "--sheet", sheet, cwd=tmp_path)
    assert facts["clips"] == {"usable": 6, "left out": 0}
    assert facts["faces"] == {"detected": 5, "neighbour": 1, "template": 0}
    assert facts["warnings"] == {"no_face": 1}
    page = sheet.read_text(encoding="utf-8")
    assert page.count(f"No face in the onset, frame {clip.onset}.") == 1
    assert "http:" not in page and "https:" not in page
    load_flowset(config, root)
    assert "casme2: clips used with a warning: 1 no_face; the sheet of" in caplog.text


def test_a_damaged_frame_costs_its_clip_and_is_named(tmp_path: Path) -> None:
    root = trees.write_fourdme(tmp_path / "4dme")
    frame = root / "gray_micro" / "S01" / "S01_a_1" / "10.jpg"
    frame.write_bytes(b"")
    facts = prepared("fourdme", root, *TEMPLATE, "--sheet", tmp_path / "s.html", cwd=tmp_path)
    assert facts["clips"] == {"usable": 2, "left out": 1}
    assert "10.jpg" in facts["left out"][0]["why"]
    assert "left out: " in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_a_frame_costs_what_takes_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_faces(tmp_path / "faces")
    clip = (load_clips(load_config("smoke", data="casme2"), root) or [])[0]
    looked_at = np.linspace(clip.onset, clip.offset, FRAMES_SEARCHED).round().astype(int)
    between = min(set(range(clip.onset, clip.offset)) - {*looked_at, clip.apex})
    frame = clip.frames.paths[between]  # type: ignore[attr-defined]
    frame.write_bytes(frame.read_bytes()[:200])
    facts = prepared("casme2", root, *TEMPLATE, cwd=tmp_path)
    assert facts["clips"] == {"usable": 6, "left out": 0}
    facts = prepared("casme2", root, *TEMPLATE, "--systems", "lbp_top", cwd=tmp_path)
    assert facts["clips"] == {"usable": 5, "left out": 1}
    (lost,) = facts["left out"]
    assert lost["clip"] == "/".join(clip.key)
    assert f"{frame.name}: the image is cut off" in lost["why"]
    smoke = ("--preset", "smoke", "--system", "lbp_top", "--jobs", 1)
    printed("run", "--data", "casme2", "--root", root, *TEMPLATE, *smoke, cwd=tmp_path)
    assert f"{'/'.join(clip.key)}: left out, no clips of it: " in caplog.text
    (file,) = (tmp_path / "runs").glob("*/data.json")
    assert json.loads(file.read_text(encoding="utf-8"))["clips"] == 5


def test_killed_while_it_prepares_it_goes_on_to_the_same_cache(tmp_path: Path) -> None:
    root, cache = trees.write_mmew(tmp_path / "mmew"), tmp_path / "cache"
    prepared("mmew", root, *TEMPLATE, cwd=tmp_path)
    whole = {file: file.read_bytes() for file in cache.rglob("*.npz")}
    for file in whole:
        file.unlink()
    options = ("prepare", "mmew", "--root", str(root), "--jobs", "1", *TEMPLATE)
    process = subprocess.Popen([sys.executable, "-c", MAIN, *options], cwd=tmp_path)
    wait_for(lambda: len(list(cache.rglob("*.npz"))) >= 3)
    process.kill()
    process.wait()
    prepared("mmew", root, *TEMPLATE, cwd=tmp_path)
    assert {file: file.read_bytes() for file in cache.rglob("*.npz")} == whole


def test_the_apex_of_a_prepared_clip_shows_what_moved(tmp_path: Path) -> None:
    root = write_faces(tmp_path / "faces")
    prepared("casme2", root, *TEMPLATE, "--systems", "lbp_top", cwd=tmp_path)
    kept = list((tmp_path / "cache" / "gray").rglob("*.npz"))
    assert len(kept) == 6, "what a system takes of all frames"
    config = load_config("smoke", data="casme2", overrides=["faces.name=template", "flow.name=dis"])
    flowset = load_flowset(config, root)
    assert np.hypot(flowset.maps[:, 0], flowset.maps[:, 1]).max(axis=(1, 2)).min() > 0.1
    assert flowset.masks is not None
