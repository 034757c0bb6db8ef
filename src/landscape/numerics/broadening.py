"""A spectrum broadened to a density: how wide, where to evaluate it, how sure it is."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from landscape.numerics.quadrature import Quadrature, mean

_DECADE = math.log(10)


class Density(NamedTuple):
    """A broadened density at points, its standard error, and the width of the Gaussian."""

    value: Tensor
    error: Tensor
    width: float


def density(
    q: Quadrature,
    points: Tensor,
    *,
    width: float | None = None,
    threshold: float | None = None,
) -> Density:
    r"""Density of the eigenvalues, each broadened to a Gaussian of one stated width.

    It is the density per unit of the axis: of the eigenvalue, or with a ``threshold`` ``t`` of the
    symmetric logarithm ``u = asinh(x / 2 t) / log 10``, in decades (`u = log10 |x| / t` far out).
    Never renormalised: its integral over a grid is the mass that the grid holds.

    Parameters
    ----------
    points
        Eigenvalues (also on the logarithmic axis) at which to evaluate.
    width
        Standard deviation, on the axis; None for ``resolution``.
    threshold
        Magnitude below which the logarithmic axis is linear.

    Examples
    --------
    >>> from landscape.numerics.quadrature import slq
    >>> one = slq(lambda v: v, 5, probes=1, dtype=torch.float64)
    >>> density(one, torch.tensor([1.0]), width=0.5).value * 0.5
    tensor([0.3989], dtype=torch.float64)
    """
    if width is None:
        width = resolution(q, threshold=threshold)
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}: the nodes coincide, so state one")
    place, nodes = axis(points.double(), threshold), axis(q.nodes, threshold)
    rows = []
    for x, w in zip(nodes, q.weights, strict=True):
        kernel = (-0.5 * ((place[:, None] - x) / width).square()).exp()
        rows.append(kernel @ w / (width * (2 * torch.pi) ** 0.5))
    value, error = mean(torch.stack(rows))
    return Density(value, error, width)


def resolution(q: Quadrature, *, threshold: float | None = None) -> float:
    r"""Width at which the bulk of the spectrum is resolved and no node shows as a line.

    Half the largest gap between neighbouring nodes in the bulk, the middle 90 % of the mass (or at
    the node that holds the median, if that is all); the median over the probes. A probe says no
    more than how much mass lies about each node, and a comb of Gaussians with spacing ``g`` and
    width ``g / 2`` ripples by ``2 exp(-2 (pi / 2)^2)``, 1.4 %.
    """
    widths = []
    for nodes, weights in zip(axis(q.nodes, threshold), q.weights, strict=True):
        x, total = nodes[weights > 0], weights[weights > 0].cumsum(0)
        gaps = x.diff()
        inside = (total[:-1] >= 0.05) & (total[:-1] <= 0.95)
        if inside.any():
            widths.append(gaps[inside].max() / 2)
        elif len(gaps):
            middle = int((total < 0.5).sum())
            widths.append(gaps[max(middle - 1, 0) : middle + 1].min() / 2)
        else:
            widths.append(x.new_zeros(()))
    return float(torch.stack(widths).median())


def grid(
    q: Quadrature, count: int = 1000, *, width: float, threshold: float | None = None
) -> Tensor:
    """Points, equally spaced on the axis, that reach six widths beyond all nodes."""
    nodes = axis(q.nodes, threshold)
    ends = float(nodes.min()) - 6 * width, float(nodes.max()) + 6 * width
    place = torch.linspace(*ends, count, dtype=torch.float64)
    return place if threshold is None else 2 * threshold * torch.sinh(place * _DECADE)


def axis(values: Tensor, threshold: float | None) -> Tensor:
    """Place on the axis of ``density``."""
    return values if threshold is None else torch.asinh(values / (2 * threshold)) / _DECADE
