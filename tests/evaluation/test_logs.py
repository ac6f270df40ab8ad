"""Logs of other programs: what is understood scores right, what is open is refused."""

import json
import tomllib
from pathlib import Path

import pytest
from conftest import make_flowset, quick_config
from typer.testing import CliRunner

from hmrm_lab.cli import app
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.other_programs import read_predictions
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.evaluation.summary import summarise
from hmrm_lab.studies.experiment import run_experiment

TRUTH = [0, 0, 0, 0, 1, 1, 1, 2]
ANSWERS = [0, 0, 0, 1, 1, 0, 2, 2]
UF1, UAR = (0.75 + 0.4 + 2 / 3) / 3, (0.75 + 1 / 3 + 1) / 3
PRECISION = (0.75 + 0.5 + 0.5) / 3  # what a table read with its columns exchanged gives for recall
NAMES = ("negative", "Positive", "SURPRISE")
EMOTIONS = ("Disgust", "happiness", "surprise")


def write(folder: Path, text: str) -> Path:
    file = folder / "log.txt"
    file.write_text(text)
    return file


def table(header: str, row: str, *, comma: str = ",", names: tuple[object, ...] = (0, 1, 2)) -> str:
    """A row per clip; `{s}`, `{c}`, `{t}` and `{p}` are subject, clip, truth and prediction."""
    lines = [header] if header else []
    for number, (truth, answer) in enumerate(zip(TRUTH, ANSWERS, strict=True)):
        lines.append(
            row.format(s=f"s{number // 4}", c=f"c{number}", t=names[truth], p=names[answer])
        )
    return "\n".join(line.replace(",", comma) for line in lines) + "\n"


HALVES = {"s01": slice(0, 4), "sub02": slice(4, 8)}


def printed(first: str = "{}", second: str = "{}", *, word: str = "Predicted    ") -> str:
    """Two subjects; `first` and `second` say how a list is written."""
    parts = ["lr=0.00005, epochs=800", "train"]
    for subject, at in HALVES.items():
        lists = [first.format(ANSWERS[at]), second.format(TRUTH[at])]
        parts += [f"Subject: {subject} ", f"{word}: {lists[0]}", f"Ground Truth : {lists[1]}"]
        parts += ["Evaluation until this subject: ", "UF1: 0.5185 | UAR: nan"]
    return "\n".join([*parts, "Final Evaluation: ", "UF1: 0.7209 | UAR: 0.725", ""])


