import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.datasets.classes import scheme
from hmrm_lab.datasets.flowmaps import flowmaps
from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.errors import InputError

Harm = Callable[[Path], object]
LAST, FIRST = "maps/s1_a .png", "maps/sub01_EP01 .png"
LIST = "dataset,sub,filename_o,label"


def write_tree(root: Path) -> Path:
    """Three clips of two subjects in the published layout, blank in the file name and all."""
    (root / "maps").mkdir(parents=True)
    rows("casme2,sub01,EP01,1", "casme2,sub01,EP02,0", "smic,s1,a,2")(root)
    rng = np.random.default_rng(0)
    for name in (FIRST, "maps/sub01_EP02.png", LAST):
        cv2.imwrite(str(root / name), rng.integers(0, 256, (28, 28, 3), dtype=np.uint8))
    return root


def test_layout_and_channel_order(tmp_path: Path) -> None:
    flowset = flowmaps(write_tree(tmp_path))
    assert flowset.maps.shape == (3, 3, 28, 28)
    assert flowset.labels.tolist() == [1, 0, 2]
    assert flowset.subjects == ("casme2/sub01", "casme2/sub01", "smic/s1")
    blue, green, red = cv2.split(cv2.imread(str(tmp_path / FIRST)))
    assert flowset.maps[0] == pytest.approx(np.stack([red, green, blue]) / 255, abs=1e-6)
    assert flowset.unit == "relative"


def put(name: str, content: bytes) -> Harm:
    return lambda root: (root / name).write_bytes(content)


def picture(shape: tuple[int, ...], kind: type = np.uint8) -> Harm:
    return lambda root: cv2.imwrite(str(root / LAST), np.zeros(shape, kind))


def rows(*lines: str) -> Harm:
    return lambda root: (root / "labels.csv").write_text("\n".join([LIST, *lines, ""]))


def truncate(root: Path) -> None:
    os.truncate(root / FIRST, 2000)


DAMAGES: list[tuple[Harm, list[str]]] = [
    (truncate, ["sub01_EP01 .png", "row 2", "cut off", "copy the file again"]),
    (picture((32, 28, 3)), ["s1_a .png", "(32, 28, 3)", "28x28"]),
    (picture((28, 28)), ["s1_a .png", "8-bit RGB"]),
    (picture((28, 28, 3), np.uint16), ["s1_a .png", "uint16"]),
    (put(LAST, b"no image"), ["s1_a .png", "not a PNG"]),
    (lambda root: (root / LAST).unlink(), ["row 4", "no map 's1_a.png'", "remove this row"]),
    (lambda root: (root / "labels.csv").unlink(), ["no labels.csv"]),
    (put("labels.csv", f"{LIST}\n".encode() + b"\xff\xfe,a,b,0\n"), ["row 2", "not UTF-8 text"]),
    (put("labels.csv", b"dataset,sub,label\n"), ["no column 'filename_o'"]),
    (rows("casme2,sub01,EP01,3"), ["row 2", "label '3' is none of 0 negative", "2 surprise"]),
    (rows(*["casme2,sub01,EP01,1"] * 2), ["row 3", "listed twice", "row 2", "remove this row"]),
    (rows("casme2,../up,EP01,1"), ["row 2", "the subject '../up' is a path"]),
    (rows("casme2,sub01,,1"), ["row 2", "the clip is empty"]),
    (rows(), ["lists no clips"]),
]


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    for number, (damage, words) in enumerate(DAMAGES):
        root = write_tree(tmp_path / str(number))
        damage(root)
        with pytest.raises(InputError) as caught:
            flowmaps(root)
        assert all(word in str(caught.value) for word in words), words
    with pytest.raises(InputError, match="no such folder"):
        flowmaps(tmp_path / "absent")
    with pytest.raises(InputError, match=r"row 2: label .* is a number"):
        flowmaps(write_tree(tmp_path / "sound"), scheme=scheme("samm-5"))


def test_names_that_lost_their_zeros_in_a_list_of_maps(tmp_path: Path) -> None:
    keys = [("samm", "006", "006_1_2"), ("smic", "s01", "s01_po_01"), ("own", "007", "01_a")]
    (tmp_path / "maps").mkdir()
    for _, subject, clip in keys:
        image = np.full((28, 28, 3), 99, np.uint8)
        cv2.imwrite(str(tmp_path / "maps" / f"{subject}_{clip} .png"), image)
    text = f"{LIST}\n"
    for label, key in enumerate(keys):
        text += f"{','.join(key)},{label}\n"
    lost = text.replace(",006,", ",6,").replace(",s01,", ",s1,").replace(",007,", ",7,")
    for case, content in {
        "as published": text,
        "another header": text.replace("sub,filename_o,l", "Subject,Filename,L"),
        "subjects without zeros": lost,
        "subjects as floats": lost.replace(",6,", ",6.0,").replace(",7,", ",7.0,"),
        "clips without zeros": lost.replace("006_1_2", "6_1_2").replace("01_a", "1_a"),
        "labels in words": text.replace(",0\n", ",negative\n").replace(",2\n", ",Surprise\n"),
        "data sets in capitals": text.replace("samm", "SAMM").replace("smic", "SMIC-HS"),
    }.items():  # fmt: skip
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
