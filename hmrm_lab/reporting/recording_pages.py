"""Recordings in text, picture and page: a prediction, a contact sheet, the audit of a data set."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hmrm_lab.datasets.audit import Audit, Counts, by_kind
from hmrm_lab.datasets.recordings.findings import KINDS, shown
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.recording_prediction import ELSEWHERE, RecordingPrediction
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.preparation.crops import Crop
from hmrm_lab.preparation.quality import ClipWarning
from hmrm_lab.records import Clip, Floats, FlowSet
from hmrm_lab.reporting.drawing import (
    WHITE,
    Image,
    enlarged_flow,
    flow_picture,
    flow_to_rgb,
    image_uri,
    longest_px,
    mark_points,
    png_bytes,
    resized,
    rgb,
    wheel_picture,
)
from hmrm_lab.reporting.report import render_page
from hmrm_lab.reporting.style import CLASS_COLOURS, VERMILLION
from hmrm_lab.reporting.tables import aligned
from hmrm_lab.runtime.store import write_atomic, write_atomic_bytes

SCALE = 2  # picture pixels per pixel of the crop
GAP = 24
TITLE_PX, BAR_PX, LINE_PX = 92, 30, 22
LABEL_PX = 110  # left of the bars
DARKEST = 0.7  # how much of the colour covers the part with the largest share
LEAST_LABEL = 0.05  # smaller shares are not written on the face
FEW_PARTS = 3  # named in words
FONT = cv2.FONT_HERSHEY_SIMPLEX
BLACK, GREY, LIGHT = (25, 25, 25), (100, 106, 115), (232, 234, 237)
HINTS = {
    "cut": "Mark a part without one with --onset and --offset.",
    "dark": "Name another frame with --onset or --apex.",
    "no_face": "Name another frame, or give --faces template if the face fills the frames.",
    "blink": "Mark another frame with --apex, or let it be spotted.",
    "large_motion": "Mark a smaller one with --onset and --apex.",
    "long": "Mark it with --onset and --offset.",
    "several_faces": "--face takes another.",
}
NO_PART = "no part alone: holding any one of them still hardly changes the answer"

SIDE_PX, WHEEL_PX = 112, 56
FACES = {"none": "", "neighbour": "face of another frame", "template": "mean face"}
APEXES = {"annotated": "", "spotted": "apex spotted", "guessed": "apex guessed: nothing moves"}
MUCH_OUTSIDE = 0.05  # of a crop's area
SHOWN_PER_KIND = 5  # on a terminal; the page and --json have them all
Cells = Sequence[str]


def check_png(path: Path) -> Path:
    """The path of a picture, or an `InputError` if it is of another kind than .png."""
    if path.suffix.lower() != ".png":
        raise InputError(f"picture '{path.name}' is not .png", hint="name a .png file")
    return path


def write_prediction(prediction: RecordingPrediction, path: Path) -> Path:
    """Write the picture of a prediction; returns its path. Only .png is written."""
    write_atomic_bytes(check_png(path), png_bytes(prediction_picture(prediction)))
    return path


def prediction_text(prediction: RecordingPrediction, picture: Path) -> str:
    """A prediction as text for a terminal."""
    lines = [("", prediction.answer)]
    if prediction.answered:
        order = prediction.probabilities.argsort()[::-1]
        lines = [(prediction.classes[k], _percent(prediction.probabilities[k])) for k in order]
    lines += [("warning", _warning_words(warning)) for warning in prediction.warnings]
    lines += [
        ("face", f"{prediction.face} ({prediction.provider})"),
        ("frames", _frames_words(prediction)),
    ]
    if prediction.answered:
        lines += [("driven by", _drive_words(prediction)), ("parts", _part_words(prediction))]
    lines += [("run", prediction.run), ("picture", str(picture))]
    facts = "\n".join(f"{name:>10}  {value}" for name, value in lines)
    return "\n".join([facts, "", *prediction.caveats]).rstrip()


def prediction_picture(prediction: RecordingPrediction) -> Image:
    """Face with its parts shaded, motion as arrows, probabilities, and what they are worth.

    Shapes
    ------
    returns : (H, W, 3) uint8, RGB
    """
    side = SCALE * prediction.apex_image.shape[0]
    width = 2 * side + 3 * GAP
    texts = [(_warning_words(warning), rgb(VERMILLION)) for warning in prediction.warnings]
    texts += [(text, GREY) for text in prediction.caveats]
    notes = [(line, colour) for text, colour in texts for line in _wrapped(text, width - 2 * GAP)]
    bars = TITLE_PX + side + GAP
    foot = bars + (BAR_PX * len(prediction.classes) + GAP if prediction.answered else 0)
    page = np.full((foot + LINE_PX * len(notes) + GAP // 2, width, 3), 255, dtype=np.uint8)
    name = Path(prediction.recording).resolve().name
    title = prediction.answer
    if prediction.answered:
        title += f"  {_percent(prediction.probabilities.max())}"
    _write(page, title, (GAP, 34), 0.9, thickness=2)
    _write(page, f"{name}: {_frames_words(prediction)}", (GAP, 60), 0.5, colour=GREY)
    moved = without_median(prediction.motion[:2])
    decided = any(prediction.part_shares.values())
    left = "Apex: share of each part in the answer" if decided else "Apex: no part decides"
    longest = longest_px(moved)
    right = f"Onset: motion to the apex, median taken away, longest arrow {longest:.2f} px"
    if not prediction.answered:
        left, right = "Apex", "Onset"
    arrows = flow_picture(
        enlarged_flow(moved, side // SCALE), "quiver", frame=prediction.onset_image, scale=SCALE
    )
    panels = ((left, shaded_parts(prediction)), (right, arrows))
    for place, (title, panel) in enumerate(panels):
        x = GAP + place * (side + GAP)
        _write(page, title, (x, TITLE_PX - 8), 0.5)
        page[TITLE_PX : TITLE_PX + side, x : x + side] = panel
    bar_values = zip(prediction.classes, prediction.probabilities, strict=True)
    for row, (label, value) in enumerate(bar_values if prediction.answered else ()):
        _draw_bar(page, label, float(value), CLASS_COLOURS[row], bars + row * BAR_PX)
    for row, (line, colour) in enumerate(notes):
        _write(page, line, (GAP, foot + row * LINE_PX + 14), 0.5, colour=colour)
    return page


def shaded_parts(prediction: RecordingPrediction) -> Image:
    """The apex in grey, each part covered by as much colour as it has a share."""
    grey = cv2.cvtColor(prediction.apex_image, cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    face = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB).astype(np.float32)
    shares = prediction.part_shares
    most = max(shares.values(), default=0.0) or 1.0
    masks = {
        name: mask.repeat(SCALE, 0).repeat(SCALE, 1) for name, mask in prediction.parts.items()
    }
    covers = [DARKEST * shares[name] / most * mask for name, mask in masks.items()]
    cover = np.max(covers, axis=0, initial=0.0)
    face += cover[..., None] * (np.array(rgb(VERMILLION)) - face)
    picture = np.ascontiguousarray(face.clip(0, 255).astype(np.uint8))
    for name, mask in masks.items():
        place = (8, face.shape[0] - 10)
        if name != ELSEWHERE and mask.any():
            outline = cv2.findContours(
                mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(picture, outline[0], -1, WHITE, 1)
            rows, columns = np.nonzero(mask)
            place = (round(columns.mean()) - 18, round(rows.mean()) + 6)
        if shares[name] >= LEAST_LABEL:
            _write(picture, _percent(shares[name]), place, 0.55, colour=BLACK, thickness=4)
            _write(picture, _percent(shares[name]), place, 0.55, colour=WHITE)
    return picture


def _draw_bar(page: Image, label: str, value: float, colour: str, top: int) -> None:
    left, full = GAP + LABEL_PX, page.shape[1] - 2 * GAP - LABEL_PX - 60
    for width, fill in ((full, LIGHT), (max(1, round(value * full)), rgb(colour))):
        cv2.rectangle(page, (left, top + 2), (left + width, top + 20), fill, cv2.FILLED)
    _write(page, label, (GAP, top + 17), 0.55)
    _write(page, _percent(value), (left + full + 10, top + 17), 0.55)


def _write(
    page: Image,
    text: str,
    at: tuple[int, int],
    size: float,
    *,
    colour: tuple[int, int, int] = BLACK,
    thickness: int = 1,
) -> None:
    """OpenCV's letters are those of ASCII; others become question marks."""
    shown = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(page, shown, at, FONT, size, colour, thickness, cv2.LINE_AA)


