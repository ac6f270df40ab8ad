"""Why subjects are left out, and not clips: the most similar other clip, and whose it is."""

from dataclasses import dataclass

import numpy as np

from hmrm_lab.evaluation.metrics import confusion, uf1
from hmrm_lab.evaluation.splits import leave_one_subject_out
from hmrm_lab.flow.normalise import normalise_maps
from hmrm_lab.records import FlowSet


@dataclass(frozen=True)
class Neighbours:
    """What the nearest neighbour of every clip says."""

    same_person: float  # share of clips whose nearest other clip is of the same person
    by_chance: float  # that share, were the nearest clip any other clip
    uf1_clips: float  # UF1 of the neighbour's class as the answer, the clip alone left out
    uf1_subjects: float  # the same, all clips of its person left out


def nearest_neighbours(flowset: FlowSet) -> Neighbours:
    """Answer for each clip with the class of the clip whose map is nearest.

    Maps are normalised as by `median_rms` and compared by Euclidean distance. Nothing is trained:
    what the second answer lacks against the first is the help of the person's own clips.

    Raises
    ------
    InputError
        If all clips are of one subject.
    """
    leave_one_subject_out(flowset)  # refuses a single subject
    maps = normalise_maps(flowset.maps, "median_rms", flowset.unit, flowset.inside)
    maps = maps.reshape(len(flowset), -1).astype(np.float64)
    squares = (maps**2).sum(1)
    distances = squares[:, None] + squares - 2 * maps @ maps.T  # (n, n)
    persons = np.array(flowset.persons)
    own = persons[:, None] == persons
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(1)
    stranger = np.where(own, np.inf, distances).argmin(1)
    labels = flowset.labels
    return Neighbours(
        same_person=float((persons[nearest] == persons).mean()),
        by_chance=float((own.sum(1) - 1).mean() / (len(flowset) - 1)),
        uf1_clips=float(uf1(confusion(labels, labels[nearest]))),
        uf1_subjects=float(uf1(confusion(labels, labels[stranger]))),
    )
