"""Files made to do harm, at every place where files are read: none is run, each is one sentence.

Every payload goes to every reader, under the name that the reader expects.
"""

import io
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conftest import make_flowset, quick_config

from hmrm_lab.config import load_config
from hmrm_lab.datasets.flow_pairs.stored import PairFiles, read_flow
from hmrm_lab.datasets.flowmaps import flowmaps, maps
from hmrm_lab.datasets.images import read_image
from hmrm_lab.datasets.recordings.coding import read_coding
from hmrm_lab.datasets.recordings.manifest import manifest
from hmrm_lab.datasets.recordings.reader import COLUMNS
from hmrm_lab.datasets.video import open_recording
from hmrm_lab.errors import HmrmError
from hmrm_lab.evaluation.live_progress import read_status
from hmrm_lab.evaluation.other_programs import read_predictions
from hmrm_lab.flow.gru_attention import load_weights
from hmrm_lab.preparation.cache import read_arrays
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.training.checkpoint import Checkpoint
from hmrm_lab.training.learner import Learner
from hmrm_lab.training.trainer import load_model


@dataclass
class Harm:
    """Whoever unpickles this leaves a mark."""

    mark: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def safetensors(header: dict[str, Any], length: int = 0) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", length or len(text)) + text


DEEP, LONG = 100_000, 10_000
HUGE_ARRAY = {"descr": "<f4", "fortran_order": False, "shape": (250 * 10**12,)}
HUGE = {"dtype": "F32", "shape": (2**24, 2**24), "data_offsets": (0, 2**50)}
PAYLOADS: dict[str, Callable[[Harm], bytes]] = {
    "pickle": pickle.dumps,
    "old pickle": lambda harm: pickle.dumps(harm, protocol=0),
    "torch.save": lambda harm: saved(lambda file: torch.save({"model": harm}, file)),
    "npy of objects": lambda harm: saved(lambda file: np.save(file, [harm])),
    "npz of objects": lambda harm: saved(lambda file: np.savez(file, maps=[harm])),
    "npy of a petabyte": lambda _: saved(
        lambda file: np.lib.format.write_array_header_1_0(file, HUGE_ARRAY)
    ),
    "safetensors with an endless header": lambda _: safetensors({}, length=2**63 - 1),
    "safetensors of a petabyte": lambda _: safetensors({"a": HUGE}),
    "safetensors with deep JSON": lambda _: safetensors(
        {"__metadata__": dict.fromkeys(("hmrm", "settings", "training"), "[" * DEEP)}
    ),
    "deep JSON": lambda _: b"[" * DEEP,
    "deep TOML": lambda _: b"a = " + b"[" * DEEP,
    "a number of many digits": lambda _: b'{"a": ' + b"9" * LONG + b"}",
    "a TOML number of many digits": lambda _: b"a = " + b"9" * LONG,
    "no text": lambda _: b"\xff\xfe\x00\x00" * 100,
    "zeros": lambda _: bytes(4096),
    "nothing": lambda _: b"",
    "one endless line": lambda _: b"a," * 100_000,
    "an open quote": lambda _: b'"' + b"a\n" * LONG,
    "flo of a petabyte": lambda _: b"PIEH" + struct.pack("<ii", 2**24, 2**24),
    "pfm of less than nothing": lambda _: b"PF\n-5 -5\n-1.0\n" + bytes(100),
    "a PNG with a huge header": lambda _: (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 2**30, 2**30, 8, 2, 0, 0, 0, 0)
        + b"\x00\x00\x00\x00IEND\xaeB`\x82"
    ),
}


@dataclass(frozen=True)
class Reader:
    """Who reads a payload under its name; `forgiving` readers answer None to what they cannot."""

    name: str
    read: Callable[[Path], object]
    forgiving: bool = False


def begin_run(place: Path) -> RunFolder:
    run = RunFolder(place)
    if not run.config_file.exists():
        run.begin(quick_config(), {"fingerprint": "x", "folds": 1}, {})
    return run


