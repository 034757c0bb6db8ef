"""Spectra of the diagonal blocks of the Hessian: which part of a network makes the curvature."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._curvature import checked, objective, operator
from landscape.analyzers._groups import depths, groups
from landscape.analyzers._leading import leading
from landscape.journal import Piece, Place, opened
from landscape.numerics.traces import xtrace
from landscape.result import Result
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches, Objective
from landscape.subject.penalty import Penalty
from landscape.subject.products import Matrix


@analyzer
def blocks(
    model: nn.Module,
    batches: Batches,
    *,
    by: str = "kind",
    k: int = 5,
    probes: int = 8,
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
    r"""Compute the leading eigenvalues and the trace of each diagonal block of the Hessian.

    A block holds the second derivatives by the parameters of one part of the network, the others
    fixed; every trainable parameter is in one block. No block has an eigenvalue beyond those of the
    whole matrix (Cauchy), the traces of all blocks sum to that of the whole, and what their
    squared Frobenius norms lack to the whole's is the curvature between blocks.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``: one set, whose mean loss it is.
    by
        ``"kind"``: what the layer does, as ``conv``, ``dwconv`` (depthwise), ``msa``, ``mlp``,
        ``norm``, ``stem``, ``head``. ``"module"``: place, down to the blocks of stages. Else a
        regular expression with one group: parameters whose names it finds there with the same text
        belong together, those that it does not match are ``other``.
    k
        Eigenvalues a block; a block of fewer parameters has no more.
    probes
        Of the trace (XTrace, two products each). From as many as parameters on it is exact.
    weight_decay, loss, matrix, batchnorm
        As in `landscape.density`.
    tol, max_products
        As in `landscape.hessian`.
    seed
        Of the start vectors and the probes.
    journal
        A folder that keeps finished blocks: a run that was stopped goes on there.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``block``, ``rank``: ``eigenvalue`` (signed, by magnitude), ``residual``,
        ``converged``, NaN and False where a block has no such rank. Over ``block``: ``trace``,
        ``trace_per_parameter`` (the mean eigenvalue), ``frobenius`` (sum of squares), ``share`` (of
        that in the whole's), each with ``_se``; ``parameters``, ``products``; coordinate ``depth``
        (mean rank of its layers, 0 to 1), by which they are ordered. ``network_...``: the same of
        the whole matrix. ``between``: the share of the entries between blocks.

    Examples
    --------
    Least squares has the Hessian ``2 / n [X 1]' [X 1]``, here with the blocks diag(4, 1) and 2:

    >>> import landscape, torch
    >>> net = torch.nn.Linear(2, 1)
    >>> x, t = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> found = landscape.blocks(net, [(x, t)], by="(weight|bias)", k=2, loss=square)
    >>> found.eigenvalue.values.round(4)
    array([[ 4.,  1.],
           [ 2., nan]])
    >>> found.trace.values.round(4)
    array([5., 2.])
    """
    risk = objective(
        model,
        batches,
        loss=loss,
        weight_decay=weight_decay,
        matrix=matrix,
        parameters=None,
        batchnorm=batchnorm,
    )
    found = groups(model, by)
    place = depths(model, next(iter(batches))[0], found)
    names = sorted(found, key=place.__getitem__)
    trust = checked(risk, seed)
    parts = [replace(risk, names=found[name]) for name in names]
    jobs = {f"block-{index}": (index, part) for index, part in enumerate([*parts, risk])}

    def spectrum(name: str) -> Piece:
        index, part = jobs[name]
        # seeds apart, as probes of one seed begin with the same numbers
        return _spectrum(part, k, probes, tol, max_products, seed * 1009 + index)

    done = dict(progress(opened(journal).pieces(jobs, spectrum), len(jobs), "blocks"))
    rows = [done[name] for name in jobs]
    blocks_ = xr.Dataset(_variables(rows[:-1], k, ("block",)))
    whole = xr.Dataset(_variables(rows[-1:], k, ("block",))).isel(block=0)
    whole = whole.rename({name: f"network_{name}" for name in whole.data_vars})
    for variable in whole.data_vars.values():
        variable.attrs["long_name"] += ", whole network"
    coords = {
        "block": ("block", np.array(names), _label(f"block, by {by}")),
        "depth": ("block", [place[name] for name in names], _label("depth")),
        "rank": ("rank", np.arange(1, k + 1), _label(f"rank among the {k} of largest magnitude")),
    }
    result = xr.merge([blocks_, whole]).assign(_shares(blocks_, whole)).assign_coords(coords)
    return result.assign_attrs(selfcheck=json.dumps(trust, sort_keys=True))


def _spectrum(
    risk: Objective, k: int, probes: int, tol: float, max_products: int, seed: int
) -> Piece:
    """Measure one matrix."""
    product, like = operator(risk)
    size = like.numel()
    top = leading(product, like, k=k, tol=tol, max_products=max_products, seed=seed)
    traces = xtrace(
        product, size, products=2 * probes, seed=seed, dtype=like.dtype, device=like.device
    )
    found = {
        "values": top.values.numpy(),
        "residuals": top.residuals.numpy(),
        "converged": top.converged.numpy(),
        "size": np.array(size),
        "products": np.array(top.products + traces.products),
    }
    for name in ("trace", "frobenius"):
        mean = getattr(traces, name)
        found[name] = np.array([float(mean.value), float(mean.error)])
    return found


def _variables(rows: list[Piece], k: int, dims: tuple[str]) -> dict[str, Any]:
    def table(name: str, empty: float | bool) -> np.ndarray:
        parts = [row[name] for row in rows]
        return np.stack([np.r_[p, np.full(k - len(p), empty, p.dtype)] for p in parts])

    sizes = np.array([row["size"] for row in rows])
    data: dict[str, Any] = {
        "eigenvalue": ((*dims, "rank"), table("values", np.nan), _label("Hessian eigenvalue")),
        "residual": ((*dims, "rank"), table("residuals", np.nan), _label("residual |Hv - λv|")),
        "converged": (
            (*dims, "rank"),
            table("converged", False),
            _label("residual below tolerance"),
        ),
        "parameters": (dims, sizes, _label("trainable parameters")),
        "products": (
            dims,
            np.array([row["products"] for row in rows]),
            _label("matrix-vector products"),
        ),
    }
    for name, about in (("trace", "trace"), ("frobenius", "sum of squared eigenvalues")):
        values, errors = np.stack([row[name] for row in rows]).T
        # one probe for one parameter is exact, and has no spread
        errors = np.where(sizes == 1, 0.0, errors)
        data |= _pair(name, dims, values, errors, about)
        if name == "trace":
            per = "trace per parameter"
            data |= _pair("trace_per_parameter", dims, values / sizes, errors / sizes, per)
    return data


def _shares(parts: xr.Dataset, whole: xr.Dataset) -> dict[str, Any]:
    """Squared Frobenius norms as shares of the whole's, and what lies between the blocks."""
    total, doubt = (float(whole[f"network_frobenius{s}"]) for s in ("", "_se"))
    norms, errors = parts["frobenius"].values, parts["frobenius_se"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        share, inside = norms / total, norms.sum() / total
        error = np.hypot(errors, share * doubt) / total
        rest = np.hypot(np.linalg.norm(errors), inside * doubt) / total
    about = "share of the squared Frobenius norm"
    return _pair("share", ("block",), share, error, about) | _pair(
        "between", (), 1 - inside, rest, f"{about} between blocks"
    )


def _pair(name: str, dims: tuple[str, ...], value: Any, error: Any, about: str) -> dict[str, Any]:
    return {
        name: (dims, value, _label(about)),
        f"{name}_se": (dims, error, _label(f"standard error of the {about}")),
    }


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
