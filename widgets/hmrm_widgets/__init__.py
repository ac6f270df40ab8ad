"""Interactive parts for notebooks: thin controllers over the picture functions of `hmrm_lab`."""

from hmrm_widgets.ablation_board import AblationBoard
from hmrm_widgets.clip_stepper import ClipStepper
from hmrm_widgets.flow_explorer import FlowExplorer
from hmrm_widgets.flow_particles import FlowParticles
from hmrm_widgets.heatmap_explorer import HeatmapExplorer
from hmrm_widgets.input_gallery import InputGallery
from hmrm_widgets.loso_monitor import LosoMonitor
from hmrm_widgets.magnifier_studio import MagnifierStudio
from hmrm_widgets.motionmix_studio import MotionMixStudio
from hmrm_widgets.prediction_browser import PredictionBrowser
from hmrm_widgets.region_inspector import RegionInspector
from hmrm_widgets.scan_playground import ScanPlayground
from hmrm_widgets.search_monitor import SearchMonitor
