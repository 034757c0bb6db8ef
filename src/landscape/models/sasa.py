"""Stand-alone self-attention (Ramachandran et al. 2019): each 3x3 convolution made an attention.

The stem stays a convolution with a pooling, as in the best of their networks, so the stages see
16, 8 and 4 pixel maps; these shrink by 2x2 means.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from landscape.models.card import Card


class LocalAttention(nn.Module):
    """Each pixel attends to the ``k x k`` pixels around it, ``(b, c, h, w)`` to the same shape.

    Logits are ``q . (key + r)`` with ``r`` a learned row and column offset, half of the channels
    each. Pixels outside the map take no part. Computed in tiles of queries with a halo of keys
    (Vaswani et al. 2021), which changes the cost and not the value.
    """

    def __init__(self, dim: int, heads: int, kernel: int = 5, tile: int = 4) -> None:
        super().__init__()
        self.heads, self.halo, self.tile = heads, kernel // 2, tile
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        half = dim // heads // 2
        self.rows = nn.Parameter(torch.randn(kernel, half) * half**-0.5)
        self.columns = nn.Parameter(torch.randn(kernel, half) * half**-0.5)
        side = tile + 2 * self.halo
        offset = torch.arange(side)[None, :] - torch.arange(tile)[:, None]
        near = (offset >= 0) & (offset < kernel)
        inside = near[:, None, :, None] & near[None, :, None, :]
        offset = offset.clamp(0, kernel - 1)
        y, x = offset[:, None, :, None], offset[None, :, None, :]
        place = (y * kernel + x).reshape(tile**2, side**2)
        self.register_buffer("place", place, persistent=False)
        self.register_buffer("inside", inside.reshape(tile**2, side**2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        t = self.tile
        if h % t or w % t:
            raise ValueError(f"a {h}x{w} map does not divide into {t}x{t} tiles")
        q, k, v = self.qkv(x).permute(0, 2, 3, 1).chunk(3, -1)
        q = self._heads(q.unfold(1, t, t).unfold(2, t, t)) * (c // self.heads) ** -0.5
        k, v = (self._heads(self._halos(m)) for m in (k, v))
        logits = q @ k.transpose(-2, -1) + self._offsets(q)
        real = self._halos(x.new_ones(1, h, w, 1)).flatten(-2).flatten(0, -2) > 0
        seen = self.get_buffer("inside") & real[:, None]  # (tiles, t^2, side^2)
        logits = logits.masked_fill(~seen[:, None], float("-inf"))
        out = logits.softmax(-1).to(v.dtype) @ v
        out = out.view(b, h // t, w // t, self.heads, t, t, -1).permute(0, 3, 6, 1, 4, 2, 5)
        return out.reshape(b, c, h, w)

    def _halos(self, x: Tensor) -> Tensor:
        """Tiles with their surroundings: ``(b, h, w, c)`` to ``(b, h/t, w/t, c, side, side)``."""
        r, t = self.halo, self.tile
        return pad(x, (0, 0, r, r, r, r)).unfold(1, t + 2 * r, t).unfold(2, t + 2 * r, t)

    def _heads(self, tiles: Tensor) -> Tensor:
        """``(b, i, j, c, y, x)`` to ``(b, tiles, heads, pixels, c / heads)``."""
        b, i, j, _, y, x = tiles.shape
        tiles = tiles.permute(0, 1, 2, 4, 5, 3).reshape(b, i * j, y * x, self.heads, -1)
        return tiles.transpose(2, 3)

    def _offsets(self, q: Tensor) -> Tensor:
        """``q . r`` for each pair of pixels of a tile and its halo."""
        half = self.rows.shape[1]
        rows, columns = q[..., :half] @ self.rows.T, q[..., half:] @ self.columns.T
        both = (rows[..., :, None] + columns[..., None, :]).flatten(-2)
        place = self.get_buffer("place")
        return both.gather(-1, place.expand(*both.shape[:-1], -1))


class Bottleneck(nn.Module):
    """1x1 convolution, local attention, 1x1 convolution, beside a skip; as in a ResNet."""

    def __init__(self, width_in: int, width: int, heads: int, shrink: bool) -> None:
        super().__init__()
        inner = width // 2
        self.conv1 = nn.Conv2d(width_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.attn = LocalAttention(inner, heads)
        self.pool: nn.Module = nn.AvgPool2d(2) if shrink else nn.Identity()
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if width_in != width:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(2) if shrink else nn.Identity(),
                nn.Conv2d(width_in, width, 1, bias=False),
                nn.BatchNorm2d(width),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.attn(relu(self.bn1(self.conv1(x))))
        out = self.bn3(self.conv2(relu(self.bn2(self.pool(out)))))
        return relu(out + self.shortcut(x))


class SASA(nn.Module):
    """3x3 convolution and mean, stages of attention bottlenecks, global average, linear head."""

    def __init__(
        self,
        blocks: tuple[int, ...] = (3, 3, 3),
        widths: tuple[int, ...] = (48, 96, 192),
        heads: tuple[int, ...] = (1, 2, 4),
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0] // 2, 3, 1, 1, bias=False),
            nn.BatchNorm2d(widths[0] // 2),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        stages, width_in = [], widths[0] // 2
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            body = []
            for block in range(count):
                body.append(Bottleneck(width_in, width, heads[stage], stage > 0 and block == 0))
                width_in = width
            stages.append(nn.Sequential(*body))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width_in, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.stages(self.stem(x))).flatten(1))


CARDS = [
    Card(
        name="sasa_s",
        family="msa",
        build=SASA,
        source="Ramachandran et al. 2019, 5x5 neighbourhoods, convolutional stem; trained here",
    )
]
