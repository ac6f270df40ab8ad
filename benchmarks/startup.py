"""What do `import hmrm_lab` and `hmrm --help` cost? Every import in a fresh process."""

import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator

from harness import Level, Ratio, Result, Side, alternate, at_most, main, rounds_of, timed

IMPORTS = {
    "torch": "import torch",
    "hmrm_lab": "import hmrm_lab",
    "training": "import hmrm_lab.models, hmrm_lab.training.trainer, hmrm_lab.evaluation.loso",
}
TIMED = "from time import perf_counter as now; t = now(); {}; print(now() - t)"
HELP = "import sys; from hmrm_lab.cli import main; sys.argv = ['hmrm', '--help']; main()"
MOST, HELP_S = 1.15, 0.5


def measure(options: Namespace) -> Iterator[Result]:
    rounds = rounds_of(options, 5)
    taken = alternate({name: _import(line) for name, line in IMPORTS.items()}, rounds)
    yield Ratio(
        "import hmrm_lab to import torch",
        "seconds of the import statement; torch is imported when it is needed",
        *("hmrm_lab", "torch", taken["hmrm_lab"], taken["torch"]),
        bound=at_most(MOST),
    )
    yield Ratio(
        "import of all that trains to import torch",
        "seconds of the import statements, with the data sets, pandas and numba",
        *("all that trains", "torch", taken["training"], taken["torch"]),
    )
    asked = alternate({"help": timed(_help)}, rounds)
    what = "seconds from starting Python to its end"
    yield Level("hmrm --help", what, "s", asked["help"], bound=at_most(HELP_S))


def _import(line: str) -> Side:
    def side() -> float:
        command = [sys.executable, "-c", TIMED.format(line)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout)

    return side


def _help() -> None:
    subprocess.run([sys.executable, "-c", HELP], stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main(measure)
