"""AlterNet for 32-pixel images (Park & Kim 2022, section 4): convolutions, then self-attention.

Build-up rule: replace convolution blocks by self-attention blocks alternately from the end of a
convolutional baseline; a stage of ``n`` blocks with ``m`` attentions reads ``C (n - 2m)`` then
``C A`` ``m`` times; later stages get more heads.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, relu, scaled_dot_product_attention

from landscape.models.card import Card


class ConvBlock(nn.Module):
    """Pre-activation pair of 3x3 convolutions beside a skip."""

    def __init__(self, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or width_in != width:
            self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = relu(self.bn1(x))
        skip = x if self.shortcut is None else self.shortcut(active)
        return skip + self.conv2(relu(self.bn2(self.conv1(active))))


class WindowAttention(nn.Module):
    """Self-attention inside disjoint square windows, one relative bias for all heads."""

    def __init__(self, dim_in: int, dim: int, heads: int, head_dim: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Conv2d(dim_in, 3 * heads * head_dim, 1, bias=False)
        self.proj = nn.Conv2d(heads * head_dim, dim, 1)
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2))
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        flat = torch.stack([y.flatten(), x.flatten()])
        offset = flat[:, :, None] - flat[:, None, :] + window - 1
        self.register_buffer("offset", offset[0] * (2 * window - 1) + offset[1], persistent=False)
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        s = self.window
        if h % s or w % s:
            raise ValueError(f"a {h}x{w} map does not divide into {s}x{s} attention windows")
        qkv = self.qkv(x).view(b, 3, self.heads, -1, h // s, s, w // s, s)
        qkv = qkv.permute(1, 0, 4, 6, 2, 5, 7, 3).reshape(3, -1, self.heads, s * s, qkv.shape[3])
        bias = self.bias[self.get_buffer("offset")]
        out = scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias.to(qkv.dtype))
        out = out.view(b, h // s, w // s, self.heads, s, s, -1).permute(0, 3, 6, 1, 4, 2, 5)
        return self.proj(out.reshape(b, -1, h, w))


class AttentionBlock(nn.Module):
    """BN, GELU, 1x1 convolution, BN, window attention, beside a skip; no MLP, as in the paper."""

    def __init__(self, width: int, heads: int, head_dim: int, window: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(width)
        self.reduce = nn.Conv2d(width, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.attn = WindowAttention(width, width, heads, head_dim, window)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attn(self.bn2(self.reduce(gelu(self.bn1(x)))))


class AlterNet(nn.Module):
    """Pre-activation stages ``C C C | C C A | C A C A`` over 32, 16 and 8 pixel maps."""

    def __init__(
        self,
        blocks: tuple[int, ...] = (3, 3, 4),
        attentions: tuple[int, ...] = (0, 1, 2),
        widths: tuple[int, ...] = (16, 32, 64),
        heads: tuple[int, ...] = (2, 4, 8),
        head_dim: int = 16,
        window: int = 4,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        stages, width_in = [], widths[0]
        for stage, (count, msas, width) in enumerate(zip(blocks, attentions, widths, strict=True)):
            body: list[nn.Module] = []
            for block in range(count):
                last = count - 1 - block
                if last % 2 == 0 and last < 2 * msas:
                    body.append(AttentionBlock(width, heads[stage], head_dim, window))
                else:
                    stride = 2 if stage > 0 and block == 0 else 1
                    body.append(ConvBlock(width_in, width, stride))
                width_in = width
            stages.append(nn.Sequential(*body))
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(width_in)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width_in, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.norm(self.stages(self.stem(x))))
        return self.head(self.pool(x).flatten(1))


CARDS = [
    Card(
        name="alternet_s",
        family="hybrid",
        build=AlterNet,
        source="Park & Kim 2022, build-up rule on a pre-activation ResNet-20; trained here",
    )
]
