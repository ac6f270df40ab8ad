"""Every prepared clip on one page: onset with landmarks, apex, motion; to look over in a minute."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hmrm_lab.preparation.crops import Crop
from hmrm_lab.records import Clip, Floats, FlowSet
from hmrm_lab.reporting.flow_colour import colour_wheel, flow_to_rgb
from hmrm_lab.reporting.pages import render_page
from hmrm_lab.reporting.pictures import image_uri
from hmrm_lab.runtime.store import write_atomic

SIDE_PX, WHEEL_PX = 112, 56
FACES = {"none": "", "neighbour": "face of another frame", "template": "mean face"}
APEXES = {"annotated": "", "spotted": "apex spotted", "guessed": "apex guessed: nothing moves"}
MUCH_OUTSIDE = 0.05  # of a crop's area
DOT, RIM = (255, 214, 64), (20, 20, 20)


def write_contact_sheet(file: Path, title: str, crops: Sequence[Crop], flowset: FlowSet) -> Path:
    """Write the page; it needs no network, and holds pictures of whoever was recorded.

    Parameters
    ----------
    crops
        Of all clips, those that were left out among them.
    flowset
        The motion of the usable ones.
    """
    motion = dict(zip(flowset.keys, flowset.maps, strict=True))
    people = [
        {"name": person, "clips": [_cell(crop, motion.get(crop.key)) for crop in group]}
        for person, group in groupby(
            sorted(crops, key=lambda crop: crop.key), key=lambda crop: crop.key.person
        )
    ]
    lost = sum(crop.clip is None for crop in crops)
    page = render_page(
        "contact_sheet.html.j2",
        title=title,
        people=people,
        usable=len(crops) - lost,
        lost=lost,
        side=SIDE_PX,
        wheel=image_uri(colour_wheel(WHEEL_PX), "png"),
    )
    write_atomic(file, page + "\n")
    return file


def _cell(crop: Crop, maps: Floats | None) -> dict[str, Any]:
    """What the page shows of one clip."""
    if crop.clip is None or maps is None:
        return {"name": crop.key.clip, "problem": crop.problem, "pictures": [], "remarks": []}
    clip = crop.clip
    longest = float(np.hypot(maps[0], maps[1]).max())
    motion = cv2.resize(flow_to_rgb(maps[:2]), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST)
    pictures = [
        ("onset, landmarks", image_uri(_with_landmarks(clip), "jpeg")),
        (f"apex, frame {crop.apex_frame}", image_uri(_small(clip.frames[1]), "jpeg")),
        (f"motion to {longest:.2f} px", image_uri(motion, "jpeg")),
    ]
    beyond = crop.outside_share
    outside = f"{beyond:.0%} outside the picture" if beyond > MUCH_OUTSIDE else ""
    remarks = [text for text in (FACES[crop.face], APEXES[crop.apex], outside) if text]
    remarks += [warning.sentence for warning in crop.warnings]
    return {
        "name": f"{clip.key.clip}, {clip.expression}",
        "problem": "",
        "pictures": pictures,
        "remarks": remarks,
    }


def _with_landmarks(clip: Clip) -> NDArray[np.uint8]:
    onset = clip.frames[0]
    landmarks = clip.frames.landmarks(0)  # type: ignore[attr-defined]
    picture = _small(onset)
    for x, y in landmarks * (SIDE_PX / onset.shape[0]):
        place = (round(float(x)), round(float(y)))
        cv2.circle(picture, place, 2, RIM, -1, cv2.LINE_AA)
        cv2.circle(picture, place, 1, DOT, -1, cv2.LINE_AA)
    return picture


def _small(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
