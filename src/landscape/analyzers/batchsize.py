"""The largest Hessian eigenvalues against batch size, and what they tend to."""

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._curvature import checked, objective, operator
from landscape.analyzers._extrapolation import Mean, extrapolate, weights
from landscape.analyzers._leading import leading
from landscape.analyzers._nested import Nested, join, nest
from landscape.journal import Piece, Place, opened
from landscape.result import Result
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches, Objective
from landscape.subject.penalty import Penalty
from landscape.subject.products import Matrix


@analyzer
def batchsize(
    model: nn.Module,
    batches: Batches,
    *,
    sizes: Sequence[int] | None = None,
    k: int = 5,
    per_unit: int | None = None,
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0,
    loss: Loss = cross_entropy,
    matrix: Matrix = "hessian",
    batchnorm: Statistics = "eval",
    tol: float = 1e-3,
    max_products: int = 200,
    seed: int = 0,
    journal: Place = None,
    progress: Progress = silent,
) -> Result:
    r"""Extrapolate the largest Hessian eigenvalues in 1 / batch size.

    Those of a mini-batch of ``B`` images are larger than those of all: an outlier behaves as
    ``intercept + slope / B``, if ``B`` is large enough. The images are shuffled and cut into
    ``units`` as large as the largest batch, and each unit into batches of every smaller size. So
    batches of one size are disjoint, units share no image, and errors are told from the units.

    Two checks of the line stand beside it: a term in ``1 / B^2`` should not be significant, and at
    the number of all images the line should meet what is measured there.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``; only the images count, not how they are cut. (Mixup and
        cutmix pair images of one of these, which then come into different batches: units are a
        little less independent than they seem.)
    sizes
        Of the batches; each divides the largest, of which at least two must fit. By default up to
        four powers of two, the largest of which fits four times.
    k
        How many eigenvalues.
    per_unit
        At most so many batches of each size in a unit; all unless given.
    weight_decay, loss, matrix, batchnorm
        As in `landscape.density`. With ``"batch"``, statistics are of batches of each size.
    tol, max_products
        As in `landscape.hessian`.
    seed
        Of the shuffle and of the start vectors.
    journal
        A folder that keeps finished mini-batches: a run that was stopped goes on there.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``size``, ``batch``, ``rank``: ``eigenvalue`` (the largest, by value), ``residual``,
        ``converged``; NaN and False where a size has no such batch; ``unit`` of a batch, then -1.
        Over ``size``: ``mean`` (of each rank) and ``negative`` (share of negatives among the ``k``
        of largest magnitude), with ``_se`` over batches; ``products``. Over ``rank``:
        ``intercept``, ``slope``, ``curvature`` (the coefficient of ``1 / B^2``), each with ``_se``
        over units and the 95 % interval ``_low``, ``_high`` (Student's t); ``curvature_p``, its
        p-value. ``line`` with ``_low``, ``_high`` over ``inverse``, 1 / size. ``set_...``: of all
        images at once, and ``set_extrapolated``, what the line says there; as both are of the same
        images, its ``_se`` overstates the error of their difference. ``order``: shuffled images.

    References
    ----------
    Granziol, Zohren & Roberts (2022), "Learning Rates as a Function of Batch Size: A Random Matrix
    Theory Approach to Neural Network Training".

    Examples
    --------
    Equal images have the same Hessian in batches of any size, here ``2 x x'`` with ``x = (1, 2)``:

    >>> import landscape
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> x, t = torch.tensor([[1.0, 2.0]]).repeat(8, 1), torch.zeros(8)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> found = landscape.batchsize(net, [(x, t)], k=1, loss=square)
    >>> found.intercept.values.round(4), abs(found.slope.values) < 1e-4
    (array([10.]), array([ True]))
    """
    inputs, targets = join(batches)
    cut = nest(len(inputs), sizes, per_unit, seed)

    def risk(chosen: Tensor) -> Objective:
        return objective(
            model,
            [(inputs[chosen], targets[chosen])],
            loss=loss,
            weight_decay=weight_decay,
            matrix=matrix,
            parameters=None,
            batchnorm=batchnorm,
        )

    trust = checked(risk(cut.order[: cut.sizes[-1]]), seed)
    jobs = [*(images for part in cut.parts for images in part.flatten(0, 1)), cut.order]
    named = {f"batch-{index}": job for index, job in enumerate(jobs)}

    def largest(name: str) -> Piece:
        return _largest(risk(named[name]), k, tol, max_products, seed)

    done = dict(progress(opened(journal).pieces(named, largest), len(named), "batches"))
    *found, whole = [done[name] for name in named]
    queue, inverse = iter(found), np.linspace(0, 1 / cut.sizes[0], 41)
    rows = [list(islice(queue, count)) for count in cut.counts]
    data = _measured(rows, k) | _fitted(rows, cut, inverse)
    data["unit"] = (("size", "batch"), cut.numbers(), _label("unit of the batch, -1 for none"))
    data["order"] = ("image", cut.order.numpy(), _label("shuffled images"))
    for name, about in _ABOUT.items():
        data[f"set_{name}"] = ("rank", whole[name], _label(f"{about}, whole set"))
    data["set_negative"] = ((), whole["negative"], _label(f"{_NEGATIVE}, whole set"))
    data["set_examples"] = ((), len(cut.order), _label("images of the whole set", "images"))
    coords = {
        "size": ("size", np.array(cut.sizes), _label("batch size", "images")),
        "rank": ("rank", np.arange(1, k + 1), _label("rank among the largest")),
        "inverse": ("inverse", inverse, _label("1 / batch size", "1/images")),
    }
    return xr.Dataset(data, coords, {"selfcheck": json.dumps(trust, sort_keys=True)})


