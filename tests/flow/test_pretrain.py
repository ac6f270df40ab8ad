"""Pre-training: killed and resumed, its loss by hand, its presets and their data."""

import csv
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hmrm_lab.datasets.flow_pairs import TruePair
from hmrm_lab.datasets.flow_pairs.procedural import ProceduralPairs, procedural_pictures
from hmrm_lab.errors import DivergedError, InputError
from hmrm_lab.flow import pretrain
from hmrm_lab.flow.gru_attention import load_weights
from hmrm_lab.runtime.store import read_subjects

TINY = pretrain.Preset(
    "tiny",
    (pretrain.Stage("procedural", 3, 2, replay=True), pretrain.Stage("flying_chairs", 2, 2)),
    crop=(64, 64),
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def sources() -> dict[str, ProceduralPairs]:
    pairs = ProceduralPairs(procedural_pictures(0, 4, side=200), 64)
    return {"procedural": pairs, "flying_chairs": pairs}


class Killed(Exception):
    """The process ends here."""


def test_a_killed_run_ends_with_the_same_bytes(
    tmp_path: Path, sources: dict[str, ProceduralPairs]
) -> None:
    whole = pretrain.pretrain(TINY, tmp_path / "whole", sources, seed=3)
    for killed_after in (1, 3, 4):
        cut = tmp_path / f"cut{killed_after}"

        def watch(now: int, _total: int, _loss: float, last: int = killed_after) -> None:
            if now == last:
                raise Killed

        with pytest.raises(Killed):
            pretrain.pretrain(TINY, cut, sources, seed=3, on_step=watch)
        torch.rand(5)  # the caller's random numbers must not matter
        resumed = pretrain.pretrain(TINY, cut, sources, seed=3)
        assert resumed.read_bytes() == whole.read_bytes()
        histories = [(path.parent / pretrain.HISTORY).read_text() for path in (whole, resumed)]
        assert histories[0] == histories[1]
    rows = list(csv.DictReader(histories[0].splitlines()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5]
    assert load_weights(resumed).iterations == (2, 2)
    assert read_subjects(resumed) == ["procedural"]
    with pytest.raises(InputError, match="another preset or seed"):
        pretrain.pretrain(TINY, cut, sources, seed=4)
    (cut / pretrain.CHECKPOINT).write_bytes((cut / pretrain.CHECKPOINT).read_bytes()[:1000])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        pretrain.pretrain(TINY, cut, sources, seed=3)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    def broken(rng: np.random.Generator) -> TruePair:
        frame = rng.random((64, 64, 3)).astype(np.float32)
        return TruePair(frame, frame, np.full((2, 64, 64), 1e30, np.float32))

    preset = pretrain.Preset("broken", (pretrain.Stage("procedural", 1, 1),), crop=(64, 64))
    with pytest.raises(DivergedError, match="step 1"):
        pretrain.pretrain(preset, tmp_path, {"procedural": broken})


def test_the_loss_by_hand() -> None:
    truth = torch.zeros(1, 2, 4, 4)
    truth[:, 0] = 3.0
    flow = truth.clone()
    flow[:, 1] = 4.0
    distance = math.sqrt(16 + 1e-4)
    assert pretrain.sequence_loss([flow], truth).item() == pytest.approx(distance / 3.08, rel=1e-5)
    exact = 0.01 / 3.08
    both = pretrain.sequence_loss([flow, truth], truth, fade=0.5).item()
    assert both == pytest.approx(exact + 0.5 * distance / 3.08, rel=1e-5)
    truth[:, :, :2] = torch.nan
    flow[:, :, :2] = 100.0
    assert pretrain.sequence_loss([flow], truth).item() == pytest.approx(distance / 3.08, rel=1e-5)


def test_presets() -> None:
    paper = pretrain.PRESETS["paper"]
    assert [stage.data for stage in paper.stages] == ["flying_chairs", "flying_things"]
    assert {stage.batch for stage in paper.stages} == {10}
    assert paper.stage_of(100_000) == (paper.stages[1], 0)
    with pytest.raises(InputError, match="did you mean 'paper'"):
        pretrain.find_preset("papr")
    stage = pretrain.Stage("procedural", 100, 8, peak_rate=1.0)
    rates = [pretrain.learning_rate(stage, step) for step in range(100)]
    assert rates[4] == 1.0 and rates[-1] < 0.01
    assert rates[:5] == sorted(rates[:5]) and rates[4:] == sorted(rates[4:], reverse=True)


def test_the_mixture_takes_photographs(tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 255, (600, 1200, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photograph.png"), large)
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = pretrain.read_pictures(tmp_path)
    assert [picture.shape for picture in pictures] == [(450, 900, 3)]
    mixture = pretrain.procedural_mixture(64, photographs=tmp_path, stock=2, people=1)
    for seed in range(6):
        assert mixture(np.random.default_rng(seed)).onset.shape == (64, 64, 3)
    (tmp_path / "broken.png").write_bytes(b"no picture either")
    with pytest.raises(InputError, match=r"broken\.png: not a PNG"):
        pretrain.read_pictures(tmp_path)
    with pytest.raises(InputError, match="no pictures"):
        pretrain.read_pictures(tmp_path / "none")
    with pytest.raises(InputError, match="learns from FlyingChairs"):
        pretrain.sources_for(pretrain.PRESETS["paper"])
    with pytest.raises(InputError, match="no such folder of FlyingChairs"):
        pretrain.sources_for(pretrain.PRESETS["paper"], chairs=tmp_path)
