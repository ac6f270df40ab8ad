import numpy as np
import pytest
import torch

from hmrm_lab.errors import InputError
from hmrm_lab.flow.gru_attention import FrozenFlow, flow_steps, update_names
from hmrm_lab.flow.gru_attention.gru_flow import GRUFlow


def estimator(attention: str = "steps", iterations: tuple[int, int] = (2, 2)) -> FrozenFlow:
    torch.manual_seed(0)
    return FrozenFlow(GRUFlow(attention=attention, iterations=iterations).eval(), 1, "cpu")


def pair(height: int = 48, width: int = 56) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("attention", ["steps", "space"])
def test_the_last_step_is_the_result(attention: str) -> None:
    method, (onset, apex) = estimator(attention), pair()
    steps = flow_steps(method, onset, apex)
    assert steps.flows_px.shape == (4, 2, 48, 56)
    np.testing.assert_allclose(steps.flows_px[-1], method(onset[None], apex[None])[0], atol=1e-5)
    np.testing.assert_allclose(steps.attention.sum(0), 1, atol=1e-5)


def test_names_fit_the_iterations() -> None:
    method = estimator(iterations=(1, 3))
    steps = flow_steps(method, *pair())
    assert steps.names == update_names(method)
    assert steps.names == ("1/8, update 1", "1/4, update 1", "1/4, update 2", "1/4, update 3")
    assert len(steps.names) == len(steps.flows_px)
    assert len(steps.attended) == len(steps.attention) == 4
    assert steps.attended[0] == "state passed up"


def test_regions_have_no_names() -> None:
    steps = flow_steps(estimator("space"), *pair())
    assert steps.attended == ()
    assert len(steps.attention) == 49


def test_frames_of_two_sizes_are_refused() -> None:
    onset, apex = pair()
    with pytest.raises(InputError, match="differ in size"):
        flow_steps(estimator(), onset, apex[:, :40])