def take_up(place: Path) -> None:
    """A training that would go on from the file, and begins anew instead."""
    flowset = make_flowset(subjects=2)
    learner = Learner(quick_config(), flowset, device="cpu")
    Checkpoint(place / "c.safetensors").begin(learner, flowset, seed=0, epochs=2)
    assert learner.losses == []


def own_maps(place: Path) -> object:
    """A list of the one file that is there."""
    (hostile,) = place.iterdir()
    (place / "maps.csv").write_text(f"path,subject,label\n{hostile.name},s1,positive\n")
    return maps(place)


READERS = {
    "model": Reader(
        "m.safetensors", lambda at: load_model(at / "m.safetensors", quick_config(), 28)
    ),
    "weights of the flow": Reader("w.safetensors", lambda at: load_weights(at / "w.safetensors")),
    "checkpoint": Reader("c.safetensors", take_up, forgiving=True),
    "cache": Reader("c.npz", lambda at: read_arrays(at / "c.npz"), forgiving=True),
    "flo": Reader("f.flo", lambda at: read_flow(at / "f.flo")),
    "pfm": Reader("f.pfm", lambda at: read_flow(at / "f.pfm")),
    "png flow": Reader("f.png", lambda at: read_flow(at / "f.png")),
    "workbook": Reader("c.xlsx", lambda at: read_coding(at / "c.xlsx", COLUMNS)),
    "OpenDocument": Reader("c.ods", lambda at: read_coding(at / "c.ods", COLUMNS)),
    "coding as text": Reader("c.csv", lambda at: read_coding(at / "c.csv", COLUMNS)),
    "manifest": Reader("clips.csv", manifest),
    "list of maps": Reader("labels.csv", flowmaps),
    **{f"own maps, {kind}": Reader(f"m.{kind}", own_maps) for kind in ("npy", "npz", "flo", "png")},
    "frame of a truth": Reader("0.ppm", lambda at: PairFiles("", *[at / "0.ppm"] * 3).read()),
    "frame": Reader("f.jpg", lambda at: read_image(at / "f.jpg")),
    "video": Reader("v.mp4", lambda at: open_recording(at / "v.mp4")),
    "preset": Reader("p.toml", lambda at: load_config(str(at / "p.toml"))),
    "log of predictions": Reader("log.csv", lambda at: read_predictions(at / "log.csv")),
    "unit": Reader("folds/a@b.seed0.json", lambda at: list(begin_run(at).records())),
    "failure": Reader("failed/a@b.seed0.json", lambda at: begin_run(at).failures()),
    "data of a run": Reader("data.json", begin_run),
    "settings of a run": Reader("config.toml", lambda at: begin_run(at).config()),
    "status": Reader(
        "running/a@b.seed0.json", lambda at: read_status(begin_run(at)).in_work or None, True
    ),
}


def fault_of(reader: str, payload: str, folder: Path) -> str:
    """What is wrong with how a reader takes a payload, or nothing."""
    known, mark, place = READERS[reader], folder / "mark", folder / "place"
    content = PAYLOADS[payload](Harm(mark))
    hostile = place / known.name
    hostile.parent.mkdir(parents=True)
    hostile.write_bytes(content)
    try:
        answer = known.read(place)
    except HmrmError as error:
        sentence = len(str(error).splitlines()) == 1 and len(str(error)) < 1000
        fault = "" if sentence and not known.forgiving else f"says {error}"
    except Exception as error:  # noqa: BLE001
        fault = f"raises {error!r}"
    else:
        fault = "" if known.forgiving and answer is None else f"reads {answer}"
    if mark.exists():
        return "runs it"
    return fault if hostile.read_bytes() == content else "changes it"


def test_nothing_is_run_and_each_is_one_sentence(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pickle.loads(PAYLOADS["pickle"](Harm(mark)))
    assert mark.exists(), "the harm is real"
    cases = [(reader, payload) for reader in READERS for payload in PAYLOADS]
    cases.remove(("preset", "nothing"))  # an empty preset is one that changes nothing
    faults = {
        f"{reader} of {payload}: {fault}"
        for number, (reader, payload) in enumerate(cases)
        if (fault := fault_of(reader, payload, tmp_path / str(number)))
    }
    assert not faults, "\n".join(faults)