_ABOUT = {
    "eigenvalue": "Hessian eigenvalue",
    "residual": "residual |Hv - λv|",
    "converged": "residual below tolerance",
}
_PARTS = {
    "": ("value", ""),
    "_se": ("error", ", standard error"),
    "_low": ("low", ", 95 % interval from"),
    "_high": ("high", ", 95 % interval to"),
}
_COEFFICIENTS = {
    "intercept": ("eigenvalue at infinite batch size", "1"),
    "slope": ("slope in 1 / batch size", "images"),
    "curvature": ("coefficient of 1 / batch size squared", "images^2"),
}
_NEGATIVE = "share of negatives among the eigenvalues of largest magnitude"


def _largest(risk: Objective, k: int, tol: float, max_products: int, seed: int) -> Piece:
    """Compute the ``k`` largest by value, and the share of negatives of the largest magnitude."""
    product, like = operator(risk)
    if not 1 <= k <= like.numel():
        raise ValueError(f"k must be between 1 and the {like.numel()} parameters, got {k}")
    options: dict[str, Any] = {"k": k, "tol": tol, "max_products": max_products, "seed": seed}
    found = leading(product, like, **options)
    rounding = 16 * torch.finfo(like.dtype).eps * float(found.values.abs().max())
    negative, products = float((found.values < -rounding).double().mean()), found.products
    if negative:  # else these are the largest by value, too
        found = leading(product, like, which="LA", **options)
        products += found.products
    return {
        "eigenvalue": found.values.numpy(),
        "residual": found.residuals.numpy(),
        "converged": found.converged.numpy(),
        "error": found.errors.numpy() + rounding,
        "negative": np.array(negative),
        "products": np.array(products),
    }


def _measured(rows: list[list[Piece]], k: int) -> dict[str, Any]:
    """Lay out the values of all batches by size."""
    data: dict[str, Any] = {}
    most = max(len(row) for row in rows)
    for name, about in _ABOUT.items():
        empty: Any = False if name == "converged" else np.nan
        values = np.full((len(rows), most, k), empty)
        for i, row in enumerate(rows):
            values[i, : len(row)] = [one[name] for one in row]
        data[name] = (("size", "batch", "rank"), values, _label(about))
    means, errors = zip(*(_mean(row, "negative") for row in rows), strict=True)
    data["negative"] = ("size", np.array(means), _label(_NEGATIVE))
    data["negative_se"] = ("size", np.array(errors), _label(f"standard error of the {_NEGATIVE}"))
    means, errors = zip(*(_mean(row, "eigenvalue") for row in rows), strict=True)
    dims, about = ("size", "rank"), "mean eigenvalue over batches"
    data["mean"] = (dims, np.stack(means), _label(about))
    data["mean_se"] = (dims, np.stack(errors), _label(f"standard error of the {about}"))
    total = [sum(one["products"] for one in row) for row in rows]
    return data | {"products": ("size", total, _label("matrix-vector products"))}


def _mean(row: list[Piece], name: str) -> tuple[Any, Any]:
    values = np.array([one[name] for one in row])
    return values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5


def _fitted(rows: list[list[Piece]], cut: Nested, inverse: np.ndarray) -> dict[str, Any]:
    """Fit a line to each rank."""
    sizes, counts = np.array(cut.sizes, dtype=float), np.array(cut.counts)
    at = np.r_[1 / len(cut.order), inverse]
    values = [np.array([one["eigenvalue"] for one in row]) for row in rows]
    units = np.stack([v.reshape(cut.units, -1, v.shape[1]).mean(1) for v in values], 1)
    variances = np.stack([v.var(0, ddof=1) for v in values])
    doubts = np.stack([np.mean([one["error"] for one in row], 0) for row in rows])
    lines = [
        extrapolate(sizes, unit, weights(sizes, counts, variance), doubt, at)
        for unit, variance, doubt in zip(
            np.moveaxis(units, 2, 0), variances.T, doubts.T, strict=True
        )
    ]
    found: dict[str, Any] = {}
    for name, (told, unit) in _COEFFICIENTS.items():
        found |= _told(name, told, unit, [getattr(line, name) for line in lines])
    p = [line.p for line in lines]
    found["curvature_p"] = ("rank", p, _label("p-value of no curvature"))
    for name, (part, told) in _PARTS.items():
        path = np.stack([getattr(line.path, part) for line in lines])
        about = f"eigenvalue extrapolated to the whole set{told}"
        found[f"set_extrapolated{name}"] = ("rank", path[:, 0], _label(about))
        found[f"line{name}"] = (("rank", "inverse"), path[:, 1:], _label(f"line{told}"))
    return found


def _told(name: str, about: str, unit: str, means: list[Mean]) -> dict[str, Any]:
    return {
        f"{name}{suffix}": (
            "rank",
            np.array([float(getattr(mean, part)) for mean in means]),
            _label(about + told, unit),
        )
        for suffix, (part, told) in _PARTS.items()
    }


def _label(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}
