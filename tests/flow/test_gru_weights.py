"""The shipped weights: no motion without motion, antisymmetry, and files that are refused."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hmrm_lab.datasets.flow_pairs import as_bytes, procedural, with_noise
from hmrm_lab.errors import InputError
from hmrm_lab.flow.estimator import FlowEstimator
from hmrm_lab.flow.gru_attention import SHIPPED, load_weights, save_weights
from hmrm_lab.registry import flows
from hmrm_lab.runtime.store import PROCEDURAL, read_subjects

SEED = 40_000  # neither trained nor evaluated on


@pytest.fixture(scope="module")
def estimate() -> FlowEstimator:
    return flows["gru_attention"].build()


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    face = procedural.face_pictures(SEED, [0])[0][16:464:2, 16:464:2]
    scenes = procedural.procedural_pictures(SEED, 2, side=224)
    return [as_bytes(picture) for picture in (face, *scenes)]


def test_what_is_no_motion(estimate: FlowEstimator, pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        noisy = with_noise(picture.astype(np.float32), 2.0, np.random.default_rng(0))
        for frame in (picture, noisy):
            assert np.hypot(*estimate(frame[None], frame[None])[0]).max() < 0.05
        for gain, offset in ((1.06, 0.0), (0.94, 3.0), (1.0, 8.0), (1.0, -8.0)):
            brighter = as_bytes(picture.astype(np.float32) * gain + offset)
            assert np.hypot(*estimate(picture[None], brighter[None])[0]).mean() < 0.1


def test_swapping_the_frames_negates_the_flow(estimate: FlowEstimator) -> None:
    for kind, noise in product(("local", "smooth"), (0.0, 2.0)):
        rng = np.random.default_rng(5)
        field = procedural.facial_field(rng, kind, 1.0)
        pair = procedural.moved_face(procedural.face_pictures(SEED, [1])[0], field)
        onset, apex = (with_noise(frame, noise, rng)[None] for frame in (pair.onset, pair.apex))
        there, back = estimate(onset, apex)[0], estimate(apex, onset)[0]
        assert np.hypot(*(there + back)).mean() < 0.1
        assert np.hypot(*(there - pair.flow_px)).mean() < np.hypot(*pair.flow_px).mean() / 2


def test_weights_survive_the_disk(tmp_path: Path) -> None:
    network = load_weights()
    save_weights(tmp_path / "copy.safetensors", network, subjects=["casme2/sub01"])
    assert read_subjects(tmp_path / "copy.safetensors") == ["casme2/sub01"]
    assert read_subjects(SHIPPED) == [PROCEDURAL]
    again = load_weights(tmp_path / "copy.safetensors", iterations=(1, 1))
    assert again.iterations == (1, 1)
    for first, second in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)


def test_hostile_files(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(InputError, match="no such weights"):
        load_weights(path)
    path.write_bytes(SHIPPED.read_bytes()[:-1000])
    with pytest.raises(InputError, match="not readable as weights"):
        load_weights(path)
    headers = ('{"settings": {"hiden": 3}}', '{"settings": [1]}', "[]", "{", "[" * 10_000)
    for metadata in (None, *({"hmrm": header} for header in headers)):
        save_file({"a": torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(InputError, match="no weights of GRU-AOFE"):
            load_weights(path)
