"""How the default recipe was chosen: inner folds of subjects, on each half of the subjects alone.

    python benchmarks/choose_default.py ROOT [--pixels] [--system NAME]

ROOT holds the published flow maps (`flowmaps`). The subjects are dealt into two halves. Within a
half, every candidate, one change to the recipe each, is scored by subject-disjoint five-fold
cross-validation under two deals. A change deserves its place if both halves favour it.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from hmrm_lab.config import ExperimentConfig, load_config
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.protocols import inner_subject_folds
from hmrm_lab.preparation import load_flowset
from hmrm_lab.records import FlowSet
from hmrm_lab.runtime.processes import settle_process
from hmrm_lab.training.trainer import fit

CANDIDATES = [
    ("hmrm", ""),
    ("hmrm", 'input.channels=["u","v","strain"]'),
    ("hmrm", "input.normalise=none"),
    ("hmrm", "model.width=32"),
    ("hmrm", "model.width=96"),
    ("hmrm", "model.depth=2"),
    ("hmrm", "model.state=8"),
    ("hmrm", "model.fusion=none"),
    ("hmrm", "augment.motionmix=0"),
    ("hmrm", "augment.motionmix=0.6"),
    ("hmrm", "augment.mix_lambda=[0.3,1.0]"),
    ("hmrm", "augment.flip=false"),
    ("hmrm", "loss.gamma=2"),
    ("hmrm", "loss.class_weight_power=0"),
    ("hmrm", "training.epochs=16"),
    ("hmrm", "training.epochs=40"),
    ("hmrm", "training.lr=5e-4"),
    ("hmrm", "evaluation.tta_flip=false evaluation.tta_shift_px=0"),
    ("ststnet", ""),
    ("ststnet", "training.epochs=120"),
    ("ststnet", "training.lr=1e-3"),
]
PIXELS = [("hmrm", "model.tokens=pixels model.width=32"), ("hmrm", "model.width=32")]
FOLDS = 5
DEALS = (0, 1)


def score(config: ExperimentConfig, half: FlowSet, deals: tuple[int, ...]) -> float:
    """UF1 of pooled counts, averaged over deals."""
    settle_process()
    scores = []
    for deal in deals:
        counts = np.zeros((3, 3), dtype=np.int64)
        for number, fold in enumerate(inner_subject_folds(half, FOLDS, deal)):
            held_back = half.take(fold.test)
            fitted = fit(config, half.take(fold.train), seed=100 * deal + number)
            counts += confusion(held_back.labels, fitted.classify(held_back).argmax(1), 3)
        scores.append(float(uf1(counts)))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--pixels", action="store_true", help="pixel tokens, which take long")
    parser.add_argument("--system", help="only the candidates of this system")
    options = parser.parse_args()
    flowset = load_flowset(load_config("default", data="flowmaps"), options.root)
    halves = [flowset.take(fold.test) for fold in inner_subject_folds(flowset, 2, 0)]
    candidates, deals = (PIXELS, DEALS[:1]) if options.pixels else (CANDIDATES, DEALS)
    candidates = [one for one in candidates if options.system in (None, one[0])]
    configs = [
        load_config("default", system=system, data="flowmaps", overrides=changes.split())
        for system, changes in candidates
    ]
    pool = Parallel(n_jobs=os.cpu_count(), return_as="generator")
    scores = pool(delayed(score)(config, half, deals) for config in configs for half in halves)
    print(f"{'half A':>7} {'half B':>7} {'mean':>7}  change")
    for system, changes in candidates:
        first, second = next(scores), next(scores)
        mean = (first + second) / 2
        change = f"{system} {changes or '(recipe)'}"
        print(f"{first:7.3f} {second:7.3f} {mean:7.3f}  {change}", flush=True)


if __name__ == "__main__":
    main()
