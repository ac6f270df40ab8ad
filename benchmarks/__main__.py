"""All benchmarks in one run, each in a process of its own: `python benchmarks [NAME...]`.

Exit status: 0 done, 1 one of them failed, or missed its bound under --strict, 2 wrong arguments.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import add_options, machine, show

from hmrm_lab.errors import HmrmError, unknown_name
from hmrm_lab.runtime.store import to_json, write_atomic

HERE = Path(__file__).parent
BENCHMARKS = (
    *("startup", "selective_scan", "training_step", "layers", "tokens", "folds", "loso"),
    *("sparse_activation", "flow", "prepare", "predict", "synthetic", "gpu", "widgets"),
)


def run(
    scripts: list[Path], arguments: list[str], *, quick: bool, out: Path | None = None
) -> dict[str, Any]:
    """The results of all scripts; `out` is written after each of them."""
    document: dict[str, Any] = {"machine": machine(), "quick": quick, "results": []}
    for script in scripts:
        document["results"] += _results(script, arguments)
        if out:
            write_atomic(out, to_json(document))
    return document


def exit_status(document: dict[str, Any], *, strict: bool) -> int:
    """1 if a benchmark failed, or if a bound was missed and that counts."""
    failed = any(result["kind"] == "failed" for result in document["results"])
    missed = any(result.get("met") is False for result in document["results"])
    return int(failed or (strict and missed))


def _results(script: Path, arguments: list[str]) -> list[dict[str, Any]]:
    """What a script measures; the script itself says on standard error how far it is."""
    command = [sys.executable, str(script), "--json", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        why = f"exit status {done.returncode}; its complaint stands above"
        return [{"kind": "failed", "name": script.stem, "why": why}]
    return [{"benchmark": script.stem, **one} for one in json.loads(done.stdout)["results"]]


def _find(name: str) -> Path:
    if name not in BENCHMARKS:
        raise unknown_name("benchmark", name, BENCHMARKS)
    return HERE / f"{name}.py"


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--strict", action="store_true", help="a missed bound is a failure")
    add_options(parser)
    options = parser.parse_args()
    arguments = ["--quick"] if options.quick else []
    arguments += ["--rounds", str(options.rounds)] if options.rounds else []
    try:
        scripts = [_find(name) for name in options.names or BENCHMARKS]
        document = run(scripts, arguments, quick=options.quick, out=options.out)
    except HmrmError as error:
        print(f"hmrm: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    show(document, options.json)
    sys.exit(exit_status(document, strict=options.strict))


if __name__ == "__main__":
    main()
