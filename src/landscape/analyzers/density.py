"""The density of all eigenvalues of the Hessian."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._curvature import checked, objective, operator
from landscape.analyzers._leading import leading
from landscape.journal import Piece, Place, opened
from landscape.numerics import broadening
from landscape.numerics.quadrature import Known, Quadrature, frobenius, jackknife, slq, trace
from landscape.result import Result
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches
from landscape.subject.penalty import Penalty
from landscape.subject.products import Matrix

_POINTS = 1000
_MOST = 40  # products for an eigenvalue that is taken out, converged or not
_PARTS: tuple[Matrix, ...] = ("ggn", "residual")  # their sum is the Hessian


@analyzer
def density(
    model: nn.Module,
    batches: Batches,
    *,
    probes: int = 8,
    steps: int = 60,
    deflate: int = 0,
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0,
    loss: Loss = cross_entropy,
    matrix: Matrix = "hessian",
    parameters: str | None = None,
    batchnorm: Statistics = "eval",
    threshold: float | None = None,
    parts: bool = False,
    seed: int = 0,
    journal: Place = None,
    progress: Progress = silent,
) -> Result:
    r"""Estimate the density of all eigenvalues of the Hessian of the whole set.

    Stochastic Lanczos quadrature: from each of some random unit vectors ``v``, ``steps`` products
    give nodes ``theta`` and weights ``w`` of the Gauss quadrature of ``v``'s spectral measure; the
    mean over vectors is the distribution of the eigenvalues. One broadened density is drawn per
    decade of ``u = asinh(x / 2 t) / log 10``, as the eigenvalues of networks span many.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``: one set, whose mean loss it is.
    probes, steps
        Random vectors, and products for each. More probes: less error; more steps: finer.
    deflate
        So many eigenvalues of largest magnitude are computed first, to 1e-3 (some three products
        each), and stand in the density as they are: the probes sample the others alone. Where a
        few outliers make the sum of squares, this is worth many times the probes.
    weight_decay, loss
        As in `landscape.hessian`.
    matrix
        ``"hessian"``, ``"ggn"`` (generalised Gauss-Newton, never negative) or ``"residual"``, the
        difference: it makes the negative eigenvalues.
    parameters
        Only parameters whose names match this regular expression vary.
    batchnorm
        ``"eval"`` or ``"batch"``: running statistics, or those of each batch.
    threshold
        ``t``, the magnitude below which the axis is linear; by default half the largest gap
        between nodes in the bulk, as nothing smaller is told apart.
    parts
        Also the densities of the Gauss-Newton part and of the residual, with the same probes and
        on the same axis: which of them makes the negatives. Costs as much again for either. The
        resolution of all three is then that of the coarsest.
    seed
        Of the vectors.
    journal
        A folder that keeps finished probes: a run that was stopped goes on there.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        ``node``, ``weight`` over ``probe``, ``step``, the ingredients; ``density`` with
        ``density_se`` over ``eigenvalue`` (1 per decade), of stated ``resolution`` (decades);
        ``size``, how many eigenvalues; ``trace``, ``frobenius`` (the sum of squares),
        ``negative_mass`` (the share of the negative eigenvalues in the sum of magnitudes), each
        with ``_se`` over the probes. On request ``part_density``, ``part_trace``,
        ``part_frobenius``, ``part_negative_mass``, each with ``_se``, ``part_node``,
        ``part_weight`` over ``part``, the two of which the Hessian is the sum; so are the traces,
        probe by probe (with ``deflate``, within their errors).

    Raises
    ------
    ValueError
        For bad data or settings, and parts of what is no Hessian.

    References
    ----------
    Ghorbani, Krishnan & Xiao (2019), "An Investigation into Neural Net Optimization via Hessian
    Eigenvalue Density"; Ubaru, Chen & Saad (2017).

    Examples
    --------
    Least squares has the Hessian ``2 / n X' X``, here with the eigenvalues 4 and 1:

    >>> import landscape
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> x, t = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> found = landscape.density(net, [(x, t)], loss=square, probes=4, steps=2)
    >>> found.trace.item().__round__(5), found.frobenius.item().__round__(5)
    (5.0, 17.0)
    """
    risk = objective(
        model,
        batches,
        loss=loss,
        weight_decay=weight_decay,
        matrix=matrix,
        parameters=parameters,
        batchnorm=batchnorm,
    )
    if parts and matrix != "hessian":
        raise ValueError(f"parts are of the Hessian: matrix='hessian', not {matrix!r}")
    if probes < 1 or steps < 1:
        raise ValueError(f"probes and steps must be at least 1, got {probes} and {steps}")
    if deflate < 0:
        raise ValueError(f"deflate must be 0 or more eigenvalues, got {deflate}")
    if threshold is not None and not threshold > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    jobs = {m: replace(risk, matrix=m) for m in (matrix, *(_PARTS if parts else ()))}
    trust = {name: checked(job, seed) for name, job in jobs.items()}
    size = sum(p.numel() for p in risk.parameters().values())
    names = {f"{m}-{number}": (m, number) for m in jobs for number in range(probes)}
    ready: dict[Matrix, Any] = {}

    def spectrum(name: str) -> Piece:
        which, number = names[name]
        if which not in ready:
            ready.clear()  # before the next one takes its memory
            product, like = operator(jobs[which])
            ready[which] = product, like, *_outliers(product, like, deflate, seed)
        product, like, known, spent = ready[which]
        draw: Any = {"seed": seed, "dtype": like.dtype, "device": like.device}
        one = slq(product, size, probes=1, steps=steps, first=number, deflate=known, **draw)
        return {
            "nodes": one.nodes.numpy(),
            "weights": one.weights.numpy(),
            "products": np.array(one.products + (spent if number == 0 else 0)),
        }

    done = dict(progress(opened(journal).pieces(names, spectrum), len(names), "probes"))
    found = [_joined([done[f"{m}-{i}"] for i in range(probes)], size) for m in jobs]
    attrs = {"selfcheck": json.dumps(trust.pop(matrix), sort_keys=True)}
    if parts:
        attrs["part_selfcheck"] = json.dumps(trust, sort_keys=True)
    return _labelled(found, threshold).assign_attrs(attrs)


def _outliers(product: Any, like: Tensor, count: int, seed: int) -> tuple[Known | None, int]:
    """The eigenvalues of largest magnitude, and what they cost."""
    if not count:
        return None, 0
    most = _MOST * count
    found = leading(product, like, k=count, tol=1e-3, max_products=most, seed=seed)
    return Known(found.values, found.vectors), found.products


def _joined(rows: list[Piece], size: int) -> Quadrature:
    """Put all probes of one matrix together."""
    nodes, weights = ([torch.from_numpy(row[key]) for row in rows] for key in ("nodes", "weights"))
    every = [
        Quadrature(x, w, size, int(row["products"]))
        for x, w, row in zip(nodes, weights, rows, strict=True)
    ]
    return sum(every[1:], every[0])


def _labelled(found: list[Quadrature], threshold: float | None) -> Result:
    """The first and its parts, on one axis and broadened alike."""
    start = threshold or max(broadening.resolution(q) for q in found) or 1.0
    width = max(broadening.resolution(q, threshold=start) for q in found) or 1 / _POINTS
    every = sum(found[1:], found[0])
    points = broadening.grid(every, _POINTS, width=width, threshold=start)
    alike = zip(every.nodes.chunk(len(found)), every.weights.chunk(len(found)), strict=True)
    first, *rest = [
        _measured(Quadrature(nodes, weights, every.size, 0), points, width, start)
        for nodes, weights in alike
    ]
    data: dict[str, Any] = {
        **first,
        "resolution": ((), width, _label("standard deviation of the broadening", "decades")),
        "threshold": ((), start, _label("magnitude below which the axis is linear")),
        "size": ((), every.size, _label("number of eigenvalues")),
        "products": ((), every.products, _label("matrix-vector products")),
    }
    coords: dict[str, Any] = {
        "eigenvalue": ("eigenvalue", points.numpy(), _label("Hessian eigenvalue")),
        "probe": ("probe", np.arange(len(found[0].nodes)), _label("probe")),
    }
    if rest:
        coords["part"] = ("part", list(_PARTS), _label("part of the Hessian"))
        for name, (dims, _, about) in first.items():
            told = about | {"long_name": f"{about['long_name']}, part of the Hessian"}
            data[f"part_{name}"] = (("part", *dims), np.stack([r[name][1] for r in rest]), told)
    return xr.Dataset(data, coords)


def _measured(q: Quadrature, points: Tensor, width: float, start: float) -> dict[str, Any]:
    value, error, _ = broadening.density(q, points, width=width, threshold=start)
    sums = {
        "trace": (trace(q), "trace"),
        "frobenius": (frobenius(q), "sum of squared eigenvalues"),
        "negative_mass": (jackknife(q, _negative), "share of negatives in the magnitudes"),
    }
    data: dict[str, Any] = {
        "node": (("probe", "step"), q.nodes.numpy(), _label("quadrature node")),
        "weight": (("probe", "step"), q.weights.numpy(), _label("quadrature weight")),
        "density": (("eigenvalue",), value.numpy(), _label("eigenvalue density", "1/decade")),
        "density_se": (("eigenvalue",), error.numpy(), _label("standard error", "1/decade")),
    }
    for name, (estimate, about) in sums.items():
        data[name] = ((), float(estimate.value), _label(about))
        data[f"{name}_se"] = ((), float(estimate.error), _label(f"standard error of the {about}"))
    return data


def _negative(nodes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    total = (weights * nodes.abs()).sum()
    return (weights * (-nodes).clamp(min=0)).sum() / total if total else total


def _label(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}
