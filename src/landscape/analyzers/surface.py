"""Slices of the loss surface."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._policy import policy
from landscape.analyzers._relief import relief
from landscape.analyzers._sampling import Interpolated, Steps, adapt, along, grid
from landscape.journal import Journal, Piece, Place, opened
from landscape.result import Result
from landscape.subject.directions import given, square
from landscape.subject.filters import draw, layout
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches, Objective
from landscape.subject.penalty import NormSum, Params, Penalty
from landscape.subject.plane import Gauge, Plane
from landscape.subject.slices import cosine

Mode = Literal["exact", "adaptive"]
_AXES = ("alpha", "beta")
_TILE = 8  # points a piece of the journal
_MEASURED = {
    "nll": ("negative log-likelihood", "nats"),
    "nll_se": ("standard error of the negative log-likelihood", "nats"),
    "accuracy": ("accuracy", "1"),
}


@analyzer
def surface(
    model: nn.Module,
    batches: Batches,
    *,
    points: int | tuple[int, ...] = 11,
    span: float | tuple[float, float] = 1.0,
    dims: int = 2,
    directions: str | Sequence[Params] = "filter",
    ignore: str | None = None,
    orthogonal: bool = False,
    planes: int = 1,
    mode: Mode = "exact",
    tol: float | None = None,
    batchnorm: str = "frozen",
    loss: Loss = cross_entropy,
    weight_decay: float | Penalty = 0.0,
    seed: int = 0,
    journal: Place = None,
    progress: Progress = silent,
) -> Result:
    r"""Compute the loss on lines or planes through the weights.

    ``w(alpha, beta) = w + alpha d1 + beta d2``. All points see the same batches, so the surface has
    no sampling noise from point to point; its standard error is that of the sample. NLL and the
    norms of the weights are different things and are kept apart.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``; frozen, read once.
    points
        Grid points along each direction, or along (alpha, beta). Odd, to hit the centre.
    span
        The grid runs from ``-span`` to ``span``, or from the first to the second number. For random
        filters 1 moves each filter by its own norm; given directions are as long as they are given.
    dims
        1 for a line, 2 for a plane through random directions.
    directions
        Gaussian ones, in which all have the network's norm: ``"filter"``, output filters (Li et al.
        2018); ``"layer"``, tensors; ``"paper"``, columns across output channels (the code of Park &
        Kim 2022). Or ``"none"``, N(0, 1). Biases, normalisation and position tables stay fixed. Or
        one or two given ones, a tensor for every name that moves: from `landscape.towards`,
        `landscape.eigenvectors`, `landscape.trajectory` or of your own.
    ignore
        Random directions also leave alone the parameters whose names match this expression.
    orthogonal
        Turn the second direction, scaled, to a right angle with the first; its norm stays.
    planes
        So many, each with directions of its own, to see what depends on their choice.
    mode
        ``"exact"`` evaluates every point. ``"adaptive"`` evaluates 9 Chebyshev-Lobatto nodes an
        axis and, if these show no smooth slice, grid points where a spline through all is estimated
        to err most, until that is below ``tol`` or half of the grid is known; it interpolates the
        NLL alone, and tells the estimate (``bound``) and what it finds at grid points that it held
        out (``audit_...``).
    tol
        Of the adaptive mode, nats; unless given half the standard error of the loss: the median
        of the nodes or, for the spline, that of the nearest.
    batchnorm
        ``"frozen"``, running statistics as they are; ``"batch"``, those of each batch; or
        ``"recal:M"``, measured anew at each point on the first M examples.
    loss
        ``(outputs, targets)`` to one number per example.
    weight_decay
        Only stored, so that a plot can add it; ``landscape.L2`` or ``landscape.NormSum`` with a
        mask say also which parameters ``l2`` and ``norms`` are of.
    seed
        Of the directions: each tensor's is drawn from the seed and its name.
    journal
        A folder that keeps finished points: a run that was stopped goes on there, and several
        processes share one.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``alpha`` and, on a plane, ``beta``; for several ``plane``, too: ``nll`` (mean, nats),
        ``nll_se`` (standard error over examples), ``accuracy`` (share; of the largest target where
        targets are soft), ``l2`` (half the sum of squares of the decayed parameters) and ``norms``
        (the sum of their tensors' norms), both exact in closed form; what is not finite stays so.
        ``cosine`` of the two directions. ``relief_nll``, ``relief_decay`` (largest minus smallest)
        and the decay's ``relief_share``; over ``radius``, what a ring has over the centre: ``rise``
        and ``rise_decay`` (nats), ``drop`` (of accuracy), the decay's ``rise_share``.

        In adaptive mode ``nll`` is interpolated, ``nll_se`` and ``accuracy`` are those of ``node``,
        and ``excess`` is the largest estimated error over what is tolerated at its place. There is
        also ``slope`` over ``direction`` and ``curvature`` over ``direction``, ``other`` at the
        centre, of the interpolant: of a smooth network ``d' H d``; of one with ReLUs also what
        their kinks add, which the Hessian lacks.

    References
    ----------
    Li et al. (2018), "Visualizing the Loss Landscape of Neural Nets", section 4. Trefethen (2013),
    "Approximation Theory and Approximation Practice".

    Examples
    --------
    With outputs fixed by a zero head, every point has the loss ``ln 2``:

    >>> import landscape, torch
    >>> net = torch.nn.Linear(3, 2)
    >>> for p in net.parameters(): _ = torch.nn.init.zeros_(p)
    >>> data = [(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))]
    >>> landscape.surface(net, data, points=3).nll.values.round(4)[0]
    array([0.6931, 0.6931, 0.6931])
    """
    own = Objective(model, batches, loss).parameters()
    slices = _slices(model, own, directions, ignore, orthogonal, dims, planes, seed)
    axes = along(points, span, len(slices[0].directions))
    if mode not in get_args(Mode):
        raise ValueError(f"mode is one of {', '.join(get_args(Mode))}, not {mode!r}")
    if tol is not None and not tol > 0:
        raise ValueError(f"tol must be positive, got {tol}")
    statistics, few = policy(batchnorm)
    gauge = Gauge(model, batches, loss, statistics, few)
    book = opened(journal)
    coords = {
        name: (name, values, {"long_name": letter, "units": _unit(directions)})
        for name, values, letter in zip(_AXES, axes, "αβ", strict=False)
    }
    found = []
    for number, plane in enumerate(slices):
        at = f"Surface {number + 1} of {planes}" if planes > 1 else "Surface"
        evaluate = partial(_evaluate, gauge, plane, book, progress, at, number)
        if mode == "exact":
            rows = evaluate("grid", grid(axes)).T.reshape(3, *map(len, axes))
            data = _variables(_MEASURED, rows, tuple(coords))
        else:
            data = _adaptive(adapt(evaluate, axes, tol, seed), tuple(coords))
        data |= _norms(plane, axes, weight_decay)
        data["cosine"] = ((), cosine(*plane.directions), _label("cosine of the two directions"))
        found.append(xr.Dataset(data, coords))
    if planes == 1:
        result = found[0]
    else:
        numbers = xr.DataArray(np.arange(planes), dims="plane", attrs=_label("plane"), name="plane")
        result = xr.concat(found, numbers, join="outer", data_vars="all")
    form = "norms" if isinstance(weight_decay, NormSum) else "l2"
    amount = getattr(weight_decay, "coefficient", weight_decay)
    result = result.assign_attrs(
        decay=json.dumps({"form": form, "coefficient": amount}, sort_keys=True),
        interpolated=int(mode == "adaptive"),
    )
    return relief(result, sum(len(inputs) for inputs, _ in batches))


def _slices(
    model: nn.Module,
    own: Params,
    directions: str | Sequence[Params],
    ignore: str | None,
    orthogonal: bool,
    dims: int,
    planes: int,
    seed: int,
) -> list[Plane]:
    """Planes (or lines) with their directions."""
    if dims not in (1, 2) or planes < 1:
        raise ValueError(f"dims is 1 or 2 and planes at least 1, not {dims} and {planes}")
    if isinstance(directions, str):
        parts, numbers = layout(model, directions, ignore), range(dims)
        several = [
            tuple(draw(own, parts, seed=seed, index=2 * n + i) for i in numbers)
            for n in range(planes)
        ]
    elif planes > 1 or ignore:
        raise ValueError("planes and ignore are for random directions, not for given ones")
    else:
        several = [given(own, directions)]
    return [Plane(own, square(*each) if orthogonal else each) for each in several]


def _unit(directions: str | Sequence[Params]) -> str:
    norms = {"filter": "filter norms", "layer": "layer norms", "paper": "column norms"}
    return norms.get(directions, "1") if isinstance(directions, str) else "1"


def _evaluate(
    gauge: Gauge,
    plane: Plane,
    book: Journal,
    progress: Progress,
    label: str,
    number: int,
    name: str,
    steps: Steps,
) -> NDArray[np.float64]:
    """Rows of (loss, standard error, accuracy), in tiles that the journal keeps."""
    starts = range(0, len(steps), _TILE)
    tiles = {f"{number}-{name}-{i:05d}": steps[i : i + _TILE] for i in starts}

    def make(tile: str) -> Piece:
        return {"rows": np.array([gauge.measure(plane.at(step)) for step in tiles[tile]])}

    told = label if name == "grid" else f"{label}, {name.replace('-', ' ')}"
    done = dict(progress(book.pieces(tiles, make), len(tiles), told))
    return np.concatenate([done[tile]["rows"] for tile in tiles]) if tiles else np.empty((0, 3))


def _norms(plane: Plane, axes: list[NDArray[np.float64]], decay: float | Penalty) -> dict[str, Any]:
    """Half the sum of squares, and the sum of norms, of what decays."""
    decayed = getattr(decay, "decayed", lambda name, value: True)
    which = [decayed(name, value) for name, value in plane.origin.items()]
    squares = plane.squares(grid(axes)).numpy()[:, which]
    shape, dims = [len(axis) for axis in axes], _AXES[: len(axes)]
    half, sums = 0.5 * squares.sum(1), np.sqrt(squares).sum(1)
    return {
        "l2": (dims, half.reshape(shape), _label("half squared norm of the weights")),
        "norms": (dims, sums.reshape(shape), _label("sum of the norms of the weight tensors")),
    }


def _adaptive(found: Interpolated, dims: tuple[str, ...]) -> dict[str, Any]:
    """Lay out what is interpolated, and all that it rests on."""
    data = _variables({"nll": _MEASURED["nll"]}, found.values[None], dims)
    told = {f"node_{n}": (f"{text} at a node", unit) for n, (text, unit) in _MEASURED.items()}
    data |= _variables(told, found.measured, ("node",))
    audited = {f"audit_{name}": (f"{name} of a held-out point", "1") for name in dims}
    audited["audit_nll"] = ("negative log-likelihood at a held-out point", "nats")
    audited["audit_interpolated"] = ("the same, interpolated", "nats")
    data |= _variables(audited, found.audit.T, ("audit",))
    data |= _variables(
        {f"node_{n}": (f"{n} of a node", "1") for n in dims}, found.nodes.T, ("node",)
    )
    nats = {"units": "nats"}
    data["bound"] = ((), found.bound, _label("estimated largest error of interpolation") | nats)
    data["tolerance"] = ((), found.tolerance, _label("tolerated error of interpolation") | nats)
    about = _label("largest estimated error over what is tolerated there")
    data["excess"] = ((), found.excess, about)
    data["slope"] = ("direction", found.gradient, _label("slope at the centre") | nats)
    about = _label("curvature of the interpolant at the centre") | nats
    data["curvature"] = (("direction", "other"), found.hessian, about)
    data["node"] = ("node", np.arange(len(found.nodes)), _label("node"))
    return data


def _variables(names: dict[str, tuple[str, str]], rows: Any, dims: tuple[str, ...]) -> dict:
    return {
        name: (dims, row, {"long_name": text, "units": unit})
        for (name, (text, unit)), row in zip(names.items(), rows, strict=True)
    }


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
