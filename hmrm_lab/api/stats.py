"""What a number is worth: chance, peeking, intervals, calibration, power, and published claims.

All of it is computed from predictions; where a `Result` is at hand, `result.answers` is the record
that these functions take.
"""

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.evaluation.embedding import embed, knn_label_agreement, nearest_neighbours
from hmrm_lab.evaluation.metrics import reliability, uar, uf1, weighted_f1
from hmrm_lab.evaluation.significance import bootstrap_samples, fold_scores, three_averages
from hmrm_lab.evaluation.simulate import (
    as_independent,
    chance_uf1,
    collect_epoch_predictions,
    coverage,
    evaluation_counts,
    p_value,
    peeking_null,
    permuted_uf1,
    power_table,
    simulated_predictions,
    uf1_by_evaluations,
)
from hmrm_lab.reporting.plots.faces import motion_table, parts_table
from hmrm_lab.reporting.plots.faces import recordings_table as predictions_table
from hmrm_lab.reporting.plots.results import CONVENTION, PUBLISHED
from hmrm_lab.reporting.study_table import published
from hmrm_lab.reporting.study_words import paired_words
from hmrm_lab.reporting.tables import (
    answers_table,
    display_table,
    hard_answers_table,
    paired_differences,
)
from hmrm_lab.studies.ablate import ABLATIONS
from hmrm_lab.studies.space import whole_numbers as _parse_numbers
from hmrm_lab.studies.study import Variant
from hmrm_lab.studies.trials import development_half


def components(system: str) -> tuple[Variant, tuple[Variant, ...]]:
    """The full model and the variants that `lab.ablate` takes if none are named."""
    return ABLATIONS[system]


def whole_numbers(**texts: str) -> dict[str, tuple[int, ...]]:
    """`width="16 32"` as {"width": (16, 32)}; a `ConfigError` names what is no whole number."""
    return {name: _parse_numbers(f"{name}s", text) for name, text in texts.items()}
