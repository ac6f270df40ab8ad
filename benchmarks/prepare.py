"""What preparation adds to the flow method alone, what a second process brings, and a re-run.

Recordings are made of the built-in faces, in a wider frame, without their landmarks. Faces are cut
out first; then flow is computed once by the bare method on the very crops, and once through
`compute_flowset` with its cache. The re-run is of 442 clips, as many as MEGC 2019 has.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
from harness import Level, Ratio, Result, Side, alternate, main, rounds_of, timed

from hmrm_lab.config.sections import FacesConfig, FlowConfig
from hmrm_lab.datasets.images import RecordedFrames
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.preparation.crops import crop_clips
from hmrm_lab.records import Clip
from hmrm_lab.registry import flows

CLIPS, MANY, ALL = 48, 144, 442
FEW = 3  # of each, if it shall be quick
FLOW = FlowConfig()
FACES = FacesConfig(name="template")


@dataclass(frozen=True)
class Recorded:
    """Where the frames of one clip lie."""

    folder: Path

    def write(self, clip: Clip) -> Clip:
        self.folder.mkdir(parents=True)
        paths = []
        for index in (clip.onset, clip.known_apex):
            path = self.folder / f"{index:03d}.png"
            wide = cv2.copyMakeBorder(clip.frames[index], 60, 60, 90, 90, cv2.BORDER_REPLICATE)
            cv2.imwrite(str(path), cv2.cvtColor(wide, cv2.COLOR_RGB2BGR))
            paths.append(path)
        return replace(clip, frames=RecordedFrames(tuple(paths)), onset=0, apex=1, offset=1)


def prepared(clips: list[Clip]) -> list[Clip]:
    return [crop.clip for crop in crop_clips(clips, FACES) if crop.clip is not None]


def fresh_cache(folder: Path) -> None:
    """Later caches are empty, but the crops stay where the clips point to."""
    os.environ["HMRM_CACHE"] = tempfile.mkdtemp(dir=folder)


def measure(options: Namespace) -> Iterator[Result]:
    cv2.setNumThreads(1)
    rounds = rounds_of(options, 3)
    sizes = (FEW, FEW, FEW) if options.quick else (CLIPS, MANY, ALL)
    with tempfile.TemporaryDirectory() as folder:
        fresh_cache(folder)
        yield from _measured(Path(folder), *sizes, rounds)


def _measured(folder: Path, few: int, many: int, total: int, rounds: int) -> Iterator[Result]:
    known = synthetic()[:few]
    clips = [Recorded(folder / str(n)).write(clip) for n, clip in enumerate(known)]
    crops = prepared(clips)
    estimate = flows[FLOW.name].build()
    pairs = [(clip.frames[0][None], clip.frames[1][None]) for clip in crops]
    sides = {
        "preparation": _afresh(folder, lambda: compute_flowset(crops, FLOW)),
        "flow alone": timed(lambda: [estimate(*pair) for pair in pairs]),
    }
    taken = alternate(sides, rounds)
    what = f"{few} clips whose faces are cached"
    yield Ratio("preparation to its flow", what, *taken, *taken.values())
    copies = [
        replace(clip, key=clip.key._replace(clip=f"{clip.key.clip}_{n}"))
        for n in range(-(-total // few))
        for clip in clips
    ][:total]
    sides = {
        "one process": _afresh(folder, lambda: run(copies[:many], 1)),
        "two processes": _afresh(folder, lambda: run(copies[:many], 2)),
    }
    taken = alternate(sides, rounds)
    what = f"{many} clips from frames to maps, workers already started"
    yield Ratio("preparation: two processes to one", what, *taken, *taken.values())
    run(copies, 2)
    again = alternate({"again": timed(lambda: run(copies, 1))}, rounds)["again"]
    what = f"a finished preparation of {total} clips, read again"
    yield Level("preparation once more", what, "s", again)


def _afresh(folder: Path, work: Callable[[], object]) -> Side:
    """Work that finds an empty cache; emptying it is not counted."""
    side = timed(work)

    def cold() -> float:
        fresh_cache(folder)
        return side()

    return cold


def run(clips: list[Clip], jobs: int) -> None:
    crops = [crop.clip for crop in crop_clips(clips, FACES, jobs=jobs) if crop.clip is not None]
    compute_flowset(crops, FLOW, jobs=jobs)


if __name__ == "__main__":
    main(measure)
