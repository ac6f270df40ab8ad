"""Draw docs/images/motion.webp: a built-in clip, its motion magnified, its flow, and the answer.

The network that answers has seen no clip of this subject. `make picture` runs this.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import hmrm_lab as lab

OUT = Path(__file__).parent / "images" / "motion.webp"
SUBJECT, EXPRESSION = "synthetic/s03", "positive"
FACTOR = 8  # how much the motion is magnified
SIDE, GAP, HEAD, FOOT = 288, 16, 44, 36  # px
FRAME_MS, HOLD_MS = 90, 900
INK, SOFT, BAR, PALE = "#1b1f24", "#59626d", "#00588a", "#d9dee4"
TITLES = ("Clip", f"Motion, {FACTOR} times", "Optical flow", "Answer")


def main() -> None:
    clips = lab.load("synthetic", preset="demo")
    clip = next(c for c in clips.of(EXPRESSION) if c.key.subject_key == SUBJECT)
    flows = [skin_motion(replace(clip, apex=number)) for number in range(len(clip.frames))]
    longest = max(map(lab.plot.longest_px, flows))
    onset, answer = clip.frames[clip.onset], answer_picture(clips, clip)
    notes = (
        "a drawn face, smiling slightly",
        "the same clip, magnified",
        f"up to {longest:.1f} pixels",
    )
    pictures = [
        draw_frame(
            (
                clip.frames[number],
                lab.plot.moved_picture(onset, flow, FACTOR),
                lab.plot.flow_picture(flow, "colour", max_px=longest),
                answer,
            ),
            (*notes, "HMRM, trained on other subjects"),
        )
        for number, flow in enumerate(flows)
    ]
    durations = [HOLD_MS if n == clip.apex else FRAME_MS for n in range(len(pictures))]
    how = {"duration": durations, "loop": 0, "quality": 82, "method": 6, "minimize_size": True}
    pictures[0].save(OUT, save_all=True, append_images=pictures[1:], **how)


def skin_motion(clip) -> NDArray[np.float32]:
    """Estimate the flow (2, H, W) from onset to apex, in pixels, without that of the head."""
    if clip.apex <= clip.onset:
        return np.zeros((2, *clip.frames[0].shape[:2]), dtype=np.float32)
    field = lab.flow(clip)
    return field - np.median(field, axis=(1, 2), keepdims=True)


def answer_picture(clips, clip) -> NDArray[np.uint8]:
    """Draw the probability of each class as a bar, by HMRM trained on all other subjects."""
    maps = clips.maps()
    others = np.array([name != clip.key.subject_key for name in maps.subjects])
    hmrm = lab.system("hmrm", preset="demo").fit(maps[others])
    given = hmrm.predict_proba(maps[[maps.keys.index(clip.key)]])[0]
    sheet = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (name, share) in enumerate(zip(maps.classes, given, strict=True)):
        top = 30 + row * 84
        is_answer = share == max(given)
        draw.text((12, top), name, INK, font(22))
        draw.text((SIDE - 12, top), f"{share:.0%}", INK, font(22), anchor="ra")
        draw.rectangle((12, top + 32, SIDE - 12, top + 50), PALE)
        end = 12 + share * (SIDE - 24)
        draw.rectangle((12, top + 32, end, top + 50), BAR if is_answer else SOFT)
    return np.asarray(sheet)


def draw_frame(panels: tuple[NDArray[np.uint8], ...], notes: tuple[str, ...]) -> Image.Image:
    """Set panels of (H, W, 3) side by side, each with its title above and its note below."""
    width = len(panels) * (SIDE + GAP) + GAP
    sheet = Image.new("RGB", (width, HEAD + SIDE + FOOT), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (panel, title, note) in enumerate(zip(panels, TITLES, notes, strict=True)):
        left = GAP + column * (SIDE + GAP)
        picture = Image.fromarray(panel).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        sheet.paste(picture, (left, HEAD))
        draw.rectangle((left, HEAD, left + SIDE - 1, HEAD + SIDE - 1), outline=PALE)
        draw.text((left, 10), title, INK, font(24))
        draw.text((left, HEAD + SIDE + 6), note, SOFT, font(18))
    return sheet


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main()
