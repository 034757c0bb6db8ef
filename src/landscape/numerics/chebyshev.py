"""Functions on an interval or a box from their values at nested Chebyshev-Lobatto nodes.

A smooth function is known everywhere from few values: the error of its interpolant falls
geometrically with the number of nodes, and the size of the last coefficients tells how far it has
fallen (Trefethen 2013, "Approximation Theory and Approximation Practice", chapters 4, 5 and 8).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def lobatto(count: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Chebyshev-Lobatto nodes of an interval, rising, ends included; float64.

    Those of ``n`` are among those of ``2 n - 1``, bit for bit: 9, 17, 33, or 7, 13, 25. On a
    symmetric interval they are symmetric, and the middle one of an odd number is exactly 0.

    Parameters
    ----------
    count
        At least 2.

    Examples
    --------
    >>> lobatto(5, -2.0, 2.0)
    tensor([-2.0000, -1.4142,  0.0000,  1.4142,  2.0000], dtype=torch.float64)
    >>> bool((lobatto(9)[::2] == lobatto(5)).all())
    True
    """
    last = count - 1
    if last < 1:
        raise ValueError(f"an interval has at least 2 nodes, its ends, not {count}")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"an interval runs from a smaller to a larger number, not {low} to {high}")
    middle, half = (low + high) / 2, (high - low) / 2
    # equal fractions give equal bits, opposite ones opposite bits; a cosine would not be odd
    inner = [
        middle + half * math.sin(math.pi * ((2 * j - last) / (2 * last))) for j in range(1, last)
    ]
    return torch.tensor([low, *inner, high], dtype=torch.float64)


def interpolation(nodes: Tensor, points: Tensor) -> Tensor:
    """Matrix from values at Lobatto nodes to values at points of their interval.

    By the second barycentric formula, stable for any number of nodes (Berrut & Trefethen 2004).
    Exact at the nodes: such a row has a single 1.

    Examples
    --------
    >>> interpolation(lobatto(3), torch.tensor([-1.0, 0.5]))
    tensor([[ 1.0000,  0.0000,  0.0000],
            [-0.1250,  0.7500,  0.3750]], dtype=torch.float64)
    """
    points = torch.as_tensor(points, dtype=torch.float64)
    outside = ~((points >= nodes[0]) & (points <= nodes[-1]))
    if outside.any():
        raise ValueError(
            f"the point {points[outside][0]:g} is not within [{nodes[0]:g}, {nodes[-1]:g}], "
            "where the nodes are; nothing is extrapolated"
        )
    weights = torch.ones_like(nodes)
    weights[1::2] = -1
    weights[0] /= 2
    weights[-1] /= 2
    gap = points[:, None] - nodes
    at = gap == 0
    terms = weights / torch.where(at, 1.0, gap)
    rows = terms / terms.sum(1, keepdim=True)
    return torch.where(at.any(1, keepdim=True), at.double(), rows)


def interpolate(values: Tensor, nodes: Sequence[Tensor], points: Sequence[Tensor]) -> Tensor:
    """Values on the tensor grid of ``nodes`` to values on the tensor grid of ``points``.

    Parameters
    ----------
    values
        One dimension for each axis: ``(n,)``, ``(n, m)``, ...; refused if not finite.
    nodes, points
        The nodes and the points along each axis.

    Examples
    --------
    >>> x, y = lobatto(3), lobatto(5, 0.0, 2.0)
    >>> interpolate(x[:, None] * y**3, (x, y), (torch.tensor([0.5]), torch.tensor([1.0, 2.0])))
    tensor([[0.5000, 4.0000]], dtype=torch.float64)
    """
    out = _finite(values, nodes)
    for axis, (own, wanted) in enumerate(zip(nodes, points, strict=True)):
        out = _along(interpolation(own, wanted), out, axis)
    return out


def coefficients(values: Tensor) -> Tensor:
    """Coefficients of the Chebyshev polynomials ``T_k`` of each axis, which add up to the values.

    The discrete cosine transform of the first kind along each dimension.

    Examples
    --------
    >>> coefficients(2 * lobatto(5) ** 2).abs().round(decimals=9)  # 2 x^2 = T_0 + T_2
    tensor([1., 0., 1., 0., 0.], dtype=torch.float64)
    """
    out = _finite(values)
    for axis, count in enumerate(values.shape):
        out = _along(_cosines(count), out, axis)
    return out


def tail(values: Tensor) -> Tensor:
    """Estimate from above of the largest error of the interpolant, the part of each axis.

    Their sum is the estimate for the box; the largest tells which axis to refine. Let ``s_k`` be
    the sum of the magnitudes of the coefficients of order ``k`` along the axis (and any order along
    the others). What the interpolant lacks and what it folds back is at most twice the sum of the
    ``s_k`` beyond the last; they are taken to fall on at the rate of the upper half of the orders.
    Never below the last two. It is no proof: what lies between the nodes is unseen, as a kink
    halfway between two. The values left out by every second node are an audit free of charge.

    Parameters
    ----------
    values
        On the tensor grid of Lobatto nodes, at least 5 along each axis.

    Examples
    --------
    >>> x = lobatto(17)
    >>> bool(tail(x.exp()) < 1e-12), bool(tail(x.abs()) > 0.05)
    (True, True)
    """
    if min(values.shape, default=0) < 5:
        raise ValueError(f"a tail needs 5 nodes along each axis, not {tuple(values.shape)}")
    size = coefficients(values).abs()
    parts = []
    for axis, count in enumerate(values.shape):
        shells = size.sum([d for d in range(values.ndim) if d != axis]) if values.ndim > 1 else size
        parts.append(_beyond(shells, count - 1))
    return torch.stack(parts)


