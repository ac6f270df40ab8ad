import os
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import refusal

from hmrm_lab.datasets.classes import scheme
from hmrm_lab.datasets.flowmaps import flowmaps
from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.errors import InputError

Harm = Callable[[Path], object]
LAST, FIRST = "maps/s1_a .png", "maps/sub01_EP01 .png"
LIST = "dataset,sub,filename_o,label"
THREE = (("casme2", "sub01", "EP01", 1), ("casme2", "sub01", "EP02", 0), ("smic", "s1", "a", 2))
LISTS = tomllib.loads(Path(__file__).with_name("lists_of_maps.toml").read_text(encoding="utf-8"))


def write_tree(root: Path, rows: Iterable[tuple[str, str, str, int]] = THREE) -> Path:
    """Maps of noise in the published layout, every other with the blank in the file name."""
    (root / "maps").mkdir(parents=True)
    rng, lines = np.random.default_rng(0), [LIST]
    for number, (dataset, subject, clip, label) in enumerate(rows):
        image = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        blank = " " * (number % 2 == 0)
        cv2.imwrite(str(root / "maps" / f"{subject}_{clip}{blank}.png"), image)
        lines.append(f"{dataset},{subject},{clip},{label}")
    (root / "labels.csv").write_text("\n".join([*lines, ""]))
    return root


def test_layout_and_channel_order(tmp_path: Path) -> None:
    flowset = flowmaps(write_tree(tmp_path))
    assert flowset.maps.shape == (3, 3, 28, 28)
    assert flowset.labels.tolist() == [1, 0, 2]
    assert flowset.subjects == ("casme2/sub01", "casme2/sub01", "smic/s1")
    blue, green, red = cv2.split(cv2.imread(str(tmp_path / FIRST)))
    assert flowset.maps[0] == pytest.approx(np.stack([red, green, blue]) / 255, abs=1e-6)
    assert flowset.unit == "relative"


def picture(shape: tuple[int, ...], kind: type = np.uint8) -> Harm:
    return lambda root: cv2.imwrite(str(root / LAST), np.zeros(shape, kind))


DAMAGES: list[tuple[Harm, list[str]]] = [
    (
        lambda root: os.truncate(root / FIRST, 2000),
        ["sub01_EP01 .png", "row 2", "cut off", "copy the file again"],
    ),
    (picture((32, 28, 3)), ["s1_a .png", "(32, 28, 3)", "28x28"]),
    (picture((28, 28)), ["s1_a .png", "8-bit RGB"]),
    (picture((28, 28, 3), np.uint16), ["s1_a .png", "uint16"]),
    (lambda root: (root / LAST).write_bytes(b"no image"), ["s1_a .png", "not a PNG"]),
    (lambda root: (root / LAST).unlink(), ["row 4", "no map 's1_a.png'", "remove this row"]),
    (lambda root: (root / "labels.csv").unlink(), ["no labels.csv"]),
]


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    for number, (damage, words) in enumerate(DAMAGES):
        root = write_tree(tmp_path / str(number))
        damage(root)
        said = refusal(flowmaps, root)
        assert all(word in said for word in words), words
    assert "no such folder" in refusal(flowmaps, tmp_path / "absent")
    for content, words in LISTS["refused"].items():
        (root / "labels.csv").write_bytes(content.encode("latin-1"))
        with pytest.raises(InputError, match=words):
            flowmaps(root)
    with pytest.raises(InputError, match=r"row 2: label .* is a number"):
        flowmaps(write_tree(tmp_path / "sound"), scheme=scheme("samm-5"))


def test_names_that_lost_their_zeros_in_a_list_of_maps(tmp_path: Path) -> None:
    keys = [("samm", "006", "006_1_2"), ("smic", "s01", "s01_po_01"), ("own", "007", "01_a")]
    write_tree(tmp_path, [(*key, label) for label, key in enumerate(keys)])
    text = (tmp_path / "labels.csv").read_text()
    for case, content in LISTS["sound"].items():
        (tmp_path / "labels.csv").write_bytes(content.encode())
        flowset = flowmaps(tmp_path)
        assert [tuple(key) for key in flowset.keys] == keys, case
        assert flowset.labels.tolist() == [0, 1, 2], case
    (tmp_path / "labels.csv").write_text(text + "samm,6,006_1_2,0\n")
    with pytest.raises(InputError, match="row 5: samm/006/006_1_2 is listed twice, first in row 2"):
        flowmaps(tmp_path)
    (tmp_path / "maps" / "6_6_1_2.png").write_bytes(b"")
    (tmp_path / "labels.csv").write_text(text.replace("006,006_1_2", "06,006_1_2"))
    with pytest.raises(InputError, match=r"no map '06_006_1_2\.png'"):
        flowmaps(tmp_path)  # two maps are as near


@pytest.mark.realdata
def test_the_published_maps_agree_with_the_official_list(real_data: Path) -> None:
    flowset = flowmaps(real_data / "megc2019-flowmaps")
    assert len(flowset) == 309
    assert len(set(flowset.subjects)) == 40
    official = megc2019()
    ours = dict(zip(flowset.keys, flowset.labels.tolist(), strict=True))
    assert ours == {key: official[key] for key in ours}
