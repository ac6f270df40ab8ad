import torch
from torch import nn

from hmrm_lab.evaluation.cost import count_parameters
from hmrm_lab.models.networks.ststnet import STREAMS, STSTNet


def test_parameter_count_is_the_published_one() -> None:
    assert count_parameters(STSTNet(3, 28, 3)) == 1683


def test_one_convolution_is_three_parallel_streams() -> None:
    torch.manual_seed(0)
    model = STSTNet(3, 28, 3).eval()
    conv, _, norm, pool, *_ = model.streams
    assert isinstance(conv, nn.Conv2d)
    maps = torch.randn(4, 3, 28, 28)
    features, first = [], 0
    for filters in STREAMS:
        stream = nn.Conv2d(3, filters, kernel_size=3, padding=2)
        stream.weight.data = conv.weight.data[first : first + filters]
        stream.bias.data = conv.bias.data[first : first + filters]
        features.append(stream(maps))
        first += filters
    pooled = nn.AvgPool2d(2)(pool(norm(torch.cat(features, 1).relu())))
    torch.testing.assert_close(model.head(pooled.flatten(1))[:, None], model(maps))
