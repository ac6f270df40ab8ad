"""Recordings in text, picture and page: a prediction, a contact sheet, the audit of a data set."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from hmrm_lab.datasets.audit import Audit, by_kind
from hmrm_lab.datasets.recordings.findings import KINDS, shown
from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import percent
from hmrm_lab.evaluation.recording_prediction import ELSEWHERE, NO_ANSWER, RecordingPrediction
from hmrm_lab.flow.motion_maps import without_median
from hmrm_lab.preparation.crops import Crop
from hmrm_lab.preparation.quality import ClipWarning
from hmrm_lab.records import PROBABILITY, Floats, FlowSet
from hmrm_lab.reporting import drawing
from hmrm_lab.reporting.drawing import WHITE, Image, image_uri, resized, rgb
from hmrm_lab.reporting.style import CLASS_COLOURS, VERMILLION
from hmrm_lab.reporting.svg import render_page
from hmrm_lab.reporting.tables import aligned
from hmrm_lab.runtime.store import write_atomic, write_atomic_bytes

Point = tuple[int, int]
Colour = tuple[int, int, int]
SCALE = 2  # picture pixels per pixel of the crop
GAP = 24
TITLE_PX, BAR_PX, LINE_PX, LETTER_PX = 92, 30, 22, 10
LABEL_PX = 110  # left of the bars
DARKEST = 0.7  # how much of the colour covers the part with the largest share
LEAST_LABEL = 0.05  # smaller shares are not written on the face
FEW_PARTS = 3  # named in words
FONT = cv2.FONT_HERSHEY_SIMPLEX
BLACK, GREY, LIGHT = (25, 25, 25), (100, 106, 115), (232, 234, 237)
_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
HINTS, FACES, APEXES = (_WORDS[name] for name in ("hints", "faces", "apexes"))
NO_PART = "no part alone: holding any one of them still hardly changes the answer"

SIDE_PX, WHEEL_PX = 112, 56
MUCH_OUTSIDE = 0.05  # of a crop's area
MOST_OF_MAP = 0.98  # share of the cells of a map that its colours tell apart; the others are darker
SHOWN_PER_KIND = 5  # on a terminal; the page and --json have them all


def check_png(path: Path) -> Path:
    """The path of a picture, or an `InputError` if it is of another kind than .png."""
    if path.suffix.lower() != ".png":
        raise InputError(f"picture '{path.name}' is not .png", hint="name a .png file")
    return path


def write_prediction(prediction: RecordingPrediction, path: Path) -> Path:
    """Write the picture of a prediction; returns its path. Only .png is written."""
    write_atomic_bytes(check_png(path), drawing.png_bytes(prediction_picture(prediction)))
    return path


def prediction_text(prediction: RecordingPrediction, picture: Path) -> str:
    lines = [("", prediction.answer)]
    if prediction.answered:
        order = prediction.probabilities.argsort()[::-1]
        lines = [(prediction.classes[k], percent(prediction.probabilities[k])) for k in order]
    if prediction.units:
        moving = [f"{n} {percent(p)}" for n, p in _largest(prediction.units) if p >= 0.5]
        lines.append(("moves", ", ".join(moving) or f"no unit of {', '.join(prediction.units)}"))
    lines += [("warning", _warning_words(warning)) for warning in prediction.warnings]
    lines.append(("face", f"{prediction.face} ({prediction.provider})"))
    lines.append(("frames", _frames_words(prediction)))
    if prediction.answered:
        shares = [(name, share) for name, share in _largest(prediction.part_shares) if share > 0]
        drive = [f"{name} {percent(share)}" for name, share in shares[:FEW_PARTS]]
        falls = [f"{name} {100 * fall:+.0f}" for name, fall in _largest(prediction.part_falls)]
        lines.append(("driven by", "; ".join(drive) or NO_PART))
        lines.append(("parts", ", ".join(falls) + " (points lost when it is held still)"))
    lines += [("run", prediction.run), ("picture", str(picture))]
    facts = "\n".join(f"{name:>10}  {value}" for name, value in lines)
    return "\n".join([facts, "", *prediction.caveats]).rstrip()


def predictions_text(table: pd.DataFrame, out: Path | None) -> str:
    """The answers for many clips, what is odd about some, and what they are worth."""
    plain = table.astype(object).where(table.notna(), "")
    names = (plain["dataset"] + "/" + plain["subject"] + "/" + plain["clip"]).str.strip("/")
    shares = [name for name in table if str(name).startswith(PROBABILITY)]
    plain["prediction"] = plain["prediction"].replace("", NO_ANSWER)
    words = plain[["label", *shares, "prediction", "apex", "apex is"]].map(
        lambda cell: percent(cell) if isinstance(cell, float) else str(cell)
    )
    words.insert(0, "clip", names)
    odd = zip(names, plain["warnings"], plain["problem"], strict=True)
    lines = [aligned(words, [name not in shares for name in words]), ""]
    lines += [f"{name}: {text}" for name, *texts in odd for text in texts if text]
    lines += ["", f"run    {table.attrs['run']}", *([f"table  {out}"] if out else []), ""]
    return "\n".join([*lines, *table.attrs["caveats"]])


def prediction_picture(prediction: RecordingPrediction) -> Image:
    """Face with its parts shaded, motion as arrows, probabilities, and what they are worth."""
    side = SCALE * prediction.apex_image.shape[0]
    width = 2 * side + 3 * GAP
    texts = [(_warning_words(warning), rgb(VERMILLION)) for warning in prediction.warnings]
    texts += [(text, GREY) for text in prediction.caveats]
    notes = [(line, colour) for text, colour in texts for line in _wrapped(text, width - 2 * GAP)]
    bars = TITLE_PX + side + GAP
    foot = bars + (BAR_PX * len(prediction.classes) + GAP if prediction.answered else 0)
    page = np.full((foot + LINE_PX * len(notes) + GAP // 2, width, 3), 255, dtype=np.uint8)
    name = Path(prediction.recording).resolve().name
    moved = without_median(prediction.motion[:2])
    title, left, right = prediction.answer, "Apex", "Onset"
    if prediction.answered:
        title += f"  {percent(prediction.probabilities.max())}"
        decided = any(prediction.part_shares.values())
        left += ": share of each part in the answer" if decided else ": no part decides"
        longest = drawing.longest_px(moved)
        right += f": motion to the apex, median taken away, longest arrow {longest:.2f} px"
    _write(page, title, (GAP, 34), 0.9, width=2)
    _write(page, f"{name}: {_frames_words(prediction)}", (GAP, 60), colour=GREY)
    flow = drawing.enlarged_flow(moved, side // SCALE)
    arrows = drawing.flow_picture(flow, "quiver", frame=prediction.onset_image, scale=SCALE)
    panels = ((left, shaded_parts(prediction)), (right, arrows))
    for place, (heading, panel) in enumerate(panels):
        x = GAP + place * (side + GAP)
        _write(page, heading, (x, TITLE_PX - 8))
        page[TITLE_PX : TITLE_PX + side, x : x + side] = panel
    if prediction.answered:
        shares = zip(prediction.classes, prediction.probabilities.tolist(), strict=True)
        start = GAP + max(LABEL_PX, LETTER_PX * max(map(len, prediction.classes)))
        for row, (label, share) in enumerate(shares):
            _draw_bar(page, label, share, CLASS_COLOURS[row], (start, bars + row * BAR_PX))
    for row, (line, colour) in enumerate(notes):
        _write(page, line, (GAP, foot + row * LINE_PX + 14), colour=colour)
    return page


def shaded_parts(prediction: RecordingPrediction) -> Image:
    """The apex in grey, each part covered by as much colour as it has a share."""
    grey = cv2.cvtColor(prediction.apex_image, cv2.COLOR_RGB2GRAY)
    large = cv2.resize(grey, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    face = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB).astype(np.float32)
    shares = prediction.part_shares
    most = max(shares.values(), default=0.0) or 1.0
    cell = np.ones((SCALE, SCALE), bool)
    masks = {name: np.kron(mask, cell) for name, mask in prediction.parts.items()}
    covers = [DARKEST * shares[name] / most * mask for name, mask in masks.items()]
    cover = np.max(covers, axis=0, initial=0.0)
    face += cover[..., None] * (np.array(rgb(VERMILLION)) - face)
    picture = np.ascontiguousarray(face.clip(0, 255).astype(np.uint8))
    for name, mask in masks.items():
        place = (8, face.shape[0] - 10)
        if name != ELSEWHERE and mask.any():
            edges = cv2.findContours(mask.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, edges[0], -1, WHITE, 1)
            rows, columns = np.nonzero(mask)
            place = (round(columns.mean()) - 18, round(rows.mean()) + 6)
        if shares[name] >= LEAST_LABEL:
            for colour, width in ((BLACK, 4), (WHITE, 1)):
                _write(picture, percent(shares[name]), place, 0.55, colour, width)
    return picture


def _draw_bar(page: Image, label: str, value: float, colour: str, corner: Point) -> None:
    (left, top), full = corner, page.shape[1] - GAP - corner[0] - 60
    for width, fill in ((full, LIGHT), (max(1, round(value * full)), rgb(colour))):
        cv2.rectangle(page, (left, top + 2), (left + width, top + 20), fill, cv2.FILLED)
    _write(page, label, (GAP, top + 17), 0.55)
    _write(page, percent(value), (left + full + 10, top + 17), 0.55)


def _write(
    page: Image, text: str, at: Point, size: float = 0.5, colour: Colour = BLACK, width: int = 1
) -> None:
    """OpenCV's letters are those of ASCII; others become question marks."""
    shown = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(page, shown, at, FONT, size, colour, width, cv2.LINE_AA)


