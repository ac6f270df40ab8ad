"""Logs of other programs: what is understood scores right, what is open is refused."""

import tomllib
from pathlib import Path

import pytest
from conftest import refusal

from hmrm_lab.evaluation.other_programs import read_predictions
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.evaluation.summary import summarise

CLIPS = 8  # of truth 0 0 0 0 1 1 1 2, taken for 0 0 0 1 1 0 2 2
UF1, UAR = (0.75 + 0.4 + 2 / 3) / 3, (0.75 + 1 / 3 + 1) / 3
PRECISION = (0.75 + 0.5 + 0.5) / 3  # what a table read with its columns exchanged gives for recall


def write(folder: Path, text: str) -> Path:
    file = folder / "log.txt"
    file.write_text(text)
    return file


CASES = Path(__file__).parent
SOUND = tomllib.loads((CASES / "sound_logs.toml").read_text("utf-8"))


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_scores_right_and_says_how_it_was_read(name: str, tmp_path: Path) -> None:
    predictions, told = read_predictions(write(tmp_path, SOUND[name]["text"]))
    uf1, uar = (pooled(predictions, metric) for metric in ("uf1", "uar"))
    assert uf1 == pytest.approx(UF1, abs=1e-6)
    assert uar == pytest.approx(UAR, abs=1e-6) != PRECISION
    assert SOUND[name]["read"] in "; ".join(told)
    subjects = 8 if "no subjects" in told[0] else 2
    assert predictions.subjects.nunique() == subjects and len(predictions) == CLIPS


def test_the_places_of_clips(tmp_path: Path) -> None:
    for text, fold in [
        ("casme2/sub01/EP02_01f, 1, 1\n", "casme2/sub01"),
        ("sub02/EP01, 0, 2\n", "log/sub02"),
        ("dataset,subject,filename,pred,gt\nsmic,s01,s01_ne_01,0,0\n", "smic/s01"),
        ("Subject: smic/s01\nPredicted : [0]\nGround Truth : [0]\n", "smic/s01"),
        ("casme2 sub01\nEP02_01f 1 1\n\nEP19_05f 0 2\n", "casme2/sub01"),
    ]:
        assert set(read_predictions(write(tmp_path, text))[0].table["fold"]) == {fold}


def test_what_is_open_is_one_sentence_with_its_place(tmp_path: Path) -> None:
    for text, words in tomllib.loads((CASES / "refused_logs.toml").read_text()).items():
        said = refusal(read_predictions, write(tmp_path, text))
        assert words in said and said.startswith(f"{tmp_path / 'log.txt'}"), text
    assert "no such file" in refusal(read_predictions, tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"a\xff\xfe\x00\x80")
    assert "not a text file" in refusal(read_predictions, tmp_path / "binary")
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / encoding).write_bytes("a/b/c,1,1\n".encode(encoding))
        assert len(read_predictions(tmp_path / encoding)[0]) == 1


@pytest.mark.realdata
def test_ststnets_published_log_scores_as_it_should(real_data: Path) -> None:
    scores = summarise(read_predictions(real_data / "ststnet_published_log.txt")[0])
    parts = [scores["all"], *(scores["datasets"][d] for d in ("smic", "casme2", "samm"))]
    assert [round(part["uf1"], 4) for part in parts] == [0.7353, 0.6801, 0.8382, 0.6588]
    assert [round(part["uar"], 4) for part in parts] == [0.7186, 0.6703, 0.8190, 0.6415]
