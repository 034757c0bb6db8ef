"""Which points of a slice are evaluated: all of a grid, or as few as its smoothness allows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.numerics.chebyshev import derivatives, interpolate, lobatto, tail
from landscape.numerics.scattered import Spline, apart

Steps = list[tuple[float, ...]]
#: points to rows of (mean loss, standard error, accuracy)
Evaluate = Callable[[str, Steps], NDArray[np.float64]]
Known = dict[tuple[float, ...], NDArray[np.float64]]

NODES = 9  # along each axis
_AUDIT = 8
_ROUND = 16  # points, or a sixteenth of what is known, between two looks at where the spline errs
_ABOVE = 1.5  # by which the largest error is taken to be above its estimate
_MOST = 0.5  # of the grid's points


@dataclass(frozen=True)
class Interpolated:
    """A slice known from its values at nodes.

    Attributes
    ----------
    values
        On the grid that was asked for.
    nodes
        ``(n, axes)``: the points that were evaluated.
    measured
        ``(3, n)``: loss, standard error and accuracy there.
    bound
        Estimate from above of the largest error on the grid.
    tolerance
        What it was to be brought under; where that differs from place to place, the median.
    excess
        The largest error over what is tolerated at its place, as estimated; at most 1 if all is
        well.
    audit
        ``(points, axes + 2)``: points of the grid that took no part, the loss there and what the
        interpolant says.
    gradient, hessian
        Of the interpolant at the centre; NaN if that is outside.
    """

    values: NDArray[np.float64]
    nodes: NDArray[np.float64]
    measured: NDArray[np.float64]
    bound: float
    tolerance: float
    excess: float
    audit: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]


def along(
    points: int | tuple[int, ...], span: float | tuple[float, float], dims: int
) -> list[NDArray[np.float64]]:
    """Grid points along each axis.

    Examples
    --------
    >>> along(5, 1.0, 1)
    [array([-1. , -0.5,  0. ,  0.5,  1. ])]
    """
    counts = (points,) * dims if isinstance(points, int) else tuple(points)
    low, high = (-span, span) if isinstance(span, int | float) else span
    if len(counts) != dims or min(counts) < 1 or not -np.inf < low < high < np.inf:
        raise ValueError(
            f"points must be at least 1 along each of {dims} directions and span a positive number "
            f"or an interval, got {points} and {span}"
        )
    return [_axis(low, high, n) for n in counts]


def _axis(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Even steps; if symmetric, the middle point of an odd number is exactly 0."""
    if low == -high:
        return np.zeros(1) if count == 1 else high * (2 * np.arange(count) / (count - 1) - 1)
    return np.linspace(low, high, count)


def grid(axes: Sequence[NDArray[np.float64]]) -> Steps:
    """All points of a tensor grid, the last axis fastest."""
    rows = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return [tuple(row) for row in rows.tolist()]


def adapt(
    evaluate: Evaluate, axes: Sequence[NDArray[np.float64]], tol: float | None, seed: int
) -> Interpolated:
    """Interpolate between Chebyshev-Lobatto nodes if they show a smooth slice, else by a spline.

    A slice with kinks, or fine structure in some corner, gets points of the grid as well, where the
    spline through all of them is estimated to err most beyond what is tolerated: there more nodes
    everywhere would not help.

    Parameters
    ----------
    evaluate
        Of (a name, points) the rows of measured values. The name is another for other points.
    axes
        The grid that is wanted.
    tol
        On the largest error; None: half the standard error of the loss, the median of all nodes,
        or for the spline that of the nearest.
    seed
        Of the grid points that are held out as audit.

    Raises
    ------
    ValueError
        If the loss is not finite at a node: nothing is smoothed over.
    """
    if math.prod(map(len, axes)) <= NODES ** len(axes):
        raise ValueError(
            f"a grid of {'x'.join(str(len(axis)) for axis in axes)} points is as soon evaluated as "
            f"interpolated, which takes {NODES} nodes along each axis: use mode='exact'"
        )
    known: Known = {}
    nodes = [lobatto(NODES, float(axis.min()), float(axis.max())) for axis in axes]
    steps = grid([own.numpy() for own in nodes])
    _learn(known, evaluate, "nodes", steps)
    loss = torch.tensor([known[step][0] for step in steps], dtype=torch.float64)
    loss = loss.view([NODES] * len(axes))
    bound = float(tail(loss).sum())
    errors = np.array([row[1] for row in known.values()])
    if tol is None and np.isnan(errors).any():
        raise ValueError("one image has no standard error to go by: give tol, in nats")
    tolerance = 0.5 * float(np.median(errors)) if tol is None else tol
    if bound > tolerance and len(known) < _MOST * math.prod(map(len, axes)):
        return _scattered(evaluate, axes, known, tol, seed)
    wanted = [torch.from_numpy(axis) for axis in axes]
    values = interpolate(loss, nodes, wanted).numpy()
    gradient, hessian = _nowhere(len(axes))
    if _inside(axes):
        _, first, second = derivatives(loss, nodes, [0.0] * len(axes))
        gradient, hessian = first.numpy(), second.numpy()
    audit = _audit(evaluate, axes, values, known, seed)
    found, measured = _table(known)
    excess = bound / tolerance if tolerance else math.inf if bound else 0.0
    return Interpolated(values, found, measured, bound, tolerance, excess, audit, gradient, hessian)


