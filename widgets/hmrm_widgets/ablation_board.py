"""Switch components of HMRM off and on, run what that makes, and watch the differences arrive."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets as w

from hmrm_lab.api.clips import Clips, MotionMaps
from hmrm_lab.api.runs import RUNS, Seeds, settings
from hmrm_lab.api.system import System
from hmrm_lab.config import ExperimentConfig
from hmrm_lab.errors import InputError
from hmrm_lab.registry import flows
from hmrm_lab.reporting.study_table import CLAIMS
from hmrm_lab.reporting.svg import table_html
from hmrm_lab.reporting.tables import ALL
from hmrm_lab.runtime.store import RunFolder
from hmrm_lab.studies.ablate import PAPER, Ablation, plan_ablation
from hmrm_lab.studies.jobs import Job, JobState
from hmrm_lab.studies.study import Variant
from hmrm_widgets.parts import buttons, control, figure_outputs, plain, row
from hmrm_widgets.viewer import PolledViewer

WIDTHS, DEPTHS = (16, 32, *range(64, 385, 64)), (1, *range(2, 13, 2))
ACTIONS = {"absent": "Queue", "stopped": "Go on", "failed": "Go on"}
COMPONENTS = {
    "flow.name": "flow {}",
    "augment.motionmix": "MotionMix {}",
    "model.fusion": "fusion {}",
    "model.width": "width {}",
    "model.depth": "depth {}",
}  # settings that a board switches, in words


class ComponentSwitches(w.VBox):
    """Flow, MotionMix, width, depth and fusion, as these settings have them to begin with.

    Parameters
    ----------
    config
        Settings of HMRM.
    given
        Components that the data decide: shown, and not to be changed.
    """

    def __init__(self, config: ExperimentConfig, given: Sequence[str] = ()) -> None:
        start = component_values(config)
        widths, depths = {*WIDTHS, start["model.width"]}, {*DEPTHS, start["model.depth"]}
        shares = dict[str, Any](max=1, step=0.1, readout_format=".1f", continuous_update=False)
        self.flow = control(w.Dropdown, "Flow", options=list(flows), words="9em")
        self.motionmix = control(w.FloatSlider, "MotionMix share", words="9em", **shares)
        self.width = control(w.Dropdown, "Width", options=sorted(widths), words="9em")
        self.depth = control(w.Dropdown, "Depth", options=sorted(depths), words="9em")
        self.fusion = buttons("Region fusion", ["attention", "none"], "9em", words="9em")
        self.controls: dict[str, w.Widget] = {
            "flow.name": self.flow,
            "augment.motionmix": self.motionmix,
            "model.width": self.width,
            "model.depth": self.depth,
            "model.fusion": self.fusion,
        }
        for key, switch in self.controls.items():
            switch.value, switch.disabled = start[key], key in given
        rows = [row(self.flow, self.motionmix), row(self.width, self.depth), row(self.fusion)]
        super().__init__(rows)

    def values(self) -> dict[str, Any]:
        """The setting of every component that may be changed."""
        return {
            key: round(switch.value, 3) if isinstance(switch.value, float) else switch.value
            for key, switch in self.controls.items()
            if not switch.disabled
        }


class RunRow(w.HBox):
    """A run: name, progress, state in words, and a button that starts or stops it until it is
    complete."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self.name = name
        self.label = w.HTML(layout=w.Layout(width="20em"))
        self.progress = w.FloatProgress(min=0, max=1, layout=w.Layout(width="10em"))
        self.button = w.Button(layout=w.Layout(width="13em"))
        self.words = w.HTML(layout=w.Layout(margin="0 0 0 1em"))
        self.button.on_click(lambda _: act())
        super().__init__([row(self.label, self.progress, self.button, self.words)])

    def show(self, state: JobState, words: str) -> None:
        action = "Stop" if state.going else ACTIONS.get(state.phase, "")
        self.label.value = f"<b>{plain(self.name)}</b> {plain(words)}"
        self.progress.value = state.progress
        self.button.description = f"{action} {self.name}"
        self.button.layout.visibility = "visible" if action else "hidden"
        self.words.value = plain(describe(state))


