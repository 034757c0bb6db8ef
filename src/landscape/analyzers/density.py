"""The density of all eigenvalues of the Hessian."""

import json
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._curvature import checked, objective, operator
from landscape.numerics import broadening
from landscape.numerics.quadrature import Quadrature, frobenius, jackknife, slq, trace
from landscape.result import Result
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches
from landscape.subject.penalty import Penalty
from landscape.subject.products import Matrix

_POINTS = 1000


@analyzer
def density(
    model: nn.Module,
    batches: Batches,
    *,
    probes: int = 8,
    steps: int = 60,
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0,
    loss: Loss = cross_entropy,
    matrix: Matrix = "hessian",
    parameters: str | None = None,
    batchnorm: Statistics = "eval",
    threshold: float | None = None,
    seed: int = 0,
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
    seed
        Of the vectors.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        ``node``, ``weight`` over ``probe``, ``step``, the ingredients; ``density`` with
        ``density_se`` over ``eigenvalue`` (1 per decade), of stated ``resolution`` (decades);
        ``size``, how many eigenvalues; ``trace``, ``frobenius`` (the sum of squares),
        ``negative_mass`` (the share of the negative eigenvalues in the sum of magnitudes), each
        with ``_se`` over the probes.

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
    trust = checked(risk, seed)
    product, like = operator(risk)
    found = slq(
        product,
        like.numel(),
        probes=probes,
        steps=steps,
        seed=seed,
        dtype=like.dtype,
        device=like.device,
        progress=progress,
    )
    return _labelled(found, threshold).assign_attrs(selfcheck=json.dumps(trust, sort_keys=True))


def _labelled(found: Quadrature, threshold: float | None) -> Result:
    start = threshold if threshold is not None else broadening.resolution(found) or 1.0
    if not start > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    width = broadening.resolution(found, threshold=start) or 1 / _POINTS
    points = broadening.grid(found, _POINTS, width=width, threshold=start)
    value, error, width = broadening.density(found, points, width=width, threshold=start)
    sums = {
        "trace": (trace(found), "trace"),
        "frobenius": (frobenius(found), "sum of squared eigenvalues"),
        "negative_mass": (jackknife(found, _negative), "share of negatives in the magnitudes"),
    }
    data: dict[str, Any] = {
        "node": (("probe", "step"), found.nodes.numpy(), _label("quadrature node")),
        "weight": (("probe", "step"), found.weights.numpy(), _label("quadrature weight")),
        "density": ("eigenvalue", value.numpy(), _label("eigenvalue density", "1/decade")),
        "density_se": ("eigenvalue", error.numpy(), _label("standard error", "1/decade")),
        "resolution": ((), width, _label("standard deviation of the broadening", "decades")),
        "threshold": ((), start, _label("magnitude below which the axis is linear")),
        "size": ((), found.size, _label("number of eigenvalues")),
        "products": ((), found.products, _label("matrix-vector products")),
    }
    for name, (estimate, about) in sums.items():
        data[name] = ((), float(estimate.value), _label(about))
        data[f"{name}_se"] = ((), float(estimate.error), _label(f"standard error of the {about}"))
    coords = {
        "eigenvalue": ("eigenvalue", points.numpy(), _label("Hessian eigenvalue")),
        "probe": ("probe", np.arange(len(found.nodes)), _label("probe")),
    }
    return xr.Dataset(data, coords)


def _negative(nodes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    total = (weights * nodes.abs()).sum()
    return (weights * (-nodes).clamp(min=0)).sum() / total if total else total


def _label(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}
