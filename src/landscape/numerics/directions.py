"""Directions in weight space: how they are drawn and scaled, and the main ones of a cloud."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def gaussian(name: str, like: Tensor, seed: int) -> Tensor:
    """Standard normal tensor shaped as ``like``, a function of (seed, name, shape) alone.

    So a direction does not depend on the device, on the order of the parameters or on which of them
    take part.

    Examples
    --------
    >>> x = gaussian("head.weight", torch.zeros(2, 3), seed=0)
    >>> bool((x == gaussian("head.weight", torch.zeros(2, 3), seed=0)).all())
    True
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)


def rescale(direction: Tensor, weight: Tensor, over: Sequence[int]) -> Tensor:
    """Give each part of a direction the norm that the part has in the weights.

    ``d <- d |w| / |d|`` with norms over the dimensions ``over``, one part for each index of the
    others; in float64. A part of zero weights gets a zero direction.

    Parameters
    ----------
    over
        Of an ``(out, in, ...)`` weight all but the first for the output filters of Li et al. (2018,
        equation 1), all for the layer, the first for columns across the output channels.

    Examples
    --------
    >>> w = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    >>> rescale(torch.ones(2, 2), w, [1]).norm(dim=1)
    tensor([5., 0.])
    >>> rescale(torch.ones(2, 2), w, [0, 1])
    tensor([[2.5000, 2.5000],
            [2.5000, 2.5000]])
    """
    size, own = (
        torch.linalg.vector_norm(t, dim=list(over), keepdim=True, dtype=torch.float64)
        for t in (weight, direction)
    )
    ratio = torch.where(own > 0, size / own.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    return (direction.double() * ratio).to(direction)


class Components(NamedTuple):
    """Principal components of points of which only the inner products are known.

    Attributes
    ----------
    mixtures
        ``(k, points)``: component ``i`` is ``sum_t mixtures[i, t] point_t``, of unit length, and
        orthogonal to the others.
    shares
        ``(k,)``: each one's share of the variance about the mean.
    rank
        How many components the points have.
    """

    mixtures: Tensor
    shares: Tensor
    rank: int


def components(gram: Tensor, count: int) -> Components:
    """Principal components of points about their mean, from their Gram matrix.

    For many fewer points than dimensions. Of the two signs of a component the one is taken in which
    the point farthest along it is on the positive side.

    Examples
    --------
    >>> points = torch.tensor([[0.0, 1.0], [4.0, 1.0], [8.0, 1.0]], dtype=torch.float64)
    >>> found = components(points @ points.T, 1)
    >>> (found.mixtures @ points).abs().round(decimals=9), found.rank
    (tensor([[1., 0.]], dtype=torch.float64), 1)
    """
    size = len(gram)
    centre = torch.eye(size, dtype=torch.float64, device=gram.device) - 1 / size
    values, vectors = torch.linalg.eigh(centre @ gram.double() @ centre)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1).T
    # inner products are good to their rounding: what is smaller is no component
    noise = 10 * size * torch.finfo(torch.float64).eps * gram.diagonal().double().amax()
    rank = int((values > (1e-12 * values[0]).clamp_min(noise)).sum())
    count = min(count, rank)
    chosen = vectors[:count]
    farthest = chosen.abs().argmax(1, keepdim=True)
    chosen = chosen * chosen.gather(1, farthest).sign()
    mixtures = (chosen @ centre) / values[:count, None].sqrt()
    return Components(mixtures, values[:count] / values.sum(), rank)