def _scattered(
    evaluate: Evaluate,
    axes: Sequence[NDArray[np.float64]],
    known: Known,
    tol: float | None,
    seed: int,
) -> Interpolated:
    """Evaluate points of the grid, some at a time, where the spline errs most."""
    steps = grid(axes)
    points = torch.tensor(steps, dtype=torch.float64)
    most = int(_MOST * len(steps))
    while True:
        found, measured = _table(known)
        nodes, loss = torch.from_numpy(found), torch.from_numpy(measured[0])
        spline = Spline.of(nodes, loss)
        error = _ABOVE * spline.error(points)
        away, near = apart(points, nodes).min(1)
        half = 0.5 * torch.from_numpy(measured[1])
        tolerated = half[near] if tol is None else torch.full_like(error, tol)
        # where all images have one loss its standard error is 0, and nothing is tolerated
        excess = torch.where(error > 0, error / tolerated, 0.0)
        worst = float(excess.max())
        if worst <= 1 or len(known) >= most:
            break
        chosen: list[int] = []
        for _ in range(min(max(_ROUND, len(known) // 16), most - len(known))):
            one = int(excess.argmax())
            if not excess[one] > 0:
                break
            chosen.append(one)
            excess[apart(points[[one]], points)[0] < away[one]] = 0  # it tells of these, too
        _learn(known, evaluate, f"beside-{len(known)}-points", [steps[i] for i in sorted(chosen)])
    values = spline(points).numpy()
    at = {step: i for i, step in enumerate(steps)}
    for step, row in known.items():
        if step in at:
            values[at[step]] = row[0]  # to the last bit
    values = values.reshape([len(axis) for axis in axes])
    gradient, hessian = _nowhere(len(axes))
    if _inside(axes):
        first, second = spline.derivatives(torch.zeros(len(axes)))
        gradient, hessian = first.numpy(), second.numpy()
    audit = _audit(evaluate, axes, values, known, seed)
    bound, tolerance = float(error.max()), float(tolerated.median())
    return Interpolated(values, found, measured, bound, tolerance, worst, audit, gradient, hessian)


def _learn(known: Known, evaluate: Evaluate, name: str, steps: Steps) -> None:
    """Evaluate what is not known yet; refuse what is not finite."""
    fresh = [step for step in steps if step not in known]
    known |= dict(zip(fresh, evaluate(name, fresh), strict=True))
    lost = [step for step in steps if not np.isfinite(known[step][0])]
    if lost:
        where = ", ".join(f"{float(x):g}" for x in lost[0])
        raise ValueError(
            f"the loss is not finite at {len(lost)} of {len(steps)} nodes, the first ({where}): "
            "no interpolation; use mode='exact' or a smaller span"
        )


def _table(known: Known) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points ``(n, axes)`` and what was measured there ``(3, n)``, in order of their place."""
    steps = sorted(known)
    return np.array(steps), np.stack([known[step] for step in steps], 1)


def _inside(axes: Sequence[NDArray[np.float64]]) -> bool:
    return all(axis.min() <= 0 <= axis.max() for axis in axes)


def _nowhere(size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.full(size, np.nan), np.full((size, size), np.nan)


def _audit(
    evaluate: Evaluate,
    axes: Sequence[NDArray[np.float64]],
    values: NDArray[np.float64],
    known: Known,
    seed: int,
) -> NDArray[np.float64]:
    """Evaluate some grid points that are no nodes, drawn by the seed, and compare."""
    steps = grid(axes)
    free = [i for i, step in enumerate(steps) if step not in known]
    draw = np.random.default_rng(seed)
    chosen = sorted(draw.choice(free, min(_AUDIT, len(free)), replace=False).tolist())
    at = [steps[i] for i in chosen]
    rows = evaluate("audit", at)
    told = values.reshape(-1)[chosen]
    return np.column_stack([np.array(at).reshape(len(at), len(axes)), rows[:, 0], told])
