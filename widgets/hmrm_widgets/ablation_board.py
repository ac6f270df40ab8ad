"""Switch components of HMRM off and on, run what that makes, and watch the differences arrive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as w

from hmrm_lab.api.clips import Clips
from hmrm_lab.api.maps import MotionMaps
from hmrm_lab.api.runs import RUNS, Seeds, settings
from hmrm_lab.api.system import System
from hmrm_lab.errors import InputError
from hmrm_lab.reporting.tables import ALL
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.ablate import PAPER, finished_runs, own_variant, plan_ablation, variants_in
from hmrm_lab.studies.jobs import Job, JobState
from hmrm_lab.studies.study import Variant
from hmrm_widgets.component_switches import ComponentSwitches
from hmrm_widgets.parts import figure_output, plain, row, table_html
from hmrm_widgets.polling import PolledViewer
from hmrm_widgets.run_rows import RunRows


class Views(NamedTuple):
    choice: str
    states: dict[str, JobState]
    words: dict[str, str]
    table: str
    figure: tuple[dict[str, Any], ...]


class AblationBoard(PolledViewer):
    """Switches for the components above the runs that they make, and the table and plot of these.

    `Queue this` starts the run of the switches in a process of its own; further ones wait for it.
    They outlive the notebook: a board opened anew on the same folder finds them. The runs of the
    paper's models are listed from the beginning, with a button each.

    Parameters
    ----------
    system
        Whose components are switched: it must be HMRM.
    data
        `Clips` or `MotionMaps`.
    seeds, out, jobs
        As `lab.ablate` takes them.
    variants
        Those listed from the beginning, besides the full model.
    part
        The data set that table and plot speak of; `all` of them by default.

    Raises
    ------
    InputError
        If the system lacks the components.
    """

    def __init__(
        self,
        system: System | str,
        data: Clips | MotionMaps,
        *,
        seeds: Seeds = None,
        out: str | Path = RUNS,
        jobs: int = 1,
        variants: Sequence[Variant] = PAPER,
        part: str = ALL,
    ) -> None:
        config, out = settings(system, data, seeds=seeds), Path(out)
        root = data.source.root if data.source else None
        if config.model.name != "hmrm":
            raise InputError(
                f"'{config.model.name}' lacks the components of this board", hint="give it 'hmrm'"
            )
        self._config, self._root, self._out, self._jobs = config, root, out, jobs
        self._part, self._variants = part, list(variants)
        self._plan = plan_ablation(config, self._variants, root=root)
        self._add(variants_in(self._plan, out))
        self._asked: str | None = None
        self._version: tuple[object, ...] = ()
        self._results: tuple[str, tuple[dict[str, Any], ...]] = ("", ())
        given = () if not self._plan.ready_made else ("flow.name",)
        self.switches = ComponentSwitches(self._plan.full_config, given)
        self.queue = w.Button(description="Queue this", icon="plus", button_style="primary")
        self.choice, self.plot = w.HTML(), w.Output()
        self.table = w.HTML(tabbable=True)  # the arrow keys scroll it where the page is narrow
        self.table.layout = w.Layout(max_width="100%", overflow="auto")
        self.runs = RunRows(self._act)
        rows = [
            self.switches,
            row(self.queue, self.choice, gap="1em"),
            self.runs,
            self.table,
            self.plot,
        ]
        super().__init__(rows, self.switches.controls.values())
        self.queue.on_click(self.redraw)

    def fit(self, changed: w.Widget | None) -> None:
        """Do what a button asked for."""
        asked, self._asked = self._asked, None
        if changed is self.queue:
            self._start_choice()
        elif asked is not None:
            run = self._run(asked)
            if run.state().going:
                run.stop()
            else:
                self._start(asked)

    def render(self) -> Views:
        words = {name: self._plan.words[name] for name in self._plan.configs}
        states = self._states()
        self._going = any(state.going for state in states.values())  # as shown
        return Views(self._describe_choice(), states, words, *self._table_and_figure())

    def show(self, views: Views | None) -> None:
        if views is None:
            self.choice.value, self.table.value, self.plot.outputs = "", "", ()
            self.runs.show({}, {})
            return
        self.choice.value, self.table.value = views.choice, views.table
        self.plot.outputs = views.figure
        self.runs.show(views.states, views.words)

    def _chosen(self) -> tuple[Variant, str | None]:
        """What the switches say, and the listed variant that is the same."""
        variant = own_variant("own", self._plan.full_config, self.switches.values())
        return variant, self._plan.name_of(self._plan.settings_of(variant))

    def _describe_choice(self) -> str:
        variant, name = self._chosen()
        if name is None:
            return f"The switches say: {plain(variant.words)}."
        return f"The switches say <b>{plain(name)}</b>: {plain(self._plan.words[name])}."

    def _start_choice(self) -> None:
        """Start what the switches say; a variant that is not listed yet is added."""
        variant, name = self._chosen()
        if name is None:
            self._add([variant])
            name = self._variants[-1].name
        self._start(name)

    def _add(self, variants: Sequence[Variant]) -> None:
        for variant in variants:
            number = 1 + sum(known.name.startswith("own ") for known in self._variants)
            self._variants.append(Variant(f"own {number}", variant.words, variant.overrides))
        if variants:
            self._plan = plan_ablation(self._config, self._variants, root=self._root)

    def _act(self, name: str) -> None:
        self._asked = name
        self.redraw()

    def _start(self, name: str) -> None:
        self._run(name).start(root=self._root, jobs=self._jobs)
        self._poll.begin()

    def _run(self, name: str) -> Job:
        config = self._plan.configs[name]
        return Job.of(RunFolder.of(config, self._out), config)

    def _states(self) -> dict[str, JobState]:
        return {name: self._run(name).state() for name in self._plan.configs}

    def _table_and_figure(self) -> tuple[str, tuple[dict[str, Any], ...]]:
        """Computed anew only when a run has new figures."""
        runs = finished_runs(self._plan, self._out)
        version = (*self._plan.words, *(_age(run) for run in runs.values()))
        if version != self._version:
            self._results, self._version = self._compute(runs), version
        return self._results

    def _compute(self, runs: dict[str, RunFolder]) -> tuple[str, tuple[dict[str, Any], ...]]:
        result = self._plan.result(runs, part=self._part)
        return table_html(result.words), (figure_output(result.figure()),)


def _age(run: RunFolder) -> tuple[str, int]:
    return run.path.name, (run.path / "metrics.json").stat().st_mtime_ns
