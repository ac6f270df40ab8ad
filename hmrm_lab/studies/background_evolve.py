"""An evolutionary search in a process of its own, and a look at one, whoever works on it.

`python -m hmrm_lab.studies.background_evolve ARGUMENTS` is the process.
"""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hmrm_lab.config import read_config
from hmrm_lab.errors import InputError
from hmrm_lab.studies.background import RunState, refuse_negative, watched
from hmrm_lab.studies.background_child import attend, load_maps
from hmrm_lab.studies.background_study import BackgroundStudy, read_plan
from hmrm_lab.studies.evolve import (
    JOURNAL,
    LOCK,
    Evolution,
    Evolved,
    evolve,
    evolved,
    keep_evolved,
    name_of,
)
from hmrm_lab.studies.journal import finished, load_optuna, read_study
from hmrm_lab.studies.locks import holder
from hmrm_lab.studies.places import count_cores, count_jobs
from hmrm_lab.studies.queue import Place
from hmrm_lab.studies.space import Range

if TYPE_CHECKING:
    import optuna

LOOK_SECONDS = 0.2
MODULE = "hmrm_lab.studies.background_evolve"


class Look(NamedTuple):
    """How a search is, and what it has found so far: None before its first answers."""

    state: RunState
    found: Evolved | None
    by_command: bool  # a process works on it that nobody has started here


class BackgroundEvolution:
    """A handle on an evolutionary search, be it started here or by `hmrm evolve`."""

    def __init__(self, evolution: Evolution) -> None:
        self.evolution = evolution
        self._read_bytes = 0  # of the journal
        self._kept: tuple[optuna.Study | None, Evolved | None] = None, None

    def start(self, *, root: Path | None = None, jobs: int = 1) -> None:
        """Search on in a process of its own; nothing if that is going, or done.

        `jobs` are its processes; 0 is one per core, and a negative number an `InputError`.
        """
        refuse_negative(jobs)
        load_optuna()
        look = self.look()
        if look.by_command or look.state.phase == "complete":
            return
        self._study.start(self.evolution.sweep.base, _plan(self.evolution), root=root, jobs=jobs)

    def stop(self) -> None:
        """Ask the process to end; super-networks and answers are kept. Nothing if none is going.

        `InputError` where a command works on it.
        """
        if self.look().by_command:
            folder = self.evolution.sweep.folder
            raise InputError(f"{folder} is run by a command of its own", mend="stop it there")
        self._study.stop()

    def look(self) -> Look:
        """What the journal and the lock say at this moment; neither is changed.

        `done` and `expected` of the state count trials.
        """
        study, found = self._read()
        total = self.evolution.population * self.evolution.generations
        done = len(found.table) if found else 0
        state = self._study.state(min(done, total), total)
        by_command = not state.going and holder(self.evolution.sweep.folder / LOCK) is not None
        if by_command:
            state = replace(state, phase="running" if study else "preparing", problem="", note="")
        return Look(state, found, by_command)

    def state(self) -> RunState:
        return self.look().state

    def wait(self, timeout_s: float) -> RunState:
        """The state when nobody works on it any more, or after `timeout_s` seconds."""
        return watched(self.state, LOOK_SECONDS, timeout_s, None)

    def _read(self) -> "tuple[optuna.Study | None, Evolved | None]":
        """What the journal holds, read anew only where it has grown."""
        file = self.evolution.sweep.folder / JOURNAL
        size = file.stat().st_size if file.is_file() else 0
        if size != self._read_bytes:
            study = read_study(file, name_of(self.evolution))
            any_answer = study is not None and bool(finished(study))
            found = evolved(self.evolution, study) if study and any_answer else None
            self._kept, self._read_bytes = (study, found), size
        return self._kept

    @property
    def _study(self) -> BackgroundStudy:
        return BackgroundStudy(self.evolution.sweep.folder, MODULE)


def main(folder: str, name: str, root: str, jobs: str, lock: str) -> int:
    """0 if all generations are there, 1 if it failed, 143 if it was stopped."""
    place, data = Place(Path(folder), name), Path(root) if root else None
    return attend(place, lock, lambda: _work(place, data, int(jobs)))


def _work(place: Place, root: Path | None, jobs: int) -> str:

    config = read_config(place.settings)
    processes = count_jobs(jobs, ("cpu",), count_cores())
    flowset = load_maps(place, config, root, processes)
    plan = read_plan(place)
    ranges = {name: Range(**plan.pop(name)) for name in ("alphas", "ratios")}
    evolution = Evolution.of(config, flowset, place.folder.parent, **ranges, **plan)
    if evolution.sweep.folder.name != place.name:
        return "the data have changed since this search began; begin another"

    def tell(done: int, total: int) -> None:
        if done < total:
            place.say(phase="preparing", note=f"{done} of {total} super-networks")
        else:
            place.say(phase="running")

    found = evolve(evolution, flowset, jobs=processes, on_supernets=tell)
    keep_evolved(found, found.settings(len(flowset)))
    return ""


def _plan(evolution: Evolution) -> dict[str, Any]:
    """The search but for its recipe, as JSON holds it."""
    return {
        "alphas": asdict(evolution.alphas),
        "ratios": asdict(evolution.ratios),
        "population": evolution.population,
        "generations": evolution.generations,
        "seed": evolution.seed,
    }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
