"""How many synthetic clips are rendered per second and core, onset and apex?"""

from argparse import Namespace
from collections.abc import Iterator

import cv2
from harness import Level, main, timed

from hmrm_lab.datasets.synthetic import synthetic

FEW = 3  # clips


def measure(options: Namespace) -> Iterator[Level]:
    cv2.setNumThreads(1)
    clips = synthetic()[: FEW if options.quick else None]
    times = [
        timed(lambda clip=clip: [clip.frames[n] for n in (clip.onset, clip.known_apex)])()
        for clip in clips
    ]
    what = "onset and apex of one clip after another, each subject's texture included"
    yield Level("synthetic clips", what, "clips/s", [len(times) / sum(times)])
    rates = [1 / seconds for seconds in times]
    yield Level("synthetic clips of a known face", "the same, median clip", "clips/s", rates)


if __name__ == "__main__":
    main(measure)
