"""A support vector machine whose settings are chosen on training subjects alone.

One machine for each pair of classes (as LIBSVM has it), features standardised on training clips.
C and the width of the kernel are those that do best on persons held back from the training clips;
so is the slope that turns the machines' decisions into probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.records import Floats, Ints, deal_persons

Doubles = NDArray[np.float64]

COSTS = (0.3, 1.0, 3.0, 10.0, 30.0)
WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0)  # gamma times the number of features
SLOPES = np.geomspace(0.25, 16.0, 13)
UNJUDGED = -1.0  # in the place of a macro F1, where no person could be held back
ABSENT = -30.0  # log probability of a class that no training clip has
NAMES = ("mean", "scale", "support", "coefficients", "intercepts", "present", "choice")


@dataclass(frozen=True)
class Choice:
    """The settings that did best on held-back persons, and their macro F1 there."""

    cost: float
    width: float
    slope: float
    score: float = UNJUDGED


class NestedSVM:
    """Standardise, choose, fit.

    Parameters
    ----------
    kernel
        `rbf`, exp(-gamma |x - y|^2), or `linear`, the dot product over the number of features.
    inner_folds
        Groups of persons for the choice; as many as there are persons if those are fewer. With
        one person nothing can be chosen, and the middle of each grid is taken.
    balanced
        Whether the C of a class is scaled by one over its frequency: the scores are macro means.
    """

    def __init__(
        self,
        kernel: Literal["rbf", "linear"],
        classes: int,
        *,
        inner_folds: int = 5,
        balanced: bool = True,
    ) -> None:
        self.kernel = kernel
        self.classes = classes
        self.pairs = pairs_of(classes)
        self.inner_folds = inner_folds
        self.balanced = balanced
        self.grid = [(c, w) for c in COSTS for w in (WIDTHS if kernel == "rbf" else (1.0,))]
        self.fitted: dict[str, NDArray[Any]] = {}

    def fit(self, features: Floats, labels: Ints, persons: Sequence[str], *, seed: int) -> Choice:
        """Choose on groups of persons, then fit all clips with what was chosen. (n, F)."""
        choice = self._choose(features, labels, persons, seed)
        mean, scale = standardise_by(features)
        points = ((features - mean) / scale).astype(np.float32)
        machines = self._machines(self._kernel(points, points, choice.width), labels, choice.cost)
        used = np.flatnonzero(machines.coefficients.any(1))
        self.fitted = {
            "mean": mean,
            "scale": scale,
            "support": points[used],
            "coefficients": machines.coefficients[used],
            "intercepts": machines.intercepts,
            "present": machines.present,
            "choice": np.array([choice.cost, choice.width, choice.slope, choice.score]),
        }
        return choice

    def probabilities(self, features: Floats) -> Floats:
        """(n, F) to (n, K), each row by itself."""
        kept = self.fitted
        points = ((features - kept["mean"]) / kept["scale"]).astype(np.float32)
        _, width, slope, _ = kept["choice"]
        kernel = self._kernel(points, kept["support"], float(width))
        decisions = kernel @ kept["coefficients"] + kept["intercepts"]
        return couple(decisions, kept["present"], float(slope)).astype(np.float32)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in self.fitted.items()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        if set(tensors) != set(NAMES):
            raise RuntimeError(f"tensors {sorted(tensors)} are not {sorted(NAMES)}")
        kept = {name: value.numpy() for name, value in tensors.items()}
        vectors, length = kept["support"].shape if kept["support"].ndim == 2 else (-1, -1)
        shapes = {
            "mean": (length,),
            "scale": (length,),
            "support": (vectors, length),
            "coefficients": (vectors, len(self.pairs)),
            "intercepts": (len(self.pairs),),
            "present": (self.classes,),
            "choice": (4,),
        }
        for name, shape in shapes.items():
            if kept[name].shape != shape:
                raise RuntimeError(f"{name} is {kept[name].shape}, not {shape}")
        self.fitted = kept

    def _choose(self, features: Floats, labels: Ints, persons: Sequence[str], seed: int) -> Choice:
        """The best of the grid on held-back persons; of equals, the likelier, then the earlier."""
        groups = min(self.inner_folds, len(set(persons)))
        if groups < 2:
            return Choice(*self.grid[len(self.grid) // 2], slope=1.0)
        decisions = np.zeros((len(self.grid), len(labels), len(self.pairs)))
        present = np.zeros((len(labels), self.classes), dtype=bool)
        for held_back in deal_persons(persons, groups, seed):
            mean, scale = standardise_by(features[~held_back])
            points = ((features - mean) / scale).astype(np.float32)
            learnt, asked = points[~held_back], points[held_back]
            known = labels[~held_back]
            present[held_back] = np.isin(np.arange(self.classes), known)
            for width in {width: None for _, width in self.grid}:
                inside = self._kernel(learnt, learnt, width)
                across = self._kernel(asked, learnt, width)
                for number, (cost, of) in enumerate(self.grid):
                    if of == width:
                        m = self._machines(inside, known, cost)
                        decisions[number, held_back] = across @ m.coefficients + m.intercepts
        tried = [_judge(d, present, labels) for d in decisions]
        best = max(range(len(tried)), key=lambda n: (tried[n][0], tried[n][1], -n))
        score, _, slope = tried[best]
        return Choice(*self.grid[best], slope=slope, score=score)

    def _machines(self, kernel: Doubles, labels: Ints, cost: float) -> "_Machines":
        from sklearn import config_context  # a second to import, which networks have no use for
        from sklearn.svm import SVC

        coefficients = np.zeros((len(labels), len(self.pairs)))
        intercepts = np.zeros(len(self.pairs))
        for number, (first, second) in enumerate(self.pairs):
            rows = np.flatnonzero((labels == first) | (labels == second))
            if len(np.unique(labels[rows])) < 2:
                continue
            weight = _balance(labels[rows]) if self.balanced else None
            machine = SVC(C=cost, kernel="precomputed", class_weight=weight)
            with config_context(assume_finite=True, skip_parameter_validation=True):
                machine.fit(kernel[np.ix_(rows, rows)], labels[rows])
            # scikit-learn's decision is positive for the second class; ours for the first
            coefficients[rows[machine.support_], number] = -machine.dual_coef_[0]
            intercepts[number] = -machine.intercept_[0]
        return _Machines(coefficients, intercepts, np.isin(np.arange(self.classes), labels))

    def _kernel(self, ours: Floats, theirs: Floats, width: float) -> Doubles:
        """(n, m), float64."""
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        products = a @ b.T
        if self.kernel == "linear":
            return products / a.shape[1]
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * products
        return np.asarray(np.exp(-width / a.shape[1] * squares.clip(min=0)))


@dataclass(frozen=True, eq=False)
class _Machines:
    """`coefficients` (n, pairs), `intercepts` (pairs,); `present` (K,): classes that were seen."""

    coefficients: Doubles
    intercepts: Doubles
    present: NDArray[np.bool_]


def pairs_of(classes: int) -> list[tuple[int, int]]:
    """Every two classes, in the order of the machines."""
    return list(combinations(range(classes), 2))


def standardise_by(features: Floats) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of every feature; 1 for one that never changes."""
    spread = features.std(0, dtype=np.float64)
    return features.mean(0, dtype=np.float64), np.where(spread > 1e-12, spread, 1.0)


