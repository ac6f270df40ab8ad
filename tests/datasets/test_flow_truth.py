from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.flow_pairs import TruePair, degrade, procedural, stored
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.errors import InputError

Floats = np.ndarray


def unwarped(pair: TruePair) -> Floats:
    """The apex looked up where the flow points: what the onset must be where nothing hides."""
    where = procedural.pixel_grid(*pair.onset.shape[:2]) + pair.flow_px
    return cv2.remap(pair.apex, where[0], where[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def test_flow_is_exact() -> None:
    pictures = procedural.procedural_pictures(0, 8, side=300)
    blurred = [cv2.GaussianBlur(picture, (0, 0), 3) for picture in pictures]
    motion = {"motion_px": (2.0, 6.0), "large": 0.0, "layered": 0.0, "still": 0.0}
    source = procedural.ProceduralPairs(blurred, 96, **motion)
    inside = (slice(12, -12), slice(12, -12))
    clip = procedural.clip_pair(synthetic(subjects=2, clips=2, seed=3)[0])
    left = np.abs(unwarped(clip) - clip.onset)[inside].mean()
    assert left < np.abs(clip.apex - clip.onset)[inside].mean()
    for seed in range(12):
        pair = source(np.random.default_rng(seed))
        left = np.abs(unwarped(pair) - pair.onset)[inside].mean()
        onset, _ = degrade(pair, np.random.default_rng(seed))
        assert np.abs(onset.astype(float) - pair.onset).mean() < 8
        assert left < min(0.35, 0.25 * np.abs(pair.apex - pair.onset)[inside].mean() + 0.05)


def test_a_layer_hides_what_is_behind() -> None:
    canvas = procedural.SCALE * (64 + 2 * procedural.MARGIN_PX)
    ground = np.full((canvas, canvas, 3), 50, np.float32)
    square = np.full((canvas, canvas, 3), 200, np.float32)
    outline = np.zeros((canvas, canvas), np.float32)
    edge = procedural.SCALE * procedural.MARGIN_PX
    outline[edge + 40 : edge + 80, edge + 40 : edge + 80] = 1  # 20..40 px of the frame
    still = np.zeros((2, 64, 64), np.float32)
    moving = still + np.array([3, -2], np.float32)[:, None, None]
    pair = procedural.render([ground, square], [outline], [still, moving])
    assert pair.apex[20:40, 20:40].min() > 190 and pair.apex[:18].max() < 60
    where = np.argwhere(pair.onset[..., 0] > 125)
    assert where.min(0).tolist() == [22, 17], "it comes from where its flow says"
    assert where.max(0).tolist() == [41, 36]
    assert (pair.flow_px[0, 23:41, 18:36] == 3).all() and (pair.flow_px[:, :20] == 0).all()


def frame(path: Path, level: int, size: tuple[int, int] = (24, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))


def field(path: Path, u: float, v: float = 0.0, size: tuple[int, int] = (24, 32)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    stored.write_flow(path, np.full((*size, 2), (u, v), np.float32).transpose(2, 0, 1))


@pytest.fixture
def chairs(tmp_path: Path) -> Path:
    root = tmp_path / "FlyingChairs_release"
    for number in (1, 2, 3):
        frame(root / "data" / f"{number:05d}_img1.ppm", number)
        frame(root / "data" / f"{number:05d}_img2.ppm", 10 * number)
        field(root / "data" / f"{number:05d}_flow.flo", number, -number)
    (root / stored.SPLIT_FILE).write_text("1\n2\n1\n")
    return root


def test_flying_chairs(chairs: Path) -> None:
    training = stored.flying_chairs(chairs)
    validation = stored.flying_chairs(chairs.parent, "validation")
    assert [item.name for item in (*training, *validation)] == ["00001", "00003", "00002"]
    pair = training[1].read()
    assert (pair.onset == 3).all() and (pair.apex == 30).all()
    assert (pair.flow_px == np.array([3, -3])[:, None, None]).all()
    crop = stored.StoredPairs(training, (16, 24))(np.random.default_rng(0))
    assert (crop.onset.shape, crop.flow_px.shape) == ((16, 24, 3), (2, 16, 24))
    with pytest.raises(InputError, match="crop less"):
        stored.StoredPairs(training, (64, 64))(np.random.default_rng(0))
    frame(chairs / "data" / "00003_img2.ppm", 0, (24, 30))
    with pytest.raises(InputError, match="30x24 pixels"):
        training[1].read()
    for name, content, index, words in (
        ("data/00003_img2.ppm", b"P6 nothing", 1, "not a PNG, JPEG"),
        ("data/00001_flow.flo", b"PIEH", 0, r"not a \.flo"),
        (stored.SPLIT_FILE, b"1\n2\n", 0, "names 2 pairs, but 3"),
        (stored.SPLIT_FILE, b"1\nx\n1\n", 0, "row 2"),
    ):
        (chairs / name).write_bytes(content)
        with pytest.raises(InputError, match=words):
            stored.flying_chairs(chairs)[index].read()
    (chairs / stored.SPLIT_FILE).unlink()
    with pytest.raises(InputError, match=stored.SPLIT_FILE):
        stored.flying_chairs(chairs)


def test_flying_things_in_both_directions(tmp_path: Path) -> None:
    flow = tmp_path / "optical_flow/TRAIN/A/0000"
    for camera, letter in (("left", "L"), ("right", "R")):
        for number in (6, 7):
            frame(tmp_path / f"frames_cleanpass/TRAIN/A/0000/{camera}/{number:04d}.png", number)
            name = f"{number:04d}_{letter}.pfm"
            field(flow / "into_future" / camera / f"OpticalFlowIntoFuture_{name}", number)
            field(flow / "into_past" / camera / f"OpticalFlowIntoPast_{name}", -number)
    pairs = {item.name: item.read() for item in stored.flying_things(tmp_path)}
    cameras = ("left", "right")
    assert sorted(pairs) == [f"A/0000/{c}/{name}" for c in cameras for name in ("0006+", "0007-")]
    for name, levels in {"A/0000/left/0006+": (6, 7, 6), "A/0000/left/0007-": (7, 6, -7)}.items():
        pair = pairs[name]
        for part, level in zip((pair.onset, pair.apex, pair.flow_px[0]), levels, strict=True):
            assert (part == level).all()
    with pytest.raises(InputError, match="no such folder"):
        stored.flying_things(tmp_path, "TEST")
    (flow / "into_past" / "left" / "x.pfm").write_bytes(b"")
    with pytest.raises(InputError, match="not named"):
        stored.flying_things(tmp_path)


def test_folders_by_their_layout(tmp_path: Path, chairs: Path) -> None:
    sintel, middlebury = tmp_path / "sintel", tmp_path / "middlebury"
    for look in ("clean", "final"):
        for number in (1, 2):
            frame(sintel / "training" / look / "alley_1" / f"frame_{number:04d}.png", number)
    field(sintel / "training" / "flow" / "alley_1" / "frame_0001.flo", 1.5)
    for number in (10, 11):
        frame(middlebury / "other-data" / "Venus" / f"frame{number}.png", number)
    field(middlebury / "other-gt-flow" / "Venus" / "flow10.flo", 1e10)
    names = [item.name for item in stored.find_pairs(sintel)]
    assert names == ["clean/alley_1/0001", "final/alley_1/0001"]
    assert stored.find_pairs(sintel / "training")[0].read().flow_px[0, 0, 0] == 1.5
    venus = stored.find_pairs(middlebury)
    assert [item.name for item in venus] == ["Venus"]
    assert np.isnan(venus[0].read().flow_px).all(), "Middlebury marks what is unknown by 1e9"
    assert [item.name for item in stored.find_pairs(chairs)] == ["00002"]
    (chairs / stored.SPLIT_FILE).unlink()
    assert len(stored.find_pairs(chairs)) == 3
    with pytest.raises(InputError, match="laid out as"):
        stored.find_pairs(tmp_path / "nothing")
