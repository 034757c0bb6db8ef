"""Directions in weight space."""

import hashlib

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


def filter_normalise(direction: Tensor, weight: Tensor, axis: int = 0) -> Tensor:
    """Scale each filter of a direction to the norm of the filter of the weights.

    ``d_j <- d_j |w_j| / |d_j|`` with ``j`` the index along ``axis``, the output filters (Li et al.
    2018, equation 1). A zero filter gets a zero direction.

    Examples
    --------
    >>> filter_normalise(torch.ones(2, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]])).norm(dim=1)
    tensor([5., 0.])
    """
    rest = [d for d in range(weight.ndim) if d != axis % weight.ndim]
    size = torch.linalg.vector_norm(weight, dim=rest, keepdim=True, dtype=torch.float64)
    own = torch.linalg.vector_norm(direction, dim=rest, keepdim=True, dtype=torch.float64)
    ratio = torch.where(own > 0, size / own.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
    return (direction.double() * ratio).to(direction)