def couple(decisions: Doubles, present: NDArray[np.bool_], slope: float) -> Doubles:
    """Decisions of pairs as probabilities of classes: (n, pairs) to (n, K).

    The probability of a class is in proportion to the product of the logistic probabilities with
    which it wins against each other class. A class that was never seen has next to none.

    Shapes
    ------
    present : (K,) or (n, K)
    """
    classes = present.shape[-1]
    logs = np.zeros((len(decisions), classes))
    for number, (first, second) in enumerate(pairs_of(classes)):
        wins = slope * decisions[:, number]
        logs[:, first] -= np.logaddexp(0, -wins)
        logs[:, second] -= np.logaddexp(0, wins)
    logs = np.where(present, logs, ABSENT)
    logs -= logs.max(1, keepdims=True)
    return np.asarray(np.exp(logs) / np.exp(logs).sum(1, keepdims=True))


def _judge(
    decisions: Doubles, present: NDArray[np.bool_], labels: Ints
) -> tuple[float, float, float]:
    """Macro F1 and mean log likelihood at the likeliest slope, and that slope."""
    tried = []
    for slope in SLOPES:
        believed = couple(decisions, present, float(slope))
        of_truth = believed[np.arange(len(labels)), labels].clip(min=1e-6)
        tried.append((float(np.log(of_truth).mean()), float(slope), believed.argmax(1)))
    likelihood, slope, answers = max(tried, key=lambda one: one[0])
    return macro_f1(labels, answers, present.shape[-1]), likelihood, slope


def macro_f1(labels: Ints, answers: Ints, classes: int) -> float:
    """The mean over the classes of 2 TP / (2 TP + FP + FN); 0 for a class never met or named."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, answers), 1)
    met = counts.sum(0) + counts.sum(1)
    return float((2 * counts.diagonal() / np.maximum(met, 1)).mean())


def _balance(labels: Ints) -> dict[int, float]:
    """The weight of each class: one over its frequency, the mean over the clips 1."""
    names, counts = np.unique(labels, return_counts=True)
    weights = len(labels) / (len(names) * counts)
    return dict(zip(names.tolist(), weights.tolist(), strict=True))
