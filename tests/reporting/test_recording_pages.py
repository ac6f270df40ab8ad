"""The picture and the words of a prediction made up for the test."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.recording_prediction import RecordingPrediction
from hmrm_lab.preparation.quality import ClipWarning
from hmrm_lab.reporting import recording_pages
from hmrm_lab.reporting.recording_pages import prediction_picture, prediction_text, write_prediction

GREYS = np.full((224, 224, 3), 128, np.uint8)


def made(**changes: object) -> RecordingPrediction:
    parts = {name: np.zeros((224, 224), bool) for name in ("mouth", "eye_left", "elsewhere")}
    for row, mask in enumerate(parts.values()):
        mask[80 * row : 80 * row + 60, 20:200] = True
    prediction = RecordingPrediction(
        recording="Übung 1.mp4",
        run="runs/demo/hmrm-12345678",
        classes=MEGC3.classes,
        probabilities=np.array([0.1, 0.2, 0.7], np.float32),
        frames=40,
        fps=30.0,
        onset=0,
        apex=12,
        offset=39,
        face="detected",
        provider="dlib",
        apex_is="spotted",
        onset_image=GREYS,
        apex_image=GREYS,
        motion=np.random.default_rng(0).normal(size=(3, 28, 28)).astype(np.float32),
        part_falls={"mouth": 0.3, "eye_left": -0.02, "elsewhere": 0.1},
        parts=parts,
        outside_share=0.0,
        outside_energy=0.0,
        caveats=("In this run such predictions were right in 55 % of 40 clips.", "Words. " * 40),
    )
    return replace(prediction, **changes)


def test_the_picture_is_a_png_of_two_faces_bars_and_words(tmp_path: Path) -> None:
    path = write_prediction(made(), tmp_path / "out" / "clip.png")
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    picture = cv2.imread(str(path))
    plain = prediction_picture(made(caveats=("Short.",)))
    assert plain.shape[0] < picture.shape[0] < 1000
    still = made(motion=np.zeros((3, 28, 28), np.float32))
    assert prediction_picture(still).shape == picture.shape
    with pytest.raises(InputError, match=r"name a \.png file"):
        write_prediction(made(), tmp_path / "clip.jpg")


def test_parts_are_shaded_by_their_share() -> None:
    shaded = recording_pages.shaded_parts(made()).astype(int)
    mouth, eye, elsewhere, between = (
        np.abs(shaded[y, 60] - 128).sum() for y in (30, 200, 350, 140)
    )
    assert mouth > elsewhere > eye == between == 0
    assert list(made().part_shares.values()) == pytest.approx([0.75, 0, 0.25])


def test_the_words_name_the_parts_and_what_the_numbers_are_worth() -> None:
    text = prediction_text(made(units={"AU4": 0.2, "AU6": 0.5, "AU12": 0.8}), Path("clip.png"))
    assert text.splitlines()[0].split() == ["surprise", "70", "%"]
    for words in (
        *("driven by  mouth 75 %; elsewhere 25 %", "mouth +30, elsewhere +10, eye left -2"),
        *("onset 0, apex 12 (spotted), offset 39 of 40", "right in 55 % of 40 clips"),
        "moves  AU12 80 %, AU6 50 %\n",
    ):
        assert words in text
    still = made(part_falls=dict.fromkeys(made().parts, 0.0))
    assert recording_pages.NO_PART in prediction_text(still, Path("x.png"))


def test_without_an_answer_the_reasons_stand_in_its_place() -> None:
    nobody = made(
        probabilities=np.full(3, np.nan, np.float32),
        part_falls={},
        parts={},
        caveats=(),
        warnings=(ClipWarning("no_face", "onset", "No face in the onset, frame 0."),),
    )
    text = prediction_text(nobody, Path("clip.png"))
    assert text.splitlines()[0].strip() == "no answer"
    assert text.splitlines()[1].strip().startswith("warning  No face in the onset, frame 0. Name")
    assert "nan" not in text and "%" not in text
    assert prediction_picture(nobody).shape[0] < prediction_picture(made()).shape[0]
    several = ClipWarning("several_faces", "onset", "The onset, frame 0, shows 2 faces.")
    doubted = made(warnings=(several,))
    assert "shows 2 faces. --face takes another." in prediction_text(doubted, Path("clip.png"))
