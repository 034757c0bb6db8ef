"""ResNet-20 for CIFAR-10 with parameter-free shortcuts (He et al. 2016, section 4.2, option A)."""

from torch import Tensor, nn
from torch.nn.functional import pad, relu

from landscape.models.card import Card


class Block(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.extra = stride, (width - width_in) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        # option A: every second pixel, and zeros for the channels that are new
        skip = x[:, :, :: self.stride, :: self.stride]
        return relu(out + pad(skip, (0, 0, 0, 0, self.extra, self.extra)))


class ResNet(nn.Module):
    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(blocks)])
        self.layer2 = nn.Sequential(Block(16, 32, 2), *[Block(32, 32, 1) for _ in range(1, blocks)])
        self.layer3 = nn.Sequential(Block(32, 64, 2), *[Block(64, 64, 1) for _ in range(1, blocks)])
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet20() -> Card:
    return Card(
        name="resnet20",
        family="conv",
        build=ResNet,
        source="He et al. 2016; weights by Y. Idelbayev, pytorch_resnet_cifar10",
        data="cifar10",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        weight_decay=1e-4,
        licence="BSD-2-Clause",
    )
