"""How many synthetic clips are rendered per second and core, onset and apex?"""

import statistics
import time

import cv2

from hmrm_lab.datasets.synthetic import synthetic


def main() -> None:
    cv2.setNumThreads(1)
    times = []
    for clip in synthetic():
        started = time.perf_counter()
        for index in (clip.onset, clip.apex):
            clip.frames[index]
        times.append(time.perf_counter() - started)
    print(
        f"{len(times) / sum(times):.1f} clips/s with each subject's texture, "
        f"{1 / statistics.median(times):.1f} clips/s without (median)"
    )


if __name__ == "__main__":
    main()
