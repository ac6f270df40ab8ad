from pathlib import Path

import cv2
import numpy as np
import pytest

from hmrm_lab.errors import InputError
from hmrm_lab.flow.curriculum import PRESETS, procedural_mixture, read_pictures, sources_for


def test_the_mixture_takes_photographs(tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 255, (600, 1200, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photograph.png"), large)
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = read_pictures(tmp_path)
    assert [picture.shape for picture in pictures] == [(450, 900, 3)]
    mixture = procedural_mixture(64, photographs=tmp_path, stock=2, people=1)
    for seed in range(6):
        assert mixture(np.random.default_rng(seed)).onset.shape == (64, 64, 3)
    (tmp_path / "broken.png").write_bytes(b"no picture either")
    with pytest.raises(InputError, match=r"broken\.png: not a PNG"):
        read_pictures(tmp_path)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        read_pictures(tmp_path)


def test_the_paper_needs_its_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learns from FlyingChairs"):
        sources_for(PRESETS["paper"])
    with pytest.raises(InputError, match="no such folder of FlyingChairs"):
        sources_for(PRESETS["paper"], chairs=tmp_path)
