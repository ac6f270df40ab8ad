"""Features of a trained network before its last layer, and their nearest neighbours.

Features of two models do not share a space: the folds of a run cannot be drawn in one picture.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hmrm_lab.errors import InputError
from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.protocols import leave_one_subject_out
from hmrm_lab.flow.motion_maps import normalise_maps
from hmrm_lab.models.layers import evaluation_mode
from hmrm_lab.records import Floats, FlowSet, Ints
from hmrm_lab.training.trainer import Fitted

PERPLEXITY = 30.0  # the usual value; roughly the number of neighbours of a point
FEWEST = 4  # clips
NEIGHBOURS = 5


def features_of(model: nn.Module, maps: Tensor) -> Floats:
    """Compute the input (B, F) of the linear layer that gives the first logits.

    For HMRM these are the 20 fused vectors, one after the other; for STSTNet its pooled streams.
    `maps` (B, C, H, H) are normalised, with the channels of the model. `InputError` if no linear
    layer gives the logits.
    """
    calls: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((inputs[0], output))

    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    hooks = [layer.register_forward_hook(keep) for layer in linear]
    try:
        with evaluation_mode(model), torch.no_grad():
            first = model(maps)[:, 0]
    finally:
        for hook in hooks:
            hook.remove()
    for given, answer in reversed(calls):
        if answer.shape == first.shape and torch.equal(answer, first):
            return given.cpu().numpy().astype(np.float32)
    problem = f"{type(model).__name__} has no linear layer that gives its answer"
    raise InputError(problem, hint="take another system")


def clip_features(fitted: Fitted, flowset: FlowSet) -> Floats:
    """Compute the features of these clips (n, F), without views at test time."""
    if not isinstance(fitted.model, nn.Module):
        problem = f"system '{fitted.config.model.name}' is no network and has no layers"
        raise InputError(problem, hint="take another system")
    return features_of(fitted.model, fitted.inputs(flowset))


def embed(features: Floats, *, perplexity: float = PERPLEXITY, seed: int = 0) -> Floats:
    """Reduce features (n, F) to (n, 2) by t-SNE (van der Maaten and Hinton 2008).

    It starts from the two principal components. Near points were near before; the distance between
    clusters and their size mean nothing. The perplexity is at most a third of the other clips.
    `InputError` if there are fewer than four clips, or all have the same features.
    """
    count = len(features)
    if count < FEWEST:
        raise InputError(f"{count} clips are too few for t-SNE", hint=f"take {FEWEST} or more")
    if (features == features[0]).all():
        raise InputError("all clips have the same features", hint="take another model")
    from sklearn.manifold import TSNE  # a second to import, which others do without

    tsne = TSNE(perplexity=min(perplexity, (count - 1) / 3), init="pca", random_state=seed)
    return np.asarray(tsne.fit_transform(features), dtype=np.float32)


class LabelAgreement(NamedTuple):
    share: float  # of a clip's nearest clips that are of its class
    chance: float  # likewise of all others


def knn_label_agreement(
    features: Floats, labels: Ints, *, of: Ints, among: Ints, neighbours: int = NEIGHBOURS
) -> LabelAgreement:
    """Measure how often the nearest clips `among` have the class of each of the clips `of`.

    Distances are Euclidean, between all features (n, F), before t-SNE. A clip is not its own
    neighbour. Chance is the share of its class among the others. `of` and `among` are positions;
    `InputError` if `of` is empty, or `among` has fewer than two clips.
    """
    if not len(of) or len(among) < 2:
        raise InputError("no clips to compare", hint="take more subjects")
    points = torch.from_numpy(features)
    distance = torch.cdist(points[of], points[among]).numpy().astype(np.float64)
    same = labels[of][:, None] == labels[among]  # (of, among)
    itself = of[:, None] == among
    distance[itself] = np.inf
    others = (~itself).sum(1)
    count = min(neighbours, int(others.min()))
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :count]
    chance = (same & ~itself).sum(1) / others
    share = float(np.take_along_axis(same, nearest, axis=1).mean())
    return LabelAgreement(share, float(chance.mean()))


class Neighbours(NamedTuple):
    same_person: float  # share of clips whose nearest other clip is of the same subject
    by_chance: float  # that share, if the nearest clip were any other clip
    uf1_clips: float  # UF1 of predicting the neighbour's class, only the clip itself left out
    uf1_subjects: float  # likewise, all clips of its subject left out


def nearest_neighbours(flowset: FlowSet) -> Neighbours:
    """Predict each clip by the class of the clip whose map is nearest.

    Maps are normalised by `median_rms` and compared by Euclidean distance. Nothing is trained: the
    gap between the two UF1 is the help of the subject's own clips. `InputError` if all clips are of
    one subject.
    """
    leave_one_subject_out(flowset)  # refuses a single subject
    maps = normalise_maps(flowset.maps, "median_rms", flowset.unit, flowset.inside)
    maps = maps.reshape(len(flowset), -1).astype(np.float64)
    squares = (maps**2).sum(1)
    distances = squares[:, None] + squares - 2 * maps @ maps.T  # (n, n)
    subjects = np.array(flowset.subjects)
    own = subjects[:, None] == subjects
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(1)
    stranger = np.where(own, np.inf, distances).argmin(1)
    labels, classes = flowset.labels, len(flowset.classes)
    return Neighbours(
        same_person=float((subjects[nearest] == subjects).mean()),
        by_chance=float((own.sum(1) - 1).mean() / (len(flowset) - 1)),
        uf1_clips=float(uf1(confusion(labels, labels[nearest], classes))),
        uf1_subjects=float(uf1(confusion(labels, labels[stranger], classes))),
    )
