"""Residual network with a box blur before each subsampling (Park & Kim 2022, spatial smoothing).

A 2x2 mean is the simplest low-pass filter: gain ``cos(w_x / 2) cos(w_y / 2)``. It is what a
convolutional network gains if low-pass filtering alone is what self-attention brings.
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from landscape.models.card import Card
from landscape.models.resnet import ResNet


class Blur(nn.Module):
    """Mean over 2x2 neighbours, ``(b, c, h, w)`` to the same shape; the last row repeats."""

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(pad(x, (0, 1, 0, 1), mode="replicate"), 2, stride=1)


def blurnet() -> nn.Module:
    """`ResNet` with a `Blur` in front of each stage that begins with a stride of 2."""
    network = ResNet()
    for stage in list(network.stages)[1:]:
        assert isinstance(stage, nn.Sequential)
        stage.insert(0, Blur())
    return network


CARDS = [
    Card(
        name="blurnet_s",
        family="conv",
        build=blurnet,
        source="Park & Kim 2022 (Blurs Behave Like Ensembles), blur only; trained here",
    )
]