CLOSING = str({name: {"pred": ANSWERS[at], "truth": TRUTH[at]} for name, at in HALVES.items()})
NUMPY = printed().replace(",", "").replace("[0 0 0 1]", "[0 0\n 0 1]")
SOUND = {  # what it is: its text and words of how it was read
    "prediction first": (table("clip,prediction,truth", "{s}/{c},{p},{t}"), "truth 'truth'"),
    "scikit-learn": (table(",subject,y_true,y_pred", "7,{s},{t},{p}"), "truth 'y_true'"),
    "labels alone": (table("gt,pred", "{t},{p}"), "intervals are over clips"),
    "bare clips": (table("pred,label,file", "{p},{t},{c}"), "no subjects"),
    "MEB": (
        table("dataset,subject,material,emotion,AUs,pred,label", "d,{s},{c},x,1+2,{p},{t}"),
        "clip 'material'",
    ),
    "only an emotion": (
        table("dataset,subject,material,emotion,prediction", "d,{s},{c},{t},{p}", names=EMOTIONS),
        "'Disgust' negative",
    ),
    "quoted": (table("clip,prediction,truth", '"{s}/{c}", "{p}", "{t}"'), "truth 'truth'"),
    "semicolons": (table("clip,prediction,truth", "{s}/{c},{p},{t}", comma=";"), "truth"),
    "blanks": (table("clip,prediction,truth", "{s}/{c},{p},{t}", comma="  "), "truth"),
    "backslashes": (table("clip,prediction,truth", "d\\{s}\\{c},{p},{t}"), "truth"),
    "floats": (table("s,subject,pred,gt", "x,{s},{p}.0,{t}.0"), "0 negative"),
    "an empty end": (table("clip,pred,gt", "{s}/{c},{p},{t}") + ",,\n\n,,\n", "truth"),
    "no header": (table("", "{s}/{c}, {t}, {p}"), "no header; columns in this order: clip, truth"),
    "five columns": (table("", "d,{s},{c},{t},{p}"), "in this order: dataset, subject, clip"),
    "labels from 1": (
        table("clip,pred,gt", "{s}/{c},{p},{t}", names=(1, 2, 3)),
        "labels: 1 negative, 2 positive, 3 surprise",
    ),
    "words": (table("clip,pred,gt", "{s}/{c},{p},{t}", names=NAMES), "'SURPRISE' surprise"),
    "short words": (table("", "{s}/{c},{t},{p}", names=("neg", "pos", "sur")), "'neg' negative"),
    "STSTNet": (
        table("", "{c} {t} {p}").replace("c0", "d s0\nc0").replace("c4", "d s1\nc4"),
        "STS",
    ),
    "STSTNet in Python": (printed(), "printed lists"),
    "NumPy": (NUMPY, "printed lists"),
    "tensors": (printed("tensor({}, device='cuda:0')", "array({})"), "printed lists"),
    "HTNet": (printed(word="Best Predicted    ") + CLOSING, "PEEKS"),
    "a dictionary": (f"dic = {CLOSING}\n", "PEEKS"),
    "JSON": (json.dumps(json.loads(CLOSING.replace("'", '"')), indent=1), "PEEKS"),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_scores_right_and_says_how_it_was_read(name: str, tmp_path: Path) -> None:
    text, words = SOUND[name]
    predictions, told = read_predictions(write(tmp_path, text))
    uf1, uar = (pooled(predictions, metric) for metric in ("uf1", "uar"))
    assert uf1 == pytest.approx(UF1, abs=1e-6)
    assert uar == pytest.approx(UAR, abs=1e-6) != PRECISION
    assert words in "; ".join(told)
    subjects = 8 if "no subjects" in told[0] else 2
    assert predictions.subjects.nunique() == subjects and len(predictions) == len(TRUTH)


def test_the_places_of_clips(tmp_path: Path) -> None:
    for text, fold in [
        ("casme2/sub01/EP02_01f, 1, 1\n", "casme2/sub01"),
        ("sub02/EP01, 0, 2\n", "log/sub02"),
        ("dataset,subject,filename,pred,gt\nsmic,s01,s01_ne_01,0,0\n", "smic/s01"),
        ("Subject: smic/s01\nPredicted : [0]\nGround Truth : [0]\n", "smic/s01"),
        ("casme2 sub01\nEP02_01f 1 1\n\nEP19_05f 0 2\n", "casme2/sub01"),
    ]:
        assert set(read_predictions(write(tmp_path, text))[0].table["fold"]) == {fold}


REFUSED = Path(__file__).with_name("refused_logs.toml")


def test_what_is_open_is_one_sentence_with_its_place(tmp_path: Path) -> None:
    for text, words in tomllib.loads(REFUSED.read_text()).items():
        with pytest.raises(InputError) as caught:
            read_predictions(write(tmp_path, text))
        assert words in str(caught.value), text
        assert str(caught.value).startswith(f"{tmp_path / 'log.txt'}"), text
        assert "\n" not in str(caught.value), text
    with pytest.raises(InputError, match="no such file"):
        read_predictions(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"a\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a text file"):
        read_predictions(tmp_path / "binary")
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / encoding).write_bytes("a/b/c,1,1\n".encode(encoding))
        assert len(read_predictions(tmp_path / encoding)[0]) == 1


def test_the_command_says_how_it_read(tmp_path: Path) -> None:
    log = write(tmp_path, SOUND["prediction first"][0])
    for options, words in (
        ([], "read as  columns by the header: clip 'clip', truth 'truth'"),
        (["--json"], '"labels: 0 negative, 1 positive, 2 surprise"'),
    ):
        assert words in CliRunner().invoke(app, ["score", str(log), *options]).stdout


def test_our_own_predictions_score_as_the_run_did(tmp_path: Path) -> None:
    run = run_experiment(quick_config("ststnet"), out=tmp_path, flowset=make_flowset())
    predictions, _ = read_predictions(run.path / "predictions.csv")
    assert summarise(predictions)["all"] == run.metrics()["all"]
    assert predictions.table["p_negative"].notna().all()


@pytest.mark.realdata
def test_ststnets_published_log_scores_as_it_should(real_data: Path) -> None:
    scores = summarise(read_predictions(real_data / "ststnet_published_log.txt")[0])
    parts = [scores["all"], *(scores["datasets"][d] for d in ("smic", "casme2", "samm"))]
    assert [round(part["uf1"], 4) for part in parts] == [0.7353, 0.6801, 0.8382, 0.6588]
    assert [round(part["uar"], 4) for part in parts] == [0.7186, 0.6703, 0.8190, 0.6415]
