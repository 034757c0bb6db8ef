"""Smooth functions from their values at points that lie anywhere, dense where they are rough.

The polyharmonic spline ``s(x) = sum_j c_j |x - x_j|^5 + q(x)``, with a quadratic ``q`` and weights
``c`` that no quadratic sees, passes through all values and bends the least (Duchon 1977; Wahba
1990, "Spline Models for Observational Data", chapter 2). Leaving out one value at a time shows how
much each was needed, at the cost of one inverse (Rippa 1999).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_NEAR = 4  # nodes around a point of which the worst tells of the error there
_RATE = 1.5  # power of the distance with which an error falls, of functions that are hardly smooth


def apart(a: Tensor, b: Tensor) -> Tensor:
    """Distances of points ``(n, d)`` and ``(m, d)``, ``(n, m)``; exactly 0 where two are one.

    Examples
    --------
    >>> apart(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([[5.]])
    """
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


@dataclass(frozen=True)
class Spline:
    """The interpolant.

    Attributes
    ----------
    nodes
        ``(n, d)`` float64, moved and scaled to the unit box by ``centre`` and ``scale``.
    weights
        ``(n + terms,)``: of the kernels, then of the quadratic's terms.
    missed
        ``(n,)``: what the interpolant of the other values lacks at each node.
    """

    nodes: Tensor
    centre: Tensor
    scale: Tensor
    weights: Tensor
    missed: Tensor

    @classmethod
    def of(cls, nodes: Tensor, values: Tensor) -> "Spline":
        """Interpolate ``values`` ``(n,)`` at different ``nodes`` ``(n, d)``.

        Raises
        ------
        ValueError
            If there are not more nodes than a quadratic has terms, if they lie in a plane of fewer
            dimensions, if two are the same, or if a value is not finite.

        Examples
        --------
        >>> nodes = torch.cartesian_prod(*[torch.linspace(-1, 1, 4).double()] * 2)
        >>> spline = Spline.of(nodes, nodes[:, 0] * nodes[:, 1])
        >>> spline(torch.tensor([[0.5, 0.5]])).round(decimals=9)
        tensor([0.2500], dtype=torch.float64)
        """
        nodes, values = nodes.double(), values.double()
        if not torch.isfinite(values).all():
            raise ValueError(f"{int((~torch.isfinite(values)).sum())} values are not finite")
        low, high = nodes.amin(0), nodes.amax(0)
        centre, scale = (low + high) / 2, (high - low) / 2
        inside = (nodes - centre) / scale
        terms = _terms(inside)
        n, m = terms.shape
        distance = apart(inside, inside)
        same = distance + torch.eye(n, dtype=torch.float64)
        if n <= m or not torch.isfinite(inside).all() or not same.min() > 0:
            raise ValueError(f"a spline needs more than {m} different nodes that fill a box")
        whole = torch.zeros(n + m, n + m, dtype=torch.float64)
        whole[:n, :n] = _kernel(distance)
        whole[:n, n:] = terms
        whole[n:, :n] = terms.T
        given = torch.cat([values, values.new_zeros(m)])
        weights = torch.linalg.solve(whole, given)  # the inverse would not pass through the values
        missed = weights[:n] / torch.linalg.inv(whole).diagonal()[:n]
        return cls(inside, centre, scale, weights, missed)

    def __call__(self, points: Tensor) -> Tensor:
        """Values at points ``(k, d)``."""
        inside = (points.double() - self.centre) / self.scale
        rows = torch.cat([_kernel(apart(inside, self.nodes)), _terms(inside)], 1)
        return rows @ self.weights

    def error(self, points: Tensor) -> Tensor:
        """Estimate of the size of the error at points ``(k, d)``, 0 at the nodes.

        The most that is missed at one of the four nearest nodes, were it left out, or less where
        the point is nearer to a node than any other node is. It is no proof: what no node hints at
        is unseen.

        Examples
        --------
        >>> x = torch.linspace(-1, 1, 9).double()[:, None]
        >>> between = torch.tensor([[0.1]])
        >>> smooth, rough = Spline.of(x, x[:, 0] ** 2), Spline.of(x, x[:, 0].abs())
        >>> bool(smooth.error(between) < 1e-12), bool(rough.error(between) > 0.01)
        (True, True)
        """
        inside = (points.double() - self.centre) / self.scale
        distance, near = apart(inside, self.nodes).topk(min(_NEAR, len(self.nodes)), largest=False)
        gap = apart(self.nodes, self.nodes).topk(2, largest=False).values[:, 1]
        share = (distance[:, 0] / gap[near[:, 0]]).clamp(max=1.0) ** _RATE
        return self.missed.abs()[near].amax(1) * share

    def derivatives(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient ``(d,)`` and Hessian ``(d, d)`` at a point ``(d,)``.

        Examples
        --------
        >>> x = torch.linspace(-1, 1, 9).double()[:, None]
        >>> slope, bend = Spline.of(x, 3 * x[:, 0] ** 2).derivatives(torch.tensor([0.5]))
        >>> slope.round(decimals=6), bend.round(decimals=6)
        (tensor([3.], dtype=torch.float64), tensor([[6.]], dtype=torch.float64))
        """
        inside = (point.double() - self.centre) / self.scale
        d, n = len(inside), len(self.nodes)
        away = inside - self.nodes
        radius = away.norm(dim=1)
        kernels, linear, products = self.weights.split([n, 1 + d, d * (d + 1) // 2])
        square = torch.zeros(d, d, dtype=torch.float64)
        square[tuple(torch.triu_indices(d, d))] = products
        square = square + square.T
        slope = 5 * (kernels * radius**3) @ away + linear[1:] + square @ inside
        bend = 15 * (away.T * (kernels * radius)) @ away + square
        bend = bend + 5 * (kernels @ radius**3) * torch.eye(d, dtype=torch.float64)
        return slope / self.scale, bend / torch.outer(self.scale, self.scale)


def _kernel(distance: Tensor) -> Tensor:
    return distance.square().square() * distance


def _terms(inside: Tensor) -> Tensor:
    """1, each coordinate, and each product of two."""
    d = inside.shape[1]
    pairs = [inside[:, i] * inside[:, j] for i in range(d) for j in range(i, d)]
    return torch.stack([torch.ones_like(inside[:, 0]), *inside.T, *pairs], 1)
