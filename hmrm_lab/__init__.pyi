from .api import plot as plot
from .api.clips import Clips as Clips
from .api.clips import load as load
from .api.clips import prepare as prepare
from .api.maps import MotionMaps as MotionMaps
from .api.result import Result as Result
from .api.result import Study as Study
from .api.result import result as result
from .api.result import score as score
from .api.system import System as System
from .api.system import system as system
from .api.system import systems as systems
from .api.verbs import ablate as ablate
from .api.verbs import audit as audit
from .api.verbs import compare as compare
from .api.verbs import evaluate as evaluate
from .api.verbs import predict as predict
from .api.verbs import report as report
from .api.verbs import search as search
from .api.verbs import sweep as sweep
from .datasets import datasets as datasets
from .evaluation.protocols import Protocol as Protocol
from .flow import flow as flow
from .flow import flows as flows

__version__: str
