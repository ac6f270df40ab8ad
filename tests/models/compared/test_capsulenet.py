import pytest
import torch

from hmrm_lab.models.networks.capsulenet import CapsuleNet, ClassCapsules, squash


def test_squash_keeps_directions_and_bounds_lengths() -> None:
    torch.manual_seed(0)
    vectors = 3 * torch.randn(50, 8)
    squashed = squash(vectors)
    lengths = vectors.norm(dim=1)
    torch.testing.assert_close(squashed.norm(dim=1), lengths**2 / (1 + lengths**2))
    torch.testing.assert_close(
        torch.cosine_similarity(squashed, vectors), torch.ones(50), atol=1e-5, rtol=0
    )
    zero = torch.zeros(1, 8, requires_grad=True)
    squash(zero).sum().backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


def test_routing_is_procedure_one_written_out() -> None:
    """Loops over clips, capsules and classes, as Sabour et al. 2017 write it."""
    torch.manual_seed(0)
    layer, capsules = ClassCapsules(5, 3, routings=3), 4 * torch.randn(2, 5, 8)
    weight = layer.weight.detach().unflatten(-1, (3, 16))  # (I, 8, K, 16)
    for row, clip in enumerate(capsules):
        votes = [[clip[i] @ weight[i, :, k] for k in range(3)] for i in range(5)]
        agreed = torch.zeros(5, 3)
        for _ in range(3):
            share = agreed.softmax(1)
            output = [squash(sum(share[i, k] * votes[i][k] for i in range(5))) for k in range(3)]
            change = [[votes[i][k] @ output[k] for k in range(3)] for i in range(5)]
            agreed = agreed + torch.tensor(change)
        torch.testing.assert_close(layer(capsules)[row], torch.stack(output))


@pytest.mark.parametrize(("side", "kernel", "grid"), [(224, 9, 6), (112, 4, 4), (56, 2, 3)])
def test_capsules_of_a_picture_are_the_published_ones(side: int, kernel: int, grid: int) -> None:
    with torch.device("meta"):
        model = CapsuleNet(3, 28, 3, side=side, width=1.0)
        assert model(torch.empty(2, 3, 28, 28)).shape == (2, 1, 3)
    assert model.primary.kernel_size == (kernel, kernel)
    assert model.classes.weight.shape == (32 * grid**2, 8, 3 * 16)
