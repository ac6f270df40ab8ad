"""What preparation adds to the flow method alone, what a second process brings, and a re-run.

Recordings are made of the built-in faces, in a wider frame, without their landmarks. Faces are cut
out first; then flow is computed once by the bare method on the very crops, and once through
`compute_flowset` with its cache. The re-run is of 442 clips, as many as MEGC 2019 has.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from hmrm_lab.config import FacesConfig, FlowConfig
from hmrm_lab.datasets.images import RecordedFrames
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.preparation import compute_flowset
from hmrm_lab.preparation.crops import crop_clips
from hmrm_lab.records import Clip
from hmrm_lab.registry import flows

CLIPS, ALL, ROUNDS = 48, 442, 3
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


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def prepared(clips: list[Clip]) -> list[Clip]:
    return [crop.clip for crop in crop_clips(clips, FACES) if crop.clip is not None]


def fresh_cache(folder: str) -> None:
    """Later caches are empty, but the crops stay where the clips point to."""
    os.environ["HMRM_CACHE"] = tempfile.mkdtemp(dir=folder)


def main() -> None:
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        fresh_cache(folder)
        known = synthetic()
        clips = [
            Recorded(Path(folder) / str(n)).write(clip) for n, clip in enumerate(known[:CLIPS])
        ]
        crops = prepared(clips)
        estimate = flows[FLOW.name].build()
        pairs = [(clip.frames[0][None], clip.frames[1][None]) for clip in crops]
        bare, whole, one, two = [], [], [], []
        for _ in range(ROUNDS):
            bare.append(seconds(lambda: [estimate(*pair) for pair in pairs]))
            fresh_cache(folder)
            whole.append(seconds(lambda: compute_flowset(crops, FLOW)))
        many = [
            replace(clip, key=clip.key._replace(clip=f"{clip.key.clip}_{n}"))
            for n in range(-(-ALL // CLIPS))
            for clip in clips
        ][:ALL]
        compute_flowset(crops, FLOW, jobs=2)  # the processes start
        for _ in range(ROUNDS):
            for jobs, spent in ((1, one), (2, two)):
                fresh_cache(folder)
                spent.append(seconds(lambda jobs=jobs: run(many[:144], jobs)))
        run(many, 2)
        again = min(seconds(lambda: run(many, 1)) for _ in range(ROUNDS))
    share = statistics.median(bare) / statistics.median(whole)
    print(platform.processor() or platform.machine())
    print(f"throughput against the bare flow method, faces cached: {share:.2f}")
    print(f"two processes against one: {statistics.median(one) / statistics.median(two):.2f}")
    print(f"a finished preparation of {ALL} clips again: {again:.2f} s")


def run(clips: list[Clip], jobs: int) -> None:
    crops = [crop.clip for crop in crop_clips(clips, FACES, jobs=jobs) if crop.clip is not None]
    compute_flowset(crops, FLOW, jobs=jobs)


if __name__ == "__main__":
    main()
