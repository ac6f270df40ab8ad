"""A switch for every component of HMRM that the paper's ablation and its sweep change."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as w

from hmrm_lab.config import ExperimentConfig
from hmrm_lab.registry import flows
from hmrm_lab.studies.ablate import component_values
from hmrm_widgets.parts import row

WIDE = {"description_width": "9em"}
WIDTHS, DEPTHS = (16, 32, *range(64, 385, 64)), (1, *range(2, 13, 2))


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
        self.flow = w.Dropdown(options=list(flows), description="Flow", style=WIDE)
        self.motionmix = w.FloatSlider(
            min=0,
            max=1,
            step=0.1,
            readout_format=".1f",
            description="MotionMix share",
            continuous_update=False,
            style=WIDE,
        )
        self.width = w.Dropdown(
            options=sorted({*WIDTHS, start["model.width"]}), description="Width", style=WIDE
        )
        self.depth = w.Dropdown(
            options=sorted({*DEPTHS, start["model.depth"]}), description="Depth", style=WIDE
        )
        self.fusion = w.ToggleButtons(
            options=["attention", "none"],
            description="Region fusion",
            style={**WIDE, "button_width": "9em"},
        )
        self.controls: dict[str, w.Widget] = {
            "flow.name": self.flow,
            "augment.motionmix": self.motionmix,
            "model.width": self.width,
            "model.depth": self.depth,
            "model.fusion": self.fusion,
        }
        for key, control in self.controls.items():
            control.value = start[key]
            control.disabled = key in given
        self._given = tuple(given)
        super().__init__(
            [row(self.flow, self.motionmix), row(self.width, self.depth), row(self.fusion)]
        )

    def values(self) -> dict[str, Any]:
        """The setting of every component that may be changed."""
        return {
            key: round(control.value, 3) if isinstance(control.value, float) else control.value
            for key, control in self.controls.items()
            if key not in self._given
        }
