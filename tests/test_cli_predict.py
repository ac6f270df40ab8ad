"""`hmrm predict` as a person meets it, after `hmrm demo`."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import quick_config
from datasets.test_video import write_video
from test_cli import REFUSED, hmrm, printed, refused

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.preparation import load_clips

SMALL = ("data.subjects=2", "data.clips=6", "training.epochs=2", "flow.name=dis")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `hmrm demo` has run, with a video beside it."""
    here = tmp_path_factory.mktemp("here")
    changes = [word for change in SMALL for word in ("--set", change)]
    printed("demo", "--jobs", 1, *changes, cwd=here)
    clips = load_clips(quick_config("hmrm", "data.seed=3", "data.subjects=2", "data.clips=2"))
    assert clips is not None
    frames = [clips[0].frames[number] for number in range(len(clips[0].frames))]
    write_video(here / "face.avi", frames, fps=100)
    return here


def test_demo_leaves_a_run_that_predicts(folder: Path) -> None:
    told = printed("predict", "face.avi", "--faces", "template", cwd=folder)
    assert "runs/demo/hmrm-" in told  # and not STSTNet's, which is newer
    assert "nothing about people" in told.replace("\n", " ")
    assert max(map(len, told.split("\n"))) <= 80
    assert (folder / "face.hmrm.png").read_bytes().startswith(b"\x89PNG")


def test_any_name_of_a_file_and_any_order_of_frames(folder: Path) -> None:
    film = os.fsdecode(b"f\xe9lin.avi")
    (folder / film).write_bytes((folder / "face.avi").read_bytes())
    frames = open_recording(folder / "face.avi").frames
    (folder / "shots").mkdir()
    for number in range(6):
        name = f"at 10.{58 + number // 4}.{(56 + number) % 60:02d}.png"
        cv2.imwrite(str(folder / "shots" / name), frames[number][..., ::-1])
    for name, words in ((film, "f\\\\xe9lin.avi"), ("shots", "at 10.58.56.png to at 10.59.01.png")):
        asked = ("predict", name, "--faces", "template", "--apex", 3, "--json")
        assert words in printed(*asked, cwd=folder)
        assert (folder / f"{Path(name).stem}.hmrm.png").is_file()


def test_json_is_one_object(folder: Path) -> None:
    (run,) = (folder / "runs" / "demo").glob("ststnet-*")
    asked = ("--faces", "template", "--run", run, "--apex", 5, "--picture", "sub/p.png", "--json")
    seen = json.loads(printed("predict", "face.avi", *asked, cwd=folder))
    assert sum(seen["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert seen["prediction"] in MEGC3.classes
    assert (seen["frames"]["apex"], seen["frames"]["apex_is"]) == (5, "given")
    driving = {name for name, share in seen["driven_by"].items() if share > 0}
    assert driving <= {name for name, fall in seen["parts"].items() if fall > 0}
    assert sum(seen["driven_by"].values()) == pytest.approx(1 if driving else 0, abs=1e-3)
    assert seen["run"] == str(run)
    assert seen["caveats"]
    assert (folder / seen["picture"]).is_file()


def test_no_answer_is_status_1_and_says_why(folder: Path) -> None:
    sound = open_recording(folder / "face.avi").frames
    frames = [np.zeros((224, 224, 3), np.uint8), *(sound[number] for number in range(10))]
    write_video(folder / "black.avi", frames, fps=100)
    asked = ("predict", "black.avi", "--faces", "template")
    done = hmrm(*asked, cwd=folder)
    assert done.returncode == 1
    assert done.stdout.split("\n")[0].strip() == "no answer"
    assert "The onset, frame 0, is nearly black." in done.stdout
    assert "%" not in done.stdout
    done = hmrm(*asked, "--json", cwd=folder)
    assert done.returncode == 1
    seen = json.loads(done.stdout)
    assert (seen["answer"], seen["prediction"], seen["probabilities"]) == (False, None, None)
    assert {warning["code"] for warning in seen["warnings"]} == {"dark", "no_face"}
    assert all(warning["sentence"].endswith(".") for warning in seen["warnings"])
    assert (folder / "black.hmrm.png").is_file()
    seen = json.loads(printed(*asked, "--onset", "1", "--apex", "5", "--json", cwd=folder))
    assert (seen["answer"], seen["warnings"], seen["frames"]["offset"]) == (True, [], None)


def test_wrong_input_is_one_sentence_and_status_2(folder: Path, tmp_path: Path) -> None:
    (folder / "notes.txt").write_text("words")
    for arguments, words in REFUSED["predict"].items():
        assert words in refused(folder, "predict", *arguments.split())
    assert "make one with `hmrm demo`" in refused(tmp_path, "predict", folder / "face.avi")


def test_all_clips_of_a_table_are_answered(folder: Path) -> None:
    written = ("data", "template", "clips.csv")
    assert hmrm(*written, cwd=folder).stdout.startswith("clips.csv  change its rows, then `hmrm")
    assert "there already; name another one" in refused(folder, *written)
    few = ("--set", "data.subjects=2", "--set", "data.clips=3")
    told = printed("data", "export", "synthetic", "drawn/clips.csv", *few, cwd=folder)
    assert "hmrm data check manifest --root drawn --table" in told
    table = folder / "drawn" / "clips.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace(",positive,", ",,").replace(",negative,", ",,")
    table.write_text("\n".join([*lines, "s9/none,s9,0,,,,,,,", ""]))
    asked = ("predict", "--data", "manifest", "--root", "drawn", "--faces", "template")
    done = hmrm(*asked, "--out", "answers.csv", "--json", cwd=folder)
    assert done.returncode == 1, "of one clip there is nothing"
    answers = json.loads(done.stdout)["clips"]
    assert [one["prediction"] in MEGC3.classes for one in answers] == [True, True, True, False]
    assert "row 5: no recording s9/none in drawn" in answers[3]["problem"]
    assert [one["label"] for one in answers].count("") == 1 and answers[3]["p_positive"] is None
    assert sum(answers[0][f"p_{name}"] for name in MEGC3.classes) == pytest.approx(1, abs=1e-5)
    assert len((folder / "answers.csv").read_text().splitlines()) == 5
    table.write_text("\n".join([*lines, ""]))
    assert "nothing about people" in " ".join(printed(*asked, cwd=folder).split())
