import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.flow_pairs.stored import write_flow
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError
from hmrm_lab.flow.endpoint_error import (
    FACIAL,
    clip_trials,
    errors_of,
    evaluate,
    evaluate_trials,
    facial_trials,
    procedural_trials,
)
from hmrm_lab.registry import flows


def test_errors_by_hand() -> None:
    truth = np.zeros((2, 4, 4), np.float32)
    truth[0, :, 2:] = 2.0
    estimate = np.zeros_like(truth)
    estimate[1] = 0.5
    found = errors_of(estimate, truth)
    far = np.hypot(2.0, 0.5)
    assert found["epe_px"] == pytest.approx((0.5 + far) / 2)
    assert found["epe_0_to_0.5"] == pytest.approx(0.5)
    assert found["epe_1_to_5"] == pytest.approx(far)
    assert np.isnan(found["epe_5_to_20"])
    still = np.rad2deg(np.arccos(1 / np.sqrt(1.25)))
    moving = np.rad2deg(np.arccos(1 / np.sqrt(1.25 * 5)))
    assert found["angle_deg"] == pytest.approx((still + moving) / 2, rel=1e-4)
    truth = np.full((2, 4, 4), np.nan, np.float32)
    with pytest.raises(InputError, match="known motion"):
        errors_of(np.zeros_like(truth), truth)
    truth[:, 0, 0] = 1.0
    assert errors_of(np.zeros_like(truth), truth)["epe_px"] == pytest.approx(np.sqrt(2))


def test_trials_are_what_they_say() -> None:
    trials = list(facial_trials(pairs=2, noises=(0.0, 2.0)))
    assert len(trials) == len(FACIAL) * 2 * 2
    fields = {trial.flow_px.tobytes() for trial in trials}
    assert len(fields) == len(FACIAL) * 2, "the same fields at every noise, each pair its own"
    for trial in trials:
        peak_px = float(trial.motion.split()[1])
        assert np.hypot(*trial.flow_px).max() == pytest.approx(peak_px, rel=1e-3)
    scenes = list(procedural_trials(pairs=1, noises=(0.0,)))
    assert [float(np.hypot(*s.flow_px).max()) > 4 for s in scenes] == [False, False, True]
    (chosen,) = facial_trials(pairs=1, noises=(2.0,), motions=[("smooth", 0.5)])
    of_all = next(t for t in trials if (t.motion, t.noise) == ("smooth 0.5 px", 2.0))
    np.testing.assert_array_equal(chosen.apex, of_all.apex)


def test_clips_are_measured_with_the_noise_that_is_asked_for() -> None:
    clip = synthetic(subjects=2, clips=2)[0]
    clean, noisy = clip_trials([clip], noises=(0.0, 4.0))
    np.testing.assert_array_equal(clean.flow_px, clip.frames.flow(clip.onset, clip.apex))
    spread = (noisy.onset.astype(float) - clean.onset)[clean.onset.min(2) > 20].std()
    assert spread == pytest.approx(4, rel=0.1)
    report = evaluate_trials([clean, noisy], {"dis": flows["dis"].build()})
    table = report.table()
    assert table.index.tolist() == [("clips", "onset to apex", noise) for noise in (0.0, 4.0)]
    assert table["dis"].iloc[0] < table["dis"].iloc[1]
    assert table["zero"].nunique() == 1


def test_a_report(tmp_path: Path) -> None:
    scene = tmp_path / "training" / "clean" / "alley"
    scene.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    for number in (1, 2):
        cv2.imwrite(str(scene / f"frame_{number:04d}.png"), cv2.GaussianBlur(noise, (0, 0), 2))
    truth = tmp_path / "training" / "flow" / "alley" / "frame_0001.flo"
    write_flow(truth, np.zeros((2, 48, 64), np.float32))
    seen: list[int] = []
    methods = ["farneback", "dis"]
    report = evaluate(methods=methods, sets=[], folders=[tmp_path], on_trial=seen.append)
    assert seen == [1]
    assert list(report.table().columns) == ["farneback", "dis", "zero"]
    assert report.table()["zero"].item() == 0
    wins = report.wins("zero", against="farneback")
    assert wins[["wins", "losses", "pairs"]].to_numpy().tolist() in ([[1, 0, 1]], [[0, 0, 1]])
    content = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert content["by_size"][0]["epe_5_to_20"] is None
    assert "farneback" in report.as_text()


@pytest.mark.slow
def test_the_learnt_flow_beside_the_classics() -> None:
    report = evaluate(methods=["gru_attention", "tvl1"], sets=["scenes"], pairs=1, noises=[2.0])
    parameters = report.summary()["parameters"]
    assert parameters["gru_attention"] > 100_000 and parameters["tvl1"] == 0
    assert "wins" in report.as_text()
    with pytest.raises(InputError, match="known are"):
        evaluate(methods=[], sets=["films"])
    with pytest.raises(InputError, match="flow estimator"):
        evaluate(methods=["tvl2"], sets=[])
