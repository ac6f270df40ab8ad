"""Interactive parts for notebooks: thin controllers over the picture functions of `hmrm_lab`."""

from hmrm_widgets.clip_stepper import ClipStepper
from hmrm_widgets.flow_explorer import FlowExplorer
from hmrm_widgets.loso_monitor import LosoMonitor

__all__ = ["ClipStepper", "FlowExplorer", "LosoMonitor"]