class AblationBoard(PolledViewer):
    """Switches for the components above the runs that they make, and the table and plot of these.

    `Queue this` starts the run of the switches in a process of its own; further ones wait for it.
    They outlive the notebook: a board opened anew on the same folder finds them. The runs of the
    paper's models are listed from the beginning, with a button each.

    Parameters
    ----------
    system
        Whose components are switched: it must be HMRM (`InputError` otherwise).
    data
        `Clips` or `MotionMaps`.
    seeds, out, jobs
        As `lab.ablate` takes them.
    variants
        Those listed from the beginning, besides the full model.
    part
        The data set that table and plot speak of; `all` of them by default.
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
        self._results: dict[str, Any] = {}
        given = () if not self._plan.ready_made else ("flow.name",)
        self.switches = ComponentSwitches(self._plan.full_config, given)
        self.queue = w.Button(description="Queue this", icon="plus", button_style="primary")
        self.choice, self.table, self.plot = w.HTML(), w.HTML(), w.Output()
        self.runs, self.run_rows = w.VBox(), dict[str, RunRow]()
        rows = [
            self.switches,
            row(self.queue, self.choice, gap="1em"),
            self.runs,
            self.table,
            self.plot,
        ]
        views = {"choice": self.choice, "table": self.table, "plot": self.plot}
        super().__init__(rows, list(self.switches.controls.values()), views)
        self.queue.on_click(self.redraw)

    def fit(self, changed: w.Widget | None) -> None:
        """Do what a button asked for."""
        asked, self._asked = self._asked, None
        if changed is self.queue:
            variant, listed = self._chosen()
            if listed is None:
                self._add([variant])
            self._start(listed or self._variants[-1].name)
        elif asked is not None and self._run(asked).state().going:
            self._run(asked).stop()
        elif asked is not None:
            self._start(asked)

    def render(self) -> Mapping[str, Any]:
        states = {name: self._run(name).state() for name in self._plan.configs}
        self._going = any(state.going for state in states.values())  # as shown
        variant, name = self._chosen()
        choice = plain(variant.words)
        if name is not None:
            choice = f"<b>{plain(name)}</b>: {plain(self._plan.words[name])}"
        return {
            "choice": f"The switches are set to{':' if name is None else ''} {choice}.",
            "states": states,
            **self._table_and_figure(),
        }

    def show(self, views: Mapping[str, Any] | None) -> None:
        super().show(views)
        states: dict[str, JobState] = views["states"] if views else {}
        if list(self.run_rows) != list(states):
            self.run_rows = {
                name: self.run_rows.get(name) or RunRow(name, partial(self._act, name))
                for name in states
            }
            self.runs.children = list(self.run_rows.values())
        for name, state in states.items():
            self.run_rows[name].show(state, self._plan.words[name])

    def _chosen(self) -> tuple[Variant, str | None]:
        """What the switches say, and the listed variant that is the same."""
        variant = own_variant("own", self._plan.full_config, self.switches.values())
        return variant, self._plan.name_of(self._plan.settings_of(variant))

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

    def _table_and_figure(self) -> dict[str, Any]:
        """Computed anew only when a run has new figures."""
        runs = finished_runs(self._plan, self._out)
        ages = ((run.path / "metrics.json").stat().st_mtime_ns for run in runs.values())
        version = (*self._plan.words, *(run.path.name for run in runs.values()), *ages)
        if version != self._version:
            result = self._plan.result(runs, part=self._part)
            words = result.words.drop(columns=["Model", *CLAIMS], errors="ignore")  # told beside it
            plot = figure_outputs(result.figure())
            self._results = {"table": table_html(words, index=False), "plot": plot}
            self._version = version
        return self._results


def describe(state: JobState) -> str:
    """`running, 3 of 8 folds, about 12 s left`; the problem where there is one."""
    words: list[str] = [state.phase if state.phase != "absent" else "not begun"]
    if state.expected:
        words.append(f"{state.done} of {state.expected} folds")
    if state.failed:
        words.append(f"{state.failed} failed")
    if state.seconds_left is not None and state.going:
        words.append(f"about {state.seconds_left:.0f} s left")
    return ", ".join([*words, *filter(None, (state.note, state.problem))])


def finished_runs(plan: Ablation, out: Path) -> dict[str, RunFolder]:
    """Find the runs of variants that have figures already, complete or not."""
    folders = {name: RunFolder.of(config, out) for name, config in plan.configs.items()}
    return {name: run for name, run in folders.items() if (run.path / "metrics.json").is_file()}


def component_values(config: ExperimentConfig) -> dict[str, Any]:
    tables = config.model_dump(mode="json")
    paths = [key.split(".") for key in COMPONENTS]
    return {f"{table}.{key}": tables[table][key] for table, key in paths if key in tables[table]}


def own_variant(name: str, full: ExperimentConfig, values: Mapping[str, Any]) -> Variant:
    """Make the variant that has these components, described by its changes of the full model."""
    before = component_values(full)
    changed = {key: value for key, value in values.items() if value != before[key]}
    words = ", ".join(COMPONENTS[key].format(value) for key, value in changed.items())
    return Variant(name, words, tuple(f"{key}={value}" for key, value in changed.items()))


def variants_in(plan: Ablation, out: Path) -> list[Variant]:
    """Find runs in this folder that differ from the full model in components alone."""
    full = plan.full_config
    found: dict[str, Variant] = {}
    for file in sorted(out.glob("*/config.toml")):
        config = RunFolder(file.parent).config()
        if config.model.name != full.model.name or plan.name_of(config):
            continue
        variant = own_variant(f"own {len(found) + 1}", full, component_values(config))
        if plan.settings_of(variant).digest() == config.digest():
            found.setdefault(config.digest(), variant)
    return list(found.values())
