"""How near are detected landmarks and spotted apexes to the true ones, on the built-in faces?

`python benchmarks/face_accuracy.py` prints both detectors on the data set `synthetic`, and the apex
on two more seeds, with blinks, in each guise. Decision 0010 has what it prints.
"""

import sys
from collections.abc import Mapping, Sequence

import pandas as pd

from hmrm_lab.datasets.synthetic import GUISES, synthetic
from hmrm_lab.faces.accuracy import apex_table, reference_track, tracks_table
from hmrm_lab.faces.align import find_faces
from hmrm_lab.faces.face import FaceProvider
from hmrm_lab.records import Clip
from hmrm_lab.registry import providers

SEEDS = (14, 15)  # not used to choose any constant


def detection_table(clips: Sequence[Clip], by: Mapping[str, FaceProvider]) -> pd.DataFrame:
    """`tracks_table` of onset, apex and offset of all clips: counts add up, means of means."""
    tables = []
    for clip in clips:
        frames = sorted({clip.onset, clip.known_apex, clip.offset})
        found = {name: find_faces(clip.frames, p, only=frames) for name, p in by.items()}
        tables.append(tracks_table(found, reference_track(clip, only=frames)))
    rows = pd.concat(tables).groupby(level=0, sort=False)
    counts, means = ["detected", "neighbour", "template"], ["five", "dense"]
    return pd.concat([rows[counts].sum(), rows[means].mean(), rows["worst"].max()], axis=1)


def spotted_within(table: pd.DataFrame, frames: int = 1) -> dict[str, float]:
    """Shares of an `apex_table`: the apex spotted, and the middle frame, within so many frames."""
    names = {"spotted": "error", "middle": "middle_error"}
    return {name: float((table[of].abs() <= frames).mean()) for name, of in names.items()}


def apex_shares(
    sets: Mapping[str, Sequence[Clip]], provider: FaceProvider | None = None
) -> pd.DataFrame:
    """One row per set: number of `clips`; `spotted_within` of them; the share that `blinks`."""
    tables = {name: apex_table(clips, provider) for name, clips in sets.items()}
    rows = {
        name: {"clips": len(table), **spotted_within(table), "blinks": table["blinks"].mean()}
        for name, table in tables.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("apex")


def main() -> None:
    """Print the table of detections, and that of spotted apexes."""
    built = {name: providers[name].build() for name in ("dlib", "mtcnn")}
    sys.stdout.write(f"{detection_table(synthetic(), built).round(2).to_string()}\n")
    sets: dict[str, Sequence[Clip]] = {}
    for seed in SEEDS:
        sets[f"seed {seed}"] = synthetic(seed=seed)
        sets[f"seed {seed}, every third blinks"] = synthetic(seed=seed, blink_every=3)
        sets[f"seed {seed}, those that blink"] = synthetic(seed=seed, blink_every=3)[::3]
    for guise in GUISES:
        pairs = [synthetic(seed=seed, guise=guise, blink_every=3)[::4] for seed in SEEDS]
        sets[f"{guise}, every third blinks"] = [clip for clips in pairs for clip in clips]
    sys.stdout.write(f"\n{apex_shares(sets, built['dlib']).round(3).to_string()}\n")


if __name__ == "__main__":
    main()
