import numpy as np
import pytest

from hmrm_lab.datasets.recordings.findings import megc2019
from hmrm_lab.evaluation.significance import pooled
from hmrm_lab.evaluation.simulate import power_table, simulate
from hmrm_lab.records import ClipKey

CLIPS = {ClipKey("toy", f"s{n // 6:02d}", f"c{n}"): n % 3 for n in range(120)}


def test_simulated_systems_are_as_good_as_asked() -> None:
    rng = np.random.default_rng(0)
    assert pooled(simulate(CLIPS, 1.0, rng), "uf1") == 1
    assert pooled(simulate(CLIPS, 0.0, rng), "uf1") == 0
    rates = [pooled(simulate(CLIPS, 0.7, rng), "acc") for _ in range(50)]
    assert np.mean(rates) == pytest.approx(0.7, abs=0.02)


def test_a_large_difference_is_found_and_none_is_not() -> None:
    table = power_table(CLIPS, 0.9, [0.0, 0.1, 0.5], studies=60)
    none, some, large = table["Found"]
    assert none <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5
    assert none < some < large == 1
    assert table["Mean UF1 difference"].iloc[1] == pytest.approx(0.1, abs=0.03)


def test_the_145_clips_of_casme2_miss_most_of_what_the_paper_claims() -> None:
    """A difference of .035 between two systems near .95."""
    clips = {key: label for key, label in megc2019().items() if key.dataset == "casme2"}
    assert len(clips) == 145
    assert power_table(clips, 0.96, [0.035], studies=60)["Found"].iloc[0] < 0.5
