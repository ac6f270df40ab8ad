import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from hmrm_lab.reporting.report import write_loss_page
from hmrm_lab.reporting.svg import log_curve_svg


def write_history(folder: Path, steps: int) -> Path:
    rows = [f"{n},{3 / n:.6f},{0.5 / n:.6f},1e-3" for n in range(1, steps + 1)]
    path = folder / "loss.csv"
    path.write_text("\n".join(["step,loss,epe_px,learning_rate", *rows]) + "\n", encoding="utf-8")
    return path


def test_the_page_loads_itself_until_the_training_is_done(tmp_path: Path) -> None:
    history = write_history(tmp_path, 900)
    running = write_loss_page(history, tmp_path / "a.html", 1000).read_text(encoding="utf-8")
    done = write_loss_page(history, tmp_path / "b.html", 900).read_text(encoding="utf-8")
    assert "step 900 of 1000" in running
    assert 'http-equiv="refresh"' in running
    assert 'http-equiv="refresh"' not in done
    assert running.count("<svg") == 2
    assert running.count("<path") == 2


def test_before_the_first_step_it_says_so(tmp_path: Path) -> None:
    page = write_loss_page(write_history(tmp_path, 0), tmp_path / "a.html", 10)
    assert page.read_text(encoding="utf-8").count("nothing yet") == 2


@pytest.mark.parametrize("count", [1, 2, 150])
def test_a_curve_stays_inside_its_frame_and_falls(count: int) -> None:
    steps = np.arange(1, count + 1, dtype=np.float64)
    drawing = ET.fromstring(log_curve_svg(steps, 2 / steps, count, "loss", "#000"))
    path = next(e for e in drawing.iter() if e.tag.endswith("path")).attrib["d"]
    places = np.array([p.split(",") for p in re.split("[ ML]", path)[1:]], dtype=float)
    assert len(places) == max(count, 2)
    assert (places >= 0).all()
    assert places[:, 0].max() <= 720
    assert places[:, 1].max() <= 240
    assert (np.diff(places[:, 1]) >= 0).all()
