"""What the answer on one's own recording takes, beside one detection of dlib in each frame.

The recording is a video of a built-in face as a phone would film it, 1280x720. Models are loaded
and nothing is cached. CPU seconds are those of a process of its own, less its imports.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import cv2
from harness import (
    Level,
    Ratio,
    Result,
    Skipped,
    alternate,
    at_least,
    at_most,
    main,
    rounds_of,
    timed,
)

from hmrm_lab.config import load_config
from hmrm_lab.datasets.synthetic import synthetic
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.experiment import run_experiment
from hmrm_lab.studies.predict import predict_recording

FRAMES, FEW, TIMES = 72, 24, 10
SMALL = ("data.subjects=2", "data.clips=6", "training.epochs=2")
FASTER, CPU_S, LONGER = 2.0, 3.0, 1.3
FACES = "dlib"
ALONE = """
import sys, time
from pathlib import Path
import hmrm_lab.cli, hmrm_lab.reporting.prediction, hmrm_lab.studies.predict, numba
from hmrm_lab.cli.run import predict
import hmrm_lab.cli, hmrm_lab.reporting.recording_pages, hmrm_lab.studies.predict, numba
from hmrm_lab.cli.predict import predict
started = time.process_time()
predict(Path(sys.argv[1]), Path(sys.argv[2]), faces="dlib", picture=Path(sys.argv[3]))
print(time.process_time() - started)
"""


def film(path: Path, frames: int, times: int = 1) -> Path:
    """A video of a built-in face, played so many times."""
    clip = synthetic(subjects=2, clips=2, seed=3, frames=frames, guise="phone")[0]
    pictures = [cv2.cvtColor(clip.frames[n], cv2.COLOR_RGB2BGR) for n in range(frames)]
    size = pictures[0].shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), clip.fps, size)
    for number in range(times * frames):
        writer.write(pictures[number % frames])
    writer.release()
    return path


def measure(options: Namespace) -> Iterator[Result]:
    cv2.setNumThreads(1)
    try:
        import dlib
    except ImportError:
        yield Skipped("hmrm predict", "dlib is not installed (the extra 'faces')")
        return
    rounds, frames = rounds_of(options, 5), FEW if options.quick else FRAMES
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        os.environ["HMRM_CACHE"] = str(here / "cache")
        run = run_experiment(
            load_config("smoke", data="synthetic", overrides=SMALL), out=here / "runs"
        )
        short = film(here / "short.mp4", frames)
        long = film(here / "long.mp4", frames, TIMES)
        detector = dlib.get_frontal_face_detector()
        pictures = open_recording(short).frames
        sides = {
            "each frame": timed(lambda: [detector.run(pictures[n], 0) for n in range(frames)]),
            "hmrm predict": timed(lambda: _answer(short, run, here, frames)),
            "in a long video": timed(lambda: _answer(long, run, here, frames)),
        }
        taken = alternate(sides, rounds)
        each, answer, later = taken.values()
        what = f"{frames} frames of 1280x720, from the file to the answer"
        names = ("dlib in each frame", "hmrm predict")
        yield Ratio(
            "one detection per frame to an answer", what, *names, each, answer, at_least(FASTER)
        )
        what = f"the same {frames} frames marked in a video of {TIMES} times as many"
        names = ("marked in a long video", "a video of these alone")
        yield Ratio(
            "an answer, by length of the video", what, *names, later, answer, at_most(LONGER)
        )
        spent = [_alone(short, run, here) for _ in range(rounds)]
        what = f"hmrm predict on {frames} frames of 1280x720, beyond the imports"
        yield Level("CPU of an answer", what, "s", spent, at_most(CPU_S))


def _answer(video: Path, run: RunFolder, folder: Path, frames: int) -> None:
    os.environ["HMRM_CACHE"] = tempfile.mkdtemp(dir=folder)
    predict_recording(video, run, offset=frames - 1, provider=FACES)


def _alone(video: Path, run: RunFolder, folder: Path) -> float:
    """CPU seconds of `hmrm predict` in a fresh process with an empty cache."""
    environment = {**os.environ, "HMRM_CACHE": tempfile.mkdtemp(dir=folder)}
    command = [sys.executable, "-c", ALONE, str(video), str(run.path), str(folder / "a.png")]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(measure)
