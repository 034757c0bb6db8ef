"""Frequency responses of kernels and of attention: what linear algebra says of them."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

import landscape
from landscape.models.alternet import AlterNet
from landscape.models.vit import ViT
from landscape.numerics.response import attention_response, by_ring, kernel_power
from landscape.selftest import check
from landscape.selftest.spectra import batch, noise
from landscape.subject.attention import attending
from landscape.subject.sites import Site

GRID = (6, 6)
SIZE = GRID[0] * GRID[1]


def off_response(
    matrix: Tensor, *, gain: Tensor | float, dc: float = 1.0, leak: float = 0.0
) -> np.ndarray:
    """How far the response of an attention matrix is from what it should be; empty rings aside."""
    found = attention_response(matrix, GRID, GRID)
    rings = (found["gain"] - gain)[~found["gain"].isnan()]
    return torch.cat([rings, (found["dc"] - dc)[None], (found["leak"] - leak)[None]]).numpy()


def shift(rows: int, columns: int) -> Tensor:
    """The attention matrix that fetches a neighbour, circular."""
    eye = torch.eye(SIZE, dtype=torch.float64).view(SIZE, *GRID)
    return eye.roll((rows, columns), (1, 2)).flatten(1)


@check(1e-12)
def uniform_attention() -> ArrayLike:
    """Uniform attention passes zero frequency and nothing else, in a network, too."""
    alike = off_response(torch.full((SIZE, SIZE), 1 / SIZE, dtype=torch.float64), gain=0.0)
    net = AlterNet((1, 2), (0, 1), (3, 4), (2, 2), head_dim=2, window=4, classes=3)
    taps = [landscape.Tap("stages.1.1.attn", kind="msa")]
    found = landscape.variance(
        net.double().eval(), batch(noise(3, 3, 8, 8)), taps=taps, controls=["uniform"]
    )
    ratio = found.control_variance.values / found.variance.values
    return np.concatenate([alike, ratio.flatten()])


@check(1e-12)
def permutation_attention() -> ArrayLike:
    """Attention that only permutes places passes all frequencies alike (all-pass)."""
    return off_response(torch.eye(SIZE, dtype=torch.float64)[torch.randperm(SIZE)], gain=1.0)


@check(1e-12)
def row_sums() -> ArrayLike:
    """Rows that sum to 1 keep zero frequency: gain 1, nothing of it leaks to the others."""
    weights = noise(SIZE, SIZE).mul(3).softmax(-1)
    found = attention_response(weights, GRID, GRID)
    return torch.stack([found["dc"] - 1, found["leak"]])


@check(1e-12)
def attention_of_networks() -> ArrayLike:
    """The attention that is heard in a network has rows that sum to 1, and makes its outcome."""
    off = []

    def read(site: Site, weights: Tensor) -> Tensor:
        off.append((weights.sum(-1) - 1).flatten())
        return weights  # the network goes on with what was heard

    x = noise(3, 3, 8, 8)
    for net in (
        ViT(size=8, patch=2, dim=8, depth=2, heads=2, classes=3),
        AlterNet((1, 2), (0, 1), (3, 4), (2, 2), head_dim=2, window=2, classes=3),
    ):
        net = net.double().eval()
        with torch.no_grad():
            before = net(x)
            with attending(net, x, read):
                off.append((net(x) / before - 1).flatten())
    return torch.cat(off)


@check(1e-12)
def kernel_and_jacobian() -> ArrayLike:
    """The transform of a kernel is the diagonal of the convolution's Jacobian in Fourier space."""
    conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False).double()
    zero = torch.zeros(1, 1, *GRID, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(conv, zero).view(SIZE, SIZE)
    power = kernel_power(conv.weight, *GRID)
    found = attention_response(jacobian, GRID, GRID)
    sure = ~found["gain"].isnan()
    rings = (found["gain"] - by_ring(power, len(found["gain"]) - 1))[sure]
    rest = [found["diagonal"] / found["total"] - 1, found["dc"] - power[0, 0], found["leak"]]
    return torch.cat([rings, torch.stack(rest)])


@check(1e-12)
def heads_as_kernel() -> ArrayLike:
    """With a head for each neighbour self-attention is a convolution (Cordonnier et al. 2020)."""
    conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular", bias=False).double()
    zero = torch.zeros(1, 1, *GRID, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(conv, zero).view(SIZE, SIZE)
    place = torch.stack(torch.meshgrid(*map(torch.arange, GRID), indexing="ij")).flatten(1)
    total = torch.zeros(SIZE, SIZE, dtype=torch.float64)
    for (row, column), weight in zip(np.ndindex(3, 3), conv.weight.flatten(), strict=True):
        wanted = place + torch.tensor([[row - 1], [column - 1]])
        gap = (place[:, None, :] - wanted[:, :, None]) % GRID[0]
        logits = -40.0 * torch.minimum(gap, GRID[0] - gap).square().sum(0).double()
        total += weight.detach() * logits.softmax(-1)
    return total - jacobian
