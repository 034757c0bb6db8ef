"""Hessian eigenvalues of the loss."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, _pyhessian, analyzer, silent
from landscape.analyzers._bootstrap import negatives, positives
from landscape.analyzers._curvature import checked, graph_bytes, objective, operator
from landscape.analyzers._leading import leading
from landscape.journal import Piece, Place, opened
from landscape.numerics.lanczos import Eigenpairs
from landscape.result import Result
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches, Objective
from landscape.subject.penalty import Penalty
from landscape.subject.products import Matrix

Engine = Literal["landscape", "pyhessian"]


@analyzer
def hessian(
    model: nn.Module,
    batches: Batches,
    *,
    k: int = 5,
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0,
    loss: Loss = cross_entropy,
    matrix: Matrix = "hessian",
    parameters: str | None = None,
    batchnorm: Statistics = "eval",
    tol: float = 1e-3,
    max_products: int = 200,
    whole: bool = True,
    ends: bool = False,
    parts: bool = False,
    vectors: bool = False,
    engine: Engine = "landscape",
    seed: int = 0,
    journal: Place = None,
    progress: Progress = silent,
) -> Result:
    r"""Compute the Hessian eigenvalues of largest magnitude, per mini-batch and for all of them.

    The loss of a set is the mean over its examples plus the weight-decay term; its Hessian is over
    all trainable parameters, unless told. Lanczos with full reorthogonalisation; products by double
    backward, checked before.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``; targets int64 ``(n,)`` or soft ``(n, classes)``.
    k
        How many eigenvalues.
    weight_decay
        ``lambda`` of ``lambda / 2 * sum w^2`` over all trainable parameters (the L2 term; it shifts
        every eigenvalue by ``lambda``), or a penalty such as ``landscape.L2`` with a mask.
    loss
        ``(outputs, targets)`` to one number per example.
    matrix, parameters, batchnorm
        As in `landscape.density`: the Hessian, its Gauss-Newton part ``"ggn"`` or the
        ``"residual"``; which parameters vary; whose statistics normalise.
    tol
        An eigenvalue has converged when its residual is at most ``tol * |eigenvalue|``.
    max_products
        Hessian-vector products after which a run gives up; what has not converged is flagged.
    whole
        Also the spectrum of the whole set (all batches as one). With one batch it is that one.
    ends
        Of the whole set the ``k`` largest and the ``k`` smallest, by value.
    parts
        Also what the Gauss-Newton part makes of each eigenvalue: ``v' G v`` for its unit vector
        ``v``, one product each. The rest is the residual's, which alone can be negative.
    vectors
        Also the unit eigenvectors of the whole set.
    engine
        ``"pyhessian"`` for a cross-check: its power iteration, which knows neither residuals nor
        any of the other settings.
    seed
        Of the start vectors and the bootstrap.
    journal
        A folder that keeps the spectrum of each mini-batch as it comes: a run that was stopped goes
        on there, and several processes share one.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``batch``, ``rank``: ``eigenvalue`` (signed, ordered by magnitude), ``residual``
        (``|H v - eigenvalue v|``; an eigenvalue of H lies within it), ``converged``; over
        ``batch``: ``products``, ``examples``; ``nep``, the share of negatives, and ``ape``, the
        mean of the positives, each with ``_low`` and ``_high``, a 95 % interval by drawing the
        batches again (NaN for one); for the whole set ``set_eigenvalue``, ``..._residual``,
        ``..._converged`` and ``..._products``. On request ``gauss_newton`` over ``batch``,
        ``rank``; ``end_eigenvalue``, ``..._residual``, ``..._converged`` over ``end``, ``rank``;
        ``set_vector`` over ``rank``, ``weight``, in the order of ``attrs["weights"]``.

    Raises
    ------
    ValueError
        For bad data, ``k`` out of range, a loss that is not finite, an operation without a second
        derivative or with a wrong one.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?", figure 4: top-5 of each mini-batch.

    Examples
    --------
    Least squares has the Hessian ``2 / n X' X``:

    >>> import landscape, torch
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> x, t = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> landscape.hessian(net, [(x, t)], k=2, loss=square).eigenvalue.values.round(4)
    array([[4., 1.]])
    """
    items = list(batches)
    risk = objective(
        model,
        items,
        loss=loss,
        weight_decay=weight_decay,
        matrix=matrix,
        parameters=parameters,
        batchnorm=batchnorm,
    )
    if parts and (matrix != "hessian" or engine != "landscape"):
        raise ValueError(
            f"parts needs matrix='hessian' and engine='landscape', not {matrix!r}, {engine!r}"
        )
    if (ends or vectors) and not (whole and engine == "landscape"):
        raise ValueError("ends and vectors are of the whole set: whole=True, engine='landscape'")
    size = sum(p.numel() for p in risk.parameters().values())
    if not 1 <= k <= size // (2 if ends else 1):
        raise ValueError(f"k must be between 1 and the {size} parameters, got {k}")
    trust = checked(risk, seed)
    jobs = {f"batch-{i}": replace(risk, batches=[item]) for i, item in enumerate(items)}
    last = "set" if whole and (len(items) > 1 or ends) else "batch-0"
    if last == "set":
        jobs[last] = risk
    if engine == "landscape":
        each = graph_bytes(risk)

        def top(name: str) -> Piece:
            product, like = operator(jobs[name], each)
            which: Literal["LM", "BE"] = "BE" if ends and name == last else "LM"
            limits: Any = {"tol": tol, "max_products": max_products, "seed": seed}
            found = leading(product, like, k=k, which=which, **limits)
            more = {}
            if parts:
                more["gauss_newton"] = _gauss_newton(jobs[name], found, each)
            if vectors and name == last:
                more["vectors"] = found.vectors
            return _piece(found, more)

    elif engine == "pyhessian":
        _pyhessian.refuse(
            weight_decay=weight_decay, matrix=matrix, parameters=parameters, batchnorm=batchnorm
        )

        def top(name: str) -> Piece:
            job = jobs[name]
            found = _pyhessian.eigenvalues(model, job.batches, loss, k, tol, max_products, seed)
            return _piece(_unknown(*found), {})

    else:
        raise ValueError(f"engine is one of {', '.join(get_args(Engine))}, not {engine!r}")

    found = dict(progress(opened(journal).pieces(jobs, top), len(jobs), "Hessian"))
    total = found[last] if whole else None
    rows = [found[f"batch-{i}"] for i in range(len(items))]
    about = f"the {k} of largest magnitude"
    data = _each(rows, [len(x) for x, _ in items], seed)
    if parts:
        data["gauss_newton"] = (
            ("batch", "rank"),
            np.stack([row["gauss_newton"] for row in rows]),
            _label("share of the Gauss-Newton part in the eigenvalue, v'Gv"),
        )
    coords: dict[str, Any] = {
        "batch": ("batch", np.arange(len(rows)), _label("mini-batch")),
        "rank": ("rank", np.arange(1, k + 1), _label(f"rank among {about}")),
    }
    attrs = {"selfcheck": json.dumps(trust, sort_keys=True)}
    if total is not None:
        data |= _whole(total, k)
        if ends:
            coords["end"] = ("end", ["largest", "smallest"], _label("end of the spectrum"))
            data |= _ends(total, k)
        if vectors:
            rest = total["vectors"][_leading(total, k)]
            data["set_vector"] = (("rank", "weight"), rest, _label("unit eigenvector, whole set"))
            shapes = {name: list(p.shape) for name, p in risk.parameters().items()}
            attrs["weights"] = json.dumps(list(shapes.items()))
    return xr.Dataset(data, coords).assign_attrs(attrs)


def _gauss_newton(job: Objective, found: Eigenpairs, each: float) -> Tensor:
    product, _ = operator(replace(job, matrix="ggn"), each)
    return torch.stack([v.double() @ product(v).double() for v in found.vectors])


def _unknown(values: Tensor, products: int) -> Eigenpairs:
    """Values of which nothing is known but themselves."""
    none = torch.full_like(values, torch.nan)
    return Eigenpairs(values, none, none, none, values.isnan(), products, none)


def _piece(found: Eigenpairs, more: dict[str, Tensor]) -> Piece:
    every = {
        "values": found.values,
        "residuals": found.residuals,
        "converged": found.converged,
        "products": torch.tensor(found.products),
    }
    return {name: value.cpu().numpy() for name, value in (every | more).items()}


def _each(rows: list[Piece], examples: list[int], seed: int) -> dict[str, Any]:
    def stack(name: str) -> np.ndarray:
        return np.stack([row[name] for row in rows])

    values = stack("values")
    data: dict[str, Any] = {
        "eigenvalue": (("batch", "rank"), values, _label("Hessian eigenvalue")),
        "residual": (("batch", "rank"), stack("residuals"), _label("residual |Hv - λv|")),
        "converged": (("batch", "rank"), stack("converged"), _label("residual below tolerance")),
        "products": ("batch", stack("products"), _label("Hessian-vector products")),
        "examples": ("batch", examples, _label("examples in the batch")),
    }
    shares: tuple[tuple[str, Callable, str], ...] = (
        ("nep", negatives, "share of negative eigenvalues"),
        ("ape", positives, "mean of the positive eigenvalues"),
    )
    for name, function, about in shares:
        value, low, high = function(values, seed)
        data[name] = ((), value, _label(about))
        data[f"{name}_low"] = ((), low, _label(f"{about}, lower 95 % bound"))
        data[f"{name}_high"] = ((), high, _label(f"{about}, upper 95 % bound"))
    return data


def _leading(found: Piece, k: int) -> np.ndarray:
    """Of one end or both, the ``k`` of largest magnitude."""
    return np.argsort(-np.abs(found["values"]), kind="stable")[:k]


def _whole(found: Piece, k: int) -> dict[str, Any]:
    values, residuals, converged = (
        found[name][_leading(found, k)] for name in ("values", "residuals", "converged")
    )
    return {
        "set_eigenvalue": ("rank", values, _label("Hessian eigenvalue, whole set")),
        "set_residual": ("rank", residuals, _label("residual, whole set")),
        "set_converged": ("rank", converged, _label("converged, whole set")),
        "set_products": ((), found["products"], _label("Hessian-vector products, whole set")),
    }


def _ends(found: Piece, k: int) -> dict[str, Any]:
    dims = ("end", "rank")
    parts = [found[name].reshape(2, k) for name in ("values", "residuals", "converged")]
    return {
        "end_eigenvalue": (dims, parts[0], _label("Hessian eigenvalue at an end, whole set")),
        "end_residual": (dims, parts[1], _label("residual at an end, whole set")),
        "end_converged": (dims, parts[2], _label("converged at an end, whole set")),
    }


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