def _wrapped(text: str, width_px: int) -> list[str]:
    """Lines that fit, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and cv2.getTextSize(longer, FONT, 0.5, 1)[0][0] > width_px:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _frames_words(prediction: RecordingPrediction) -> str:
    offset = "" if prediction.offset is None else f", offset {prediction.offset}"
    return (
        f"onset {prediction.onset}, apex {prediction.apex} ({prediction.apex_is}){offset} "
        f"of {prediction.frames}"
    )


def _warning_words(warning: ClipWarning) -> str:
    """The sentence, and the options that help."""
    hint = HINTS.get(warning.code)
    return f"{warning.sentence} {hint}" if hint else warning.sentence


def _drive_words(prediction: RecordingPrediction) -> str:
    shares = sorted(prediction.part_shares.items(), key=lambda part: -part[1])[:FEW_PARTS]
    words = [f"{name.replace('_', ' ')} {_percent(share)}" for name, share in shares if share > 0]
    return "; ".join(words) or NO_PART


def _part_words(prediction: RecordingPrediction) -> str:
    falls = sorted(prediction.part_falls.items(), key=lambda part: -part[1])
    words = [f"{name.replace('_', ' ')} {100 * fall:+.0f}" for name, fall in falls]
    return ", ".join(words) + " (points lost when it is held still)"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


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
    subjects = [
        {"name": person, "clips": [_cell(crop, motion.get(crop.key)) for crop in group]}
        for person, group in groupby(
            sorted(crops, key=lambda crop: crop.key), key=lambda crop: crop.key.subject_key
        )
    ]
    lost = sum(crop.clip is None for crop in crops)
    page = render_page(
        "contact_sheet.html.j2",
        title=title,
        subjects=subjects,
        usable=len(crops) - lost,
        lost=lost,
        side=SIDE_PX,
        wheel=image_uri(wheel_picture(WHEEL_PX), "png"),
    )
    write_atomic(file, page + "\n")
    return file


def _cell(crop: Crop, maps: Floats | None) -> dict[str, Any]:
    """The pictures and remarks of one clip."""
    if crop.clip is None or maps is None:
        return {"name": crop.key.clip, "problem": crop.problem, "pictures": [], "remarks": []}
    clip = crop.clip
    longest = float(np.hypot(maps[0], maps[1]).max())
    motion = resized(flow_to_rgb(maps[:2]), SIDE_PX, cv2.INTER_NEAREST)
    pictures = [
        ("onset, landmarks", image_uri(_with_landmarks(clip), "jpeg")),
        (
            f"apex, frame {crop.apex_frame}",
            image_uri(resized(clip.frames[1], SIDE_PX, cv2.INTER_AREA), "jpeg"),
        ),
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


def _with_landmarks(clip: Clip) -> Image:
    onset = clip.frames[0]
    landmarks = clip.frames.landmarks(0)  # type: ignore[attr-defined]
    picture = resized(onset, SIDE_PX, cv2.INTER_AREA)
    mark_points(picture, landmarks * (SIDE_PX / onset.shape[0]), 1)
    return picture


def audit_text(audit: Audit) -> str:
    """The verdict, the counts, and the first findings of each kind."""
    blocks = [
        f"{audit.facts.title} in {shown(audit.survey.root)}\n{audit.verdict}",
        aligned(class_rows(audit), [True, False, False]),
        aligned(subject_rows(audit), [True, False, False]),
    ]
    for kind, found in by_kind(audit.findings).items():
        lines = [f"  {one}" for one in found[:SHOWN_PER_KIND]]
        more = len(found) - len(lines)
        lines += [f"  ... and {more} more (--json or --html lists all)"] if more else []
        blocks.append("\n".join([f"{KINDS[kind]}: {len(found)}", *lines]))
    return "\n\n".join([*blocks, "\n".join(closing(audit))])


def write_audit_page(audit: Audit, file: Path) -> Path:
    """Write the audit as one page that needs no network."""
    page = render_page(
        "data_audit.html.j2",
        title=audit.facts.title,
        root=shown(audit.survey.root),
        verdict=audit.verdict,
        complete=audit.complete,
        tables=[class_rows(audit), subject_rows(audit)],
        findings=by_kind(audit.findings),
        kinds=KINDS,
        closing=closing(audit),
    )
    write_atomic(file, page + "\n")
    return file


def class_rows(audit: Audit) -> list[Cells]:
    """Clips of each class, found and expected; the header first."""
    counts = audit.facts.counts
    rows: list[Cells] = [("class", "usable", "expected")]
    for label, name in enumerate(audit.classes):
        rows.append((name, str(audit.found[label]), str(counts[label]) if counts else "-"))
    total = str(sum(counts)) if counts else "-"
    return [*rows, ("all", str(len(audit.clips)), total)]


def subject_rows(audit: Audit) -> list[Cells]:
    """Clips of each subject, by class in their order; the header first."""
    rows: list[Cells] = [(f"subject ({'/'.join(audit.classes)})", "usable", "expected")]
    for one in audit.subjects:
        expected = _slashed(one.expected) if one.expected else "-"
        mark = " !" if one.expected and one.expected != one.found else ""
        rows.append((shown(f"{one.dataset}/{one.subject}"), _slashed(one.found), expected + mark))
    return rows


def closing(audit: Audit) -> list[str]:
    """The files that were read, and the source of the data."""
    facts, survey = audit.facts, audit.survey
    others = ", ".join(f"{name} {count}" for name, count in sorted(survey.other_classes.items()))
    listed = f" of {facts.listed}" if facts.listed else ""
    depth = "decoded" if audit.deep else "looked at by header and end (--deep decodes them)"
    return [
        f"listed     {survey.rows}{listed} in {shown(survey.coding or survey.root)}",
        *([f"not used   {shown(others)}"] if others else []),
        f"frames     {audit.frames} {depth}",
        f"request    {facts.request}",
    ]


def _slashed(counts: Counts) -> str:
    return "/".join(map(str, counts))
