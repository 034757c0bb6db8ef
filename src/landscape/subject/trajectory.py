"""The plane in which a trajectory of weights mostly runs, and how far off it the points lie."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from landscape.numerics.directions import components
from landscape.subject.penalty import Params


class Trajectory(NamedTuple):
    """The plane in which a trajectory mostly runs, through the origin.

    Attributes
    ----------
    directions
        Unit vectors, orthogonal to each other, that of the largest variance first.
    shares
        ``(k,)``: of the variance of the points about their mean.
    coordinates
        ``(points, k)``: feet of the points on the plane, in steps from the origin.
    residuals
        ``(points,)``: Euclidean distances of the points from the plane.
    """

    directions: list[Params]
    shares: Tensor
    coordinates: Tensor
    residuals: Tensor


def principal(origin: Params, points: Sequence[Params], count: int = 2) -> Trajectory:
    """Principal components of weights at several times, as Li et al. (2018) plot trajectories.

    From the Gram matrix of the points, in float64, a tensor at a time.

    Parameters
    ----------
    origin
        Through which the plane goes: usually the last of the points.
    points
        As `weights` reads them from checkpoints.
    count
        Of the directions.

    Examples
    --------
    >>> origin = {"w": torch.tensor([1.0, 2.0])}
    >>> path = [{"w": torch.tensor([1.0, 2.0 + t])} for t in (4.0, 1.0, 0.0)]
    >>> found = principal(origin, path, 1)
    >>> found.directions[0]["w"].abs(), found.residuals.max()
    (tensor([0., 1.]), tensor(0., dtype=torch.float64))
    """
    if count < 1:
        raise ValueError(f"a trajectory has at least 1 direction, not {count}")
    gram = torch.zeros(len(points), len(points), dtype=torch.float64)
    for name in origin:
        table = _moves(origin, points, name)
        gram += (table @ table.T).cpu()
    found = components(gram, count) if len(points) else None
    if found is None or found.rank < count:
        raise ValueError(
            f"{len(points)} points span {found.rank if found else 0} directions, not {count}: "
            "give more checkpoints, which differ"
        )
    directions: list[Params] = [{} for _ in range(count)]
    for name, p in origin.items():
        table = _moves(origin, points, name)
        mixed = found.mixtures.to(table) @ table
        for direction, row in zip(directions, mixed, strict=True):
            direction[name] = row.reshape(p.shape).to(p)
    return Trajectory(directions, found.shares, *project(origin, directions, points))


def project(
    origin: Params, directions: Sequence[Params], points: Sequence[Params]
) -> tuple[Tensor, Tensor]:
    """Coordinates ``(points, k)`` by least squares, and distances ``(points,)`` from the plane.

    The directions need be neither of unit length nor orthogonal.

    Examples
    --------
    >>> origin, d = {"w": torch.zeros(2)}, {"w": torch.tensor([2.0, 0.0])}
    >>> project(origin, [d], [{"w": torch.tensor([3.0, 4.0])}])
    (tensor([[1.5000]], dtype=torch.float64), tensor([4.], dtype=torch.float64))
    """
    size = len(directions)
    gram = torch.zeros(size, size, dtype=torch.float64)
    sides = torch.zeros(len(points), size, dtype=torch.float64)
    for name in origin:
        along = torch.stack([d[name].reshape(-1).double() for d in directions])
        gram += (along @ along.T).cpu()
        sides += (_moves(origin, points, name) @ along.T).cpu()
    scale = gram.diagonal().sqrt()
    if not (scale > 0).all() or torch.linalg.eigvalsh(gram / torch.outer(scale, scale))[0] < 1e-12:
        raise ValueError("the directions are zero or parallel: points have no coordinates in them")
    steps = torch.linalg.solve(gram, sides.T).T
    squares = torch.zeros(len(points), dtype=torch.float64)
    for name in origin:
        along = torch.stack([d[name].reshape(-1).double() for d in directions])
        rest = _moves(origin, points, name) - steps.to(along) @ along
        squares += rest.square().sum(1).cpu()
    return steps, squares.sqrt()


def _moves(origin: Params, points: Sequence[Params], name: str) -> Tensor:
    """Differences of all points to the origin in one tensor, ``(points, entries)``, float64."""
    start = origin[name].reshape(-1).double()
    rows = [point[name].reshape(-1).to(start) - start for point in points]
    return torch.stack(rows) if rows else start.new_zeros(0, len(start))
