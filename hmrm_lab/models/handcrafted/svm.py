"""A support vector machine on descriptors of clips, and the system `svm` on whole flow maps."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmrm_lab.models.interface import Descriptor, Estimator, InnerFolds, Inputs, system
from hmrm_lab.records import Floats, Ints, group_kfold

Doubles = NDArray[np.float64]

COSTS = (0.3, 1.0, 3.0, 10.0, 30.0)
WIDTHS = (0.03, 0.1, 0.3, 1.0, 3.0)  # gamma times the number of features
SLOPES = np.geomspace(0.25, 16.0, 13)
UNJUDGED = -1.0  # in place of a macro F1, with a single subject
ABSENT = -30.0  # log probability of a class that no training clip has


class Choice(NamedTuple):
    """The best settings on held-out training subjects, and their macro F1 there."""

    cost: float
    width: float
    slope: float
    score: float = UNJUDGED


class NestedSVM:
    """Describe, standardise, choose, fit: an `Estimator`.

    Features are standardised on training clips; one machine for each pair of classes, as in LIBSVM.
    C, the width of the kernel, and the slope that turns decisions into probabilities are chosen on
    `inner_folds` groups of training subjects; with one subject the middle of each grid is taken.

    The kernel is `rbf`, exp(-gamma |x - y|^2), or `linear`, the dot product over the number of
    features. `balanced` scales C of a class by one over its frequency: scores are macro means.
    """

    def __init__(
        self,
        describe: Descriptor,
        kernel: Literal["rbf", "linear"],
        classes: int,
        *,
        inner_folds: int = 5,
        balanced: bool = True,
    ) -> None:
        self.describe, self.kernel = describe, kernel
        self.classes, self.pairs = classes, list(combinations(range(classes), 2))
        self.inner_folds, self.balanced = inner_folds, balanced
        self.grid = [(c, w) for c in COSTS for w in (WIDTHS if kernel == "rbf" else (1.0,))]
        self.fitted: dict[str, NDArray[Any]] = {}

    def fit(self, inputs: Inputs, labels: Ints, subjects: Sequence[str], *, seed: int) -> None:
        """Choose settings on groups of subjects, then fit all clips with them."""
        features = self.features(inputs)
        choice = self._choose(features, labels, subjects, seed)
        mean, scale = standardise_by(features)
        points = ((features - mean) / scale).astype(np.float32)
        kernel = self._kernel(points, points, choice.width)
        coefficients, intercepts = self._machines(kernel, labels, choice.cost)
        used = np.flatnonzero(coefficients.any(1))
        self.fitted = {
            "mean": mean,
            "scale": scale,
            "support": points[used],
            "coefficients": coefficients[used],
            "intercepts": intercepts,
            "present": np.isin(np.arange(self.classes), labels),
            "choice": np.array(choice),
        }

    @property
    def choice(self) -> Choice:
        """The settings of the fitted machine."""
        return Choice(*map(float, self.fitted["choice"]))

    def features(self, inputs: Inputs) -> Floats:
        """Describe clips: (n, F)."""
        return np.stack([self.describe(clip) for clip in inputs]).astype(np.float32)

    def probabilities(self, inputs: Inputs) -> Floats:
        """Classify clips, each by itself: (n, K)."""
        kept, choice = self.fitted, self.choice
        points = ((self.features(inputs) - kept["mean"]) / kept["scale"]).astype(np.float32)
        kernel = self._kernel(points, kept["support"], choice.width)
        decisions = kernel @ kept["coefficients"] + kept["intercepts"]
        return couple(decisions, kept["present"], choice.slope).astype(np.float32)

    def state_dict(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in self.fitted.items()}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        support = tensors.get("support", torch.empty(0))
        vectors, length = support.shape if support.ndim == 2 else (-1, -1)
        expected = {
            "mean": (length,),
            "scale": (length,),
            "support": (vectors, length),
            "coefficients": (vectors, len(self.pairs)),
            "intercepts": (len(self.pairs),),
            "present": (self.classes,),
            "choice": (4,),
        }
        if set(tensors) != set(expected):
            raise RuntimeError(f"tensors {sorted(tensors)} are not {sorted(expected)}")
        for name, shape in expected.items():
            if tensors[name].shape != shape:
                raise RuntimeError(f"{name} is {tuple(tensors[name].shape)}, not {shape}")
        self.fitted = {name: value.numpy() for name, value in tensors.items()}

    def _choose(self, features: Floats, labels: Ints, subjects: Sequence[str], seed: int) -> Choice:
        """Choose the best of the grid on held-out subjects: score, likelihood, then order."""
        groups = min(self.inner_folds, len(set(subjects)))
        if groups < 2:
            return Choice(*self.grid[len(self.grid) // 2], slope=1.0)
        decisions = np.zeros((len(self.grid), len(labels), len(self.pairs)))
        present = np.zeros((len(labels), self.classes), dtype=bool)
        for held_out in group_kfold(subjects, groups, seed):
            mean, scale = standardise_by(features[~held_out])
            points = ((features - mean) / scale).astype(np.float32)
            train, test = points[~held_out], points[held_out]
            known = labels[~held_out]
            present[held_out] = np.isin(np.arange(self.classes), known)
            kernels = {
                width: (self._kernel(train, train, width), self._kernel(test, train, width))
                for width in {width for _, width in self.grid}
            }
            for number, (cost, width) in enumerate(self.grid):
                inside, across = kernels[width]
                coefficients, intercepts = self._machines(inside, known, cost)
                decisions[number, held_out] = across @ coefficients + intercepts
        tried = [_judge(d, present, labels) for d in decisions]
        best = max(range(len(tried)), key=lambda n: (tried[n][0], tried[n][1], -n))
        score, _, slope = tried[best]
        return Choice(*self.grid[best], slope=slope, score=score)

    def _machines(self, kernel: Doubles, labels: Ints, cost: float) -> tuple[Doubles, Doubles]:
        """Fit a machine for each pair of classes: coefficients (n, pairs), intercepts (pairs,)."""
        from sklearn import config_context  # a second to import, which networks do without
        from sklearn.svm import SVC

        coefficients = np.zeros((len(labels), len(self.pairs)))
        intercepts = np.zeros(len(self.pairs))
        for number, (first, second) in enumerate(self.pairs):
            rows = np.flatnonzero((labels == first) | (labels == second))
            if len(np.unique(labels[rows])) < 2:
                continue
            weight = "balanced" if self.balanced else None
            machine = SVC(C=cost, kernel="precomputed", class_weight=weight)
            with config_context(assume_finite=True, skip_parameter_validation=True):
                machine.fit(kernel[np.ix_(rows, rows)], labels[rows])
            # scikit-learn's decision is positive for the second class; ours for the first
            coefficients[rows[machine.support_], number] = -machine.dual_coef_[0]
            intercepts[number] = -machine.intercept_[0]
        return coefficients, intercepts

    def _kernel(self, ours: Floats, theirs: Floats, width: float) -> Doubles:
        """Compute the kernel matrix (n, m), float64."""
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        products = a @ b.T
        if self.kernel == "linear":
            return products / a.shape[1]
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * products
        return np.asarray(np.exp(-width / a.shape[1] * squares.clip(min=0)))


def standardise_by(features: Floats) -> tuple[Doubles, Doubles]:
    """Return mean and standard deviation of every feature; 1 for a constant one."""
    spread = features.std(0, dtype=np.float64)
    return features.mean(0, dtype=np.float64), np.where(spread > 1e-12, spread, 1.0)


def couple(decisions: Doubles, present: NDArray[np.bool_], slope: float) -> Doubles:
    """Turn decisions of pairs into probabilities of classes: (n, pairs) to (n, K).

    A class has the product of its logistic probabilities against each other class; one that is not
    `present` in training, (K,) or (n, K), has nearly none.
    """
    classes = present.shape[-1]
    logs = np.zeros((len(decisions), classes))
    for number, (first, second) in enumerate(combinations(range(classes), 2)):
        wins = slope * decisions[:, number]
        logs[:, first] -= np.logaddexp(0, -wins)
        logs[:, second] -= np.logaddexp(0, wins)
    logs = np.where(present, logs, ABSENT)
    logs -= logs.max(1, keepdims=True)
    return np.asarray(np.exp(logs) / np.exp(logs).sum(1, keepdims=True))


def _judge(
    decisions: Doubles, present: NDArray[np.bool_], labels: Ints
) -> tuple[float, float, float]:
    """Return macro F1 and mean log likelihood at the likeliest slope, and that slope."""
    tried = []
    for slope in SLOPES:
        believed = couple(decisions, present, float(slope))
        of_truth = believed[np.arange(len(labels)), labels].clip(min=1e-6)
        tried.append((float(np.log(of_truth).mean()), float(slope), believed.argmax(1)))
    likelihood, slope, predicted = max(tried, key=lambda one: one[0])
    return macro_f1(labels, predicted, present.shape[-1]), likelihood, slope


def macro_f1(labels: Ints, predicted: Ints, classes: int) -> float:
    """Average 2 TP / (2 TP + FP + FN) over classes; 0 for a class without clip or prediction."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, predicted), 1)
    met = counts.sum(0) + counts.sum(1)
    return float((2 * counts.diagonal() / np.maximum(met, 1)).mean())


@system("svm")
def svm(
    classes: int,
    *,
    kernel: Literal["rbf", "linear"] = "rbf",
    inner_folds: InnerFolds = 5,
    balanced: bool = True,
) -> Estimator:
    """All values of the maps, standardised on the training clips, in a support vector machine."""
    return NestedSVM(np.ravel, kernel, classes, inner_folds=inner_folds, balanced=balanced)
