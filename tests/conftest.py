"""What all tests share: one thread, a cache of their own, small data."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch; two threads are slower than one here

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.config.sections import PICTURE_SIDE_PX
from hmrm_lab.datasets.classes import MEGC3
from hmrm_lab.errors import InputError
from hmrm_lab.faces.face import Face, box_around
from hmrm_lab.records import PICTURES, ClipKey, FlowSet, FramePairs

torch.set_num_threads(1)
HERE = Path(__file__).parent
BESIDE = HERE.parents[1] / "shared" / "data"

SLOW = tuple(
    str(HERE / name) for name in ("studies", "training", "test_cli", "test_benchmarks", "test_prep")
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that train, prepare data or run commands are not among the quick ones."""
    for item in items:
        if str(item.path).startswith(SLOW):
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache for all tests of a session, in whatever process; never the user's."""
    base = tmp_path_factory.getbasetemp()
    session = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    monkeypatch.setenv("HMRM_CACHE", str(session / "cache"))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HMRM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def real_data() -> Path:
    """Published data: the folder that HMRM_REALDATA names, or shared/data beside the checkout."""
    root = Path(os.environ.get("HMRM_REALDATA", BESIDE))
    if not root.is_dir():
        pytest.skip("no published data here; name their folder in HMRM_REALDATA")
    return root


@pytest.fixture
def toy_flowset() -> FlowSet:
    return make_flowset()


def make_flowset(
    subjects: int = 4,
    per_subject: int = 6,
    size: int = 28,
    seed: int = 0,
    classes: tuple[str, ...] = MEGC3.classes,
) -> FlowSet:
    """Maps in which each class moves another part of the face, and noise."""
    rng = np.random.default_rng(seed)
    n = subjects * per_subject
    labels = np.arange(n, dtype=np.int64) % len(classes)
    maps = rng.normal(0, 0.3, (n, 3, size, size)).astype(np.float32)
    for row, label in enumerate(labels):
        top = size * label // len(classes)
        maps[row, :, top : top + size // len(classes), size // 4 : -size // 4] += 1.5
    keys = tuple(
        ClipKey("toy", f"s{row // per_subject + 1:02d}", f"clip{row:03d}") for row in range(n)
    )
    return FlowSet(maps, labels, keys, classes)


def with_pictures(flowset: FlowSet, seed: int = 0) -> FlowSet:
    """The same clips with pictures of noise, for systems that read some."""
    rng = np.random.default_rng(seed)
    shape = (len(flowset), len(PICTURES), PICTURE_SIDE_PX, PICTURE_SIDE_PX)
    return replace(flowset, pictures=rng.normal(size=shape).astype(np.float32))


def moving_textures(
    labels: np.ndarray, steps_px: list[int], *shape: int, rng: np.random.Generator
) -> np.ndarray:
    """Clips (N, T, *shape) of textures; each label moves a third of its own by these steps."""
    clips, side = np.empty((len(labels), len(steps_px), *shape), np.uint8), shape[0]
    for clip, label in zip(clips, labels, strict=True):
        texture = cv2.GaussianBlur(rng.normal(size=shape), (0, 0), 1.5)
        clip[:] = (127 + 40 * texture / texture.std()).clip(0, 255)
        third = slice(side * label // 3, side * (label + 1) // 3)
        for frame, step_px in zip(clip, steps_px, strict=True):
            frame[third] = np.roll(frame[third], step_px, axis=1)
    return clips


def make_framed_flowset(
    subjects: int = 4, per_subject: int = 3, side: int = 32, seed: int = 0
) -> FlowSet:
    """Pictures of which each class moves another third by a pixel; the maps are noise."""
    plain, rng = make_flowset(subjects, per_subject, seed=seed), np.random.default_rng(seed)
    images = moving_textures(plain.labels, [0, 1], side, side, 3, rng=rng)
    noise = rng.normal(size=plain.maps.shape).astype(np.float32)
    pixel = np.full((len(plain), 2), 2.0, np.float32)
    return replace(plain, maps=noise, frames=FramePairs(images, pixel))


def make_clip_flowset(
    subjects: int = 4, per_subject: int = 3, frames: int = 8, side: int = 50, seed: int = 0
) -> FlowSet:
    """Gray clips of a texture of which each class moves another third; the maps show it as well."""
    plain, rng = make_flowset(subjects, per_subject, seed=seed), np.random.default_rng(seed)
    steps_px = [time // 2 for time in range(frames)]
    return replace(plain, clips=moving_textures(plain.labels, steps_px, side, side, rng=rng))


def quick_config(system: str = "hmrm", *overrides: str) -> ExperimentConfig:
    """The settings of the smoke preset with these changes, and without its stamp."""
    config = load_config("smoke", system=system, overrides=overrides)
    return config.model_copy(update={"preset": "default"})


def tuned_config(*overrides: str) -> ExperimentConfig:
    """The smoke preset with a flow that is trained together with HMRM."""
    return quick_config("hmrm", "flow.name=gru_attention", "flow.finetune=true", *overrides)


def face_of(points: np.ndarray) -> Face:
    return Face(box_around(points), points.astype(np.float32), 1.0, "by hand")


def refusal(work: Callable[..., object], *given: object, **options: object) -> str:
    """The one sentence that is said of wrong input."""
    with pytest.raises(InputError) as caught:
        work(*given, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def grid_masks(size: int) -> np.ndarray:
    """Sixteen regions that cover a map, row by row: (16, size, size)."""
    row_of = np.arange(size) * 4 // size
    return (row_of[:, None] * 4 + row_of)[None] == np.arange(16)[:, None, None]


@dataclass(frozen=True)
class Pixels:
    """A clip's frames without what is known of them."""

    frames: object

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int, /) -> np.ndarray:
        return self.frames[index]