def _wrapped(text: str, width_px: int) -> list[str]:
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
    apex = f"apex {prediction.apex} ({prediction.apex_is})"
    return f"onset {prediction.onset}, {apex}{offset} of {prediction.frames}"


def _warning_words(warning: ClipWarning) -> str:
    return f"{warning.sentence} {HINTS.get(warning.code, '')}".rstrip()


def _largest(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """Names of parts in words, and their numbers, the largest first."""
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return [(name.replace("_", " "), number) for name, number in ordered]


def write_contact_sheet(file: Path, title: str, crops: Sequence[Crop], flowset: FlowSet) -> None:
    """Write the page of all clips, also those left out; it shows whoever was recorded."""
    motion = dict(zip(flowset.keys, flowset.maps, strict=True))
    subjects: dict[str, list[dict[str, Any]]] = {}
    for crop in sorted(crops, key=lambda crop: crop.key):
        cell = _sheet_cell(crop, motion.get(crop.key))
        subjects.setdefault(crop.key.subject_key, []).append(cell)
    lost = sum(crop.clip is None for crop in crops)
    page = render_page(
        "contact_sheet.html.j2",
        title=title,
        subjects=subjects,
        usable=len(crops) - lost,
        lost=lost,
        side=SIDE_PX,
        wheel=image_uri(drawing.wheel_picture(WHEEL_PX), "png"),
    )
    write_atomic(file, page + "\n")


def _sheet_cell(crop: Crop, maps: Floats | None) -> dict[str, Any]:
    if crop.clip is None or maps is None:
        return {"name": crop.key.clip, "problem": crop.problem, "remarks": []}
    clip, beyond = crop.clip, crop.outside_share
    onset, apex = (drawing.frame_picture(clip.frames, number) for number in (0, 1))
    face = resized(onset, SIDE_PX, cv2.INTER_AREA)
    landmarks = clip.frames.landmarks(0)  # type: ignore[attr-defined]
    drawing.mark_points(face, landmarks * (SIDE_PX / onset.shape[0]), 1)
    top = float(np.quantile(np.hypot(*maps[:2]), MOST_OF_MAP))  # one cell at the edge may be wild
    motion = resized(drawing.flow_to_rgb(maps[:2], max_px=top), SIDE_PX, cv2.INTER_NEAREST)
    pictures = {
        "onset, landmarks": face,
        f"apex, frame {crop.apex_frame}": resized(apex, SIDE_PX, cv2.INTER_AREA),
        f"motion to {top:.2f} px, longest {drawing.longest_px(maps[:2]):.2f}": motion,
    }
    outside = f"{beyond:.0%} outside the picture" if beyond > MUCH_OUTSIDE else ""
    remarks = [text for text in (FACES[crop.face], APEXES[crop.apex], outside) if text]
    return {
        "name": f"{clip.key.clip}, {clip.expression}",
        "problem": "",
        "pictures": {caption: image_uri(shown, "jpeg") for caption, shown in pictures.items()},
        "remarks": [*remarks, *(warning.sentence for warning in crop.warnings)],
    }


def audit_text(audit: Audit) -> str:
    blocks = [f"{audit.facts.title} in {shown(audit.survey.root)}\n{audit.verdict}"]
    for table in (_class_counts(audit), _subject_counts(audit)):
        blocks.append(aligned(table, [True, False, False]))
    lists: dict[str, Sequence[object]] = {"not as published": audit.differences}
    lists |= {f"{KINDS[kind]}: {len(of)}": of for kind, of in by_kind(audit.findings).items()}
    for heading, found in lists.items():
        lines = [f"  {one}" for one in found[:SHOWN_PER_KIND]]
        more = len(found) - len(lines)
        lines += [f"  ... and {more} more (--json or --html lists all)"] if more else []
        blocks += ["\n".join([heading, *lines])] if lines else []
    return "\n\n".join([*blocks, "\n".join(_closing(audit))])


def write_audit_page(audit: Audit, file: Path) -> None:
    page = render_page(
        "data_audit.html.j2",
        audit=audit,
        root=shown(audit.survey.root),
        classes=_class_counts(audit),
        subjects=_subject_counts(audit),
        findings=by_kind(audit.findings),
        kinds=KINDS,
        closing=_closing(audit),
    )
    write_atomic(file, page + "\n")


def _class_counts(audit: Audit) -> pd.DataFrame:
    expected = audit.published or ()
    mute = {"no label": audit.without_label} if audit.without_label else {}
    return pd.DataFrame(
        {
            "class": [*audit.classes, *mute, "all"],
            "usable": [*map(str, audit.found), *map(str, mute.values()), str(len(audit.clips))],
            "expected": [*map(str, expected), str(sum(expected))] if expected else "-",
        }
    )


def _subject_counts(audit: Audit) -> pd.DataFrame:
    """Clips of each subject, by class in their order."""
    columns = [f"subject ({'/'.join(audit.classes)})", "usable", "expected"]
    rows = []
    for one in audit.subjects:
        found, expected = ("/".join(map(str, of or ["-"])) for of in (one.found, one.expected))
        mark = " !" if one.expected and one.expected != one.found else ""
        rows.append((shown(f"{one.dataset}/{one.subject}"), found, expected + mark))
    return pd.DataFrame(rows, columns=columns)


def _closing(audit: Audit) -> list[str]:
    """The files that were read, and the source of the data."""
    facts, survey = audit.facts, audit.survey
    others = [f"{name} {len(of)}{_rows(of)}" for name, of in sorted(survey.other_classes.items())]
    units = ", ".join(f"AU{unit} {count}" for unit, count in audit.units.items())
    listed = f" of {facts.listed}" if facts.listed else ""
    depth = "decoded" if audit.deep else "looked at by header and end (--deep decodes them)"
    return [
        f"listed     {survey.rows}{listed} in {shown(survey.coding or survey.root)}",
        *([f"not used   {shown(', '.join(others))}"] if others else []),
        *([f"published  {facts.counts_from}"] if audit.published else []),
        f"units      {audit.coded} of {len(audit.clips)} clips{f': {units}' if units else ''}",
        f"frames     {audit.frames} {depth}",
        *([f"request    {facts.request}"] if facts.request else []),
    ]


def _rows(numbers: Sequence[int]) -> str:
    known = [str(number) for number in numbers if number]
    return f" (rows {', '.join([*known[:5], '...'][: len(known)])})" if known else ""
