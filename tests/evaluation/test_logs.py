import json
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.logs import read_predictions
from hmrm_lab.evaluation.summary import summarise
from hmrm_lab.studies.experiment import run_experiment


def write(folder: Path, text: str) -> Path:
    file = folder / "log.txt"
    file.write_text(text)
    return file


def test_our_own_predictions_score_as_the_run_did(tmp_path: Path) -> None:
    run = run_experiment(quick_config("ststnet"), out=tmp_path, flowset=make_flowset())
    scores = summarise(read_predictions(run.path / "predictions.csv"))
    assert scores["all"] == json.loads((run.path / "metrics.json").read_text())["all"]


def test_ststnets_form(tmp_path: Path) -> None:
    log = write(tmp_path, "casme2 sub01\nEP02_01f 1 1\nEP19_05f 0 2\n\nsmic s1\ns1_ne_01 0 0\n")
    table = read_predictions(log).table
    assert table["fold"].tolist() == ["casme2/sub01", "casme2/sub01", "smic/s1"]
    assert table["prediction"].tolist() == [1, 2, 0]


@pytest.mark.parametrize("header", ["", "fold/clip, truth, prediction\n"])
def test_megc_form(tmp_path: Path, header: str) -> None:
    log = write(tmp_path, f"{header}casme2/sub01/EP02_01f, 1, 1\nsub02/EP01, 0, 2\n")
    table = read_predictions(log).table
    assert table["fold"].tolist() == ["casme2/sub01", "log/sub02"]
    assert table["truth"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty file"),
        ("casme2 sub01\n", "no predictions"),
        ("EP02_01f 1 1\n", "row 1: 'EP02_01f 1 1' is not understood"),
        ("casme2 sub01\nEP02_01f 1 3\n", "row 2: label '3' is outside 0..2"),
        ("casme2 sub01\nEP02_01f one 1\n", "label 'one'"),
        ("a/b/c, 1, 1\na/b/c, 1, 2\n", "predicted twice"),
        ("a/b/c, 1, 1\na/b/d, 1\n", "row 2: 2 fields, not 3"),
        ("abc, 1, 1\n", "no fold/clip"),
        ("dataset,truth,prediction\na,0,0\n", "no column"),
        (
            "dataset,subject,clip,fold,seed,epoch,truth,prediction,p_negative,p_positive,p_surprise\n"
            "d,s,c,d/s,zero,1,0,0,,,\n",
            "row 2: seed 'zero'",
        ),
    ],
)
def test_a_bad_log_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_predictions(write(tmp_path, text))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a text file"):
        read_predictions(tmp_path / "binary")


@pytest.mark.realdata
def test_ststnets_published_log_scores_as_it_should(real_data: Path) -> None:
    scores = summarise(read_predictions(real_data / "ststnet_published_log.txt"))
    parts = [scores["all"], *(scores["datasets"][d] for d in ("smic", "casme2", "samm"))]
    assert [round(part["uf1"], 4) for part in parts] == [0.7353, 0.6801, 0.8382, 0.6588]
    assert [round(part["uar"], 4) for part in parts] == [0.7186, 0.6703, 0.8190, 0.6415]