def derivatives(
    values: Tensor, nodes: Sequence[Tensor], point: Sequence[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Value ``()``, gradient ``(d,)`` and Hessian ``(d, d)`` of the interpolant at a point.

    Noise in the values is amplified, in the Hessian about by the square of the nodes an axis. Where
    the function has kinks its own second derivative, which leaves them out, is another thing.

    Examples
    --------
    >>> x = lobatto(5)
    >>> derivatives(x[:, None] ** 2 * x, (x, x), (1.0, 0.5))[1].round(decimals=9)  # of x^2 y
    tensor([1., 1.], dtype=torch.float64)
    """
    _finite(values, nodes)
    terms = [_orders(own, float(at)) for own, at in zip(nodes, point, strict=True)]
    held = coefficients(values)

    def at(*order: int) -> Tensor:
        out = held
        for rows, k in zip(terms, order, strict=True):
            out = torch.tensordot(rows[k], out, dims=1)
        return out

    unit = torch.eye(values.ndim, dtype=torch.int64)
    gradient = torch.stack([at(*row.tolist()) for row in unit])
    hessian = torch.stack([at(*(a + b).tolist()) for a in unit for b in unit])
    return at(*[0] * values.ndim), gradient, hessian.reshape(values.ndim, values.ndim)


def _beyond(shells: Tensor, n: int) -> Tensor:
    """Twice the sum of all shells after ``n``, were they to fall on at the rate of the upper half.

    Of the geometric sequence of that rate that bounds the upper half: the last shells alone may be
    small by chance.
    """
    pairs = shells[n // 2 : n] + shells[n // 2 + 1 :]  # even and odd functions lack every second
    if pairs.max() == 0:
        return pairs.max()
    order = torch.arange(len(pairs), dtype=torch.float64)
    logs = pairs.clamp_min(torch.finfo(torch.float64).eps * shells.max()).log()
    slope = ((order - order.mean()) * logs).sum() / (order - order.mean()).square().sum()
    fall = slope.exp().clamp(max=1 - 1 / n)  # what does not fall has no finite sum
    last = (pairs * fall ** (order[-1] - order)).max()
    return last * (2 * fall**2 / (1 - fall**2)).clamp(min=1.0)


def _finite(values: Tensor, nodes: Sequence[Tensor] | None = None) -> Tensor:
    """Check them; float64."""
    if nodes is not None and values.shape != tuple(len(own) for own in nodes):
        sizes = " x ".join(str(len(own)) for own in nodes)
        raise ValueError(f"{tuple(values.shape)} values do not fit {sizes} nodes")
    bad = (~torch.isfinite(values)).nonzero()
    if len(bad):
        where = tuple(bad[0].tolist())
        raise ValueError(
            f"{len(bad)} of {values.numel()} values are not finite, the first {values[where]:g} at "
            f"node {where}: no interpolant; evaluate every point, or a smaller box"
        )
    return values.double()


def _along(matrix: Tensor, values: Tensor, axis: int) -> Tensor:
    return torch.tensordot(matrix.to(values), values, dims=([1], [axis])).movedim(0, axis)


def _cosines(count: int) -> Tensor:
    """Values at ``count`` nodes to their coefficients."""
    n = count - 1
    if n < 1:
        raise ValueError(f"coefficients need at least 2 nodes along each axis, not {count}")
    k = torch.arange(count)
    # nodes rise, so the angle is that of n - j; the remainder keeps the arguments small and exact
    angle = torch.outer(k, n - k).remainder(2 * n).double() * (math.pi / n)
    ends = torch.ones(count, dtype=torch.float64)
    ends[[0, -1]] = 0.5
    return 2 / n * ends[:, None] * torch.cos(angle) * ends


def _orders(nodes: Tensor, point: float) -> Tensor:
    """Values, first and second derivatives of ``T_0 ... T_n`` at a point, ``(3, n + 1)``."""
    low, high = float(nodes[0]), float(nodes[-1])
    if not low <= point <= high:
        raise ValueError(f"the point {point:g} is not within [{low:g}, {high:g}]")
    x, slope = (2 * point - low - high) / (high - low), 2 / (high - low)
    found = [(1.0, 0.0, 0.0), (x, 1.0, 0.0)]
    for _ in range(len(nodes) - 2):
        (a, da, dda), (b, db, ddb) = found[-2:]
        found.append((2 * x * b - a, 2 * b + 2 * x * db - da, 4 * db + 2 * x * ddb - dda))
    scale = torch.tensor([1.0, slope, slope**2], dtype=torch.float64)
    return scale[:, None] * torch.tensor(found[: len(nodes)], dtype=torch.float64).T
