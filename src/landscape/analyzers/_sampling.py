"""Which points of a slice are evaluated: all of a grid, or as few as its smoothness allows."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.numerics.chebyshev import derivatives, interpolate, lobatto, tail

Steps = list[tuple[float, ...]]
#: points to rows of (mean loss, standard error, accuracy)
Evaluate = Callable[[str, Steps], NDArray[np.float64]]

LEVELS = (7, 13, 25)  # each holds the nodes of the one before
_AUDIT = 8


@dataclass(frozen=True)
class Interpolated:
    """A slice known from its values at nodes.

    Attributes
    ----------
    values
        On the grid that was asked for.
    nodes
        Along each axis.
    measured
        ``(3, *nodes)``: loss, standard error and accuracy there.
    bound
        Estimate from above of the largest error on the grid.
    tolerance
        What it was to be brought under.
    audit
        ``(points, axes + 2)``: points of the grid that took no part, the loss there and what the
        interpolant says.
    gradient, hessian
        Of the interpolant at the centre; NaN if that is outside.
    """

    values: NDArray[np.float64]
    nodes: list[NDArray[np.float64]]
    measured: NDArray[np.float64]
    bound: float
    tolerance: float
    audit: NDArray[np.float64]
    gradient: NDArray[np.float64]
    hessian: NDArray[np.float64]


def grid(axes: Sequence[NDArray[np.float64]]) -> Steps:
    """All points of a tensor grid, the last axis fastest."""
    rows = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return [tuple(row) for row in rows.tolist()]


def adapt(
    evaluate: Evaluate, axes: Sequence[NDArray[np.float64]], tol: float | None, seed: int
) -> Interpolated:
    """Interpolate between Chebyshev-Lobatto nodes, refined along the axis that needs it most.

    Parameters
    ----------
    evaluate
        Of (a name, points) the rows of measured values. The name is another for other points.
    axes
        The grid that is wanted.
    tol
        On the largest error; None: half the median standard error of the loss at the nodes.
    seed
        Of the grid points that are held out as audit.

    Raises
    ------
    ValueError
        If the loss is not finite at a node: nothing is smoothed over.
    """
    if math.prod(map(len, axes)) <= LEVELS[0] ** len(axes):
        raise ValueError(
            f"a grid of {'x'.join(str(len(axis)) for axis in axes)} points is as soon evaluated as "
            f"interpolated, which takes {LEVELS[0]} nodes along each axis: use mode='exact'"
        )
    ends = [(float(axis.min()), float(axis.max())) for axis in axes]
    known: dict[tuple[float, ...], NDArray[np.float64]] = {}
    level = [0] * len(axes)
    while True:
        counts = [LEVELS[i] for i in level]
        nodes = [lobatto(n, low, high) for n, (low, high) in zip(counts, ends, strict=True)]
        steps = grid([own.numpy() for own in nodes])
        fresh = [step for step in steps if step not in known]
        rows = evaluate("nodes-" + "x".join(map(str, counts)), fresh)
        known |= dict(zip(fresh, rows, strict=True))
        measured = np.stack([known[step] for step in steps], 1).reshape(3, *counts)
        _finite(measured[0], nodes)
        loss = torch.from_numpy(measured[0])
        parts = tail(loss)
        tolerance = 0.5 * float(np.nanmedian(measured[1])) if tol is None else tol
        room = [i for i in range(len(axes)) if _worth(axes, level, i)]
        if float(parts.sum()) <= tolerance or not room:
            break
        level[max(room, key=lambda i: float(parts[i]))] += 1
    wanted = [torch.from_numpy(axis) for axis in axes]
    values = interpolate(loss, nodes, wanted).numpy()
    inside = all(low <= 0 <= high for low, high in ends)
    size = len(axes)
    gradient, hessian = np.full(size, np.nan), np.full((size, size), np.nan)
    if inside:
        _, first, second = derivatives(loss, nodes, [0.0] * size)
        gradient, hessian = first.numpy(), second.numpy()
    audit = _audit(evaluate, axes, values, known, seed)
    found = [own.numpy() for own in nodes]
    bound = float(parts.sum())
    return Interpolated(values, found, measured, bound, tolerance, audit, gradient, hessian)


def _worth(axes: Sequence[NDArray[np.float64]], level: list[int], axis: int) -> bool:
    """Whether an axis can be refined, and then takes fewer points than the whole grid."""
    if level[axis] + 1 == len(LEVELS):
        return False
    counts = [LEVELS[at + (i == axis)] for i, at in enumerate(level)]
    return math.prod(counts) < math.prod(map(len, axes))


def _finite(values: NDArray[np.float64], nodes: Sequence[torch.Tensor]) -> None:
    lost = np.argwhere(~np.isfinite(values))
    if len(lost):
        where = ", ".join(f"{float(own[i]):g}" for own, i in zip(nodes, lost[0], strict=True))
        raise ValueError(
            f"the loss is not finite at {len(lost)} of {values.size} nodes, the first ({where}): "
            "no interpolation; use mode='exact' or a smaller span"
        )


def _audit(
    evaluate: Evaluate,
    axes: Sequence[NDArray[np.float64]],
    values: NDArray[np.float64],
    known: dict[tuple[float, ...], NDArray[np.float64]],
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
