"""Vision transformer for 32-pixel images (Dosovitskiy et al. 2021): self-attention only."""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from landscape.models.card import Card


class Attention(nn.Module):
    """Multi-head self-attention over all tokens, ``(b, n, d)`` to ``(b, n, d)``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        out = scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    """Linear, GELU, linear; the same for every token."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(x)))


class Block(nn.Module):
    """``x + MSA(LN x)``, then ``x + MLP(LN x)`` (pre-norm)."""

    def __init__(self, dim: int, heads: int, ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patch embedding, class token, learned positions, pre-norm blocks, head on the class token."""

    num_prefix_tokens = 1

    def __init__(
        self,
        size: int = 32,
        patch: int = 4,
        dim: int = 96,
        depth: int = 6,
        heads: int = 3,
        classes: int = 10,
    ) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        table = sine_positions(size // patch, dim)
        self.pos_embed = nn.Parameter(torch.cat([torch.zeros(1, dim), table])[None])
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def sine_positions(side: int, dim: int) -> Tensor:
    """Sines and cosines of row and column at geometric frequencies, ``(side^2, dim)``.

    The initial value of learned positions: tokens that start without a place stay a bag of patches
    for many epochs on small data (Beyer et al. 2022).
    """
    frequency = 100.0 ** -(torch.arange(dim // 4) / max(dim // 4 - 1, 1))
    place = torch.arange(side)[:, None] * frequency[None, :]
    wave = torch.cat([place.sin(), place.cos()], 1)
    rows, columns = wave[:, None].expand(-1, side, -1), wave[None].expand(side, -1, -1)
    return torch.cat([rows, columns], -1).reshape(side * side, -1)


CARDS = [
    Card(
        name="vit_s",
        family="msa",
        build=ViT,
        source="Dosovitskiy et al. 2021, patch 4, 6 blocks of width 96, 3 heads; trained here",
    )
]
