import torch
from torch import nn
from torch.nn import functional as F

from hmrm_lab.evaluation.cost import count_parameters
from hmrm_lab.models.networks.off_apexnet import FILTERS, OffApexNet


def test_parameters_are_the_published_two_and_two_thirds_of_a_million() -> None:
    assert count_parameters(OffApexNet(2, 28, 3)) == 2_664_475


def test_groups_are_two_streams_that_do_not_meet() -> None:
    torch.manual_seed(0)
    model = OffApexNet(2, 28, 3).eval()
    maps = torch.randn(3, 2, 28, 28)
    features = []
    for channel in range(2):
        stream = maps[:, channel : channel + 1]
        for layer, filters in zip((model.streams[0], model.streams[3]), FILTERS, strict=True):
            assert isinstance(layer, nn.Conv2d)
            own = slice(channel * filters, (channel + 1) * filters)
            stream = F.conv2d(stream, layer.weight[own], layer.bias[own], padding=2)
            stream = F.max_pool2d(stream.relu(), 2)
        features.append(stream.flatten(1))
    torch.testing.assert_close(model.classifier(torch.cat(features, 1))[:, None], model(maps))
