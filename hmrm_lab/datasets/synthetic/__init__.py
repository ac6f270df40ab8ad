"""Procedural faces that stand in for the licensed recordings.

A subject is a face geometry and a painted picture; a clip warps that picture by the displacement
fields of the action units of its class. Nothing is estimated, so that every clip knows its exact
flow and landmarks. The classes are as unequal as in the MEGC 2019 composite, and so are the
numbers of clips of the subjects.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hmrm_lab.datasets.synthetic.folders import read_clips, write_clips
from hmrm_lab.datasets.synthetic.recipes import (
    CORE,
    Habit,
    Stream,
    generator,
    with_blink,
    write_script,
)
from hmrm_lab.datasets.synthetic.rendering import (
    DRAWING,
    GUISES,
    GuisedFrames,
    RenderedFrames,
    neutral_landmarks,
)
from hmrm_lab.errors import ConfigError, unknown_name
from hmrm_lab.records import Clip, ClipKey
from hmrm_lab.registry import datasets

COMPOSITE_COUNTS = (250, 109, 83)
"""Negative, positive and surprise clips of the MEGC 2019 composite (See et al., 2019, Table I)."""

FPS = 100.0


@datasets.register("synthetic", source="procedural")
def synthetic(
    *,
    subjects: int = 24,
    clips: int = 156,
    difficulty: float = 0.5,
    frames: int = 16,
    seed: int = 0,
    guise: str = "",
    blink_every: int = 0,
) -> list[Clip]:
    """Clips of procedural faces, the same for the same arguments.

    Parameters
    ----------
    subjects, clips
        How many subjects, and how many clips of all of them together.
    difficulty
        0 for strong and undisturbed movements, 1 for weak ones among noise and distractors.
    frames
        The length of each clip, 12 at least.
    seed
        Names the faces and the movements.
    guise
        casme2, smic, samm or phone, for recordings like theirs; see `rendering`. Else each frame is
        224 x 224, and its landmarks and flow are known.
    blink_every
        Each clip of this many has a blink of 100 to 300 ms; none if 0.

    Returns
    -------
    list[Clip]
        In order of subject; `frames` of each is a `RenderedFrames`, or a `GuisedFrames`.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """
    for name, value, least in (
        ("subjects", subjects, 2),
        ("clips", clips, max(subjects, 2)),
        ("frames", frames, 12),
        ("seed", seed, 0),
        ("blink_every", blink_every, 0),
    ):
        if value < least:
            problem = f"the synthetic data set cannot have {name}={value}"
            raise ConfigError(problem, hint=f"give {name} of at least {least}")
    if not 0 <= difficulty <= 1:
        problem = f"the synthetic data set cannot have difficulty={difficulty}"
        raise ConfigError(problem, hint="give a difficulty from 0 to 1")
    if guise and guise not in GUISES:
        raise unknown_name("guise", guise, GUISES)
    fps = GUISES[guise].fps if guise else FPS
    rng = generator(seed, Stream.CAST)
    classes = tuple(CORE)
    labels = rng.permutation(np.repeat(range(len(classes)), _shares(clips, COMPOSITE_COUNTS)))
    # Beside one clip for each subject, the others are shared unequally, as in real data sets.
    rank = (np.arange(subjects) + 0.5) / subjects
    extra = _shares(clips - subjects, rng.permutation(rank**1.5))
    cast = np.repeat(np.arange(subjects), 1 + extra)
    made: list[Clip] = []
    taken: dict[tuple[int, int], int] = {}
    for number, (subject, label) in enumerate(zip(cast.tolist(), labels.tolist(), strict=True)):
        taken[subject, label] = take = taken.get((subject, label), 0) + 1
        script = write_script(
            label,
            neutral_landmarks(seed, subject),
            Habit(generator(seed, Stream.HABIT, subject)),
            generator(seed, Stream.SCRIPT, number),
            frames=frames,
            difficulty=difficulty,
        )
        if blink_every and number % blink_every == 0:
            blink = generator(seed, Stream.BLINK, number)
            script = with_blink(script, neutral_landmarks(seed, subject), blink, fps)
        drawn = RenderedFrames(seed, subject, number, script)
        name = f"s{subject + 1:02d}"
        made.append(
            Clip(
                key=ClipKey("synthetic", name, f"{name}_{classes[label][:3]}_{take:02d}"),
                label=label,
                frames=GuisedFrames(drawn, guise, script.onset) if guise else drawn,
                onset=script.onset,
                apex=script.apex,
                offset=script.offset,
                fps=fps,
                classes=classes,
            )
        )
    return made


def _shares(total: int, parts: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers in the ratios of `parts` that add up to the total, by largest remainders."""
    ratios = np.asarray(parts, dtype=float)
    exact = total * ratios / ratios.sum()
    whole = np.floor(exact).astype(int)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: total - int(whole.sum())]] += 1
    return whole
