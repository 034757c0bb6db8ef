"""Minimum or saddle, where the gradient is about zero."""

import json
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._critical import SIDES, STEPS, Curvature, Lines, decide, ends, falls, walk
from landscape.analyzers._curvature import checked, objective, operator
from landscape.numerics.quadrature import Estimate, jackknife, slq
from landscape.result import Result
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches, ravel
from landscape.subject.penalty import Penalty


@analyzer
def critical(
    model: nn.Module,
    batches: Batches,
    *,
    tol: float = 1e-3,
    tol_curvature: float = 1e-3,
    max_products: int = 200,
    probes: int = 4,
    steps: int = 40,
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0,
    loss: Loss = cross_entropy,
    parameters: str | None = None,
    batchnorm: Statistics = "eval",
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Tell whether the weights are a minimum, a saddle, or no critical point of the loss at all.

    Three measurements of the mean loss over all batches plus the penalty: both ends of the spectrum
    of the Hessian (Lanczos); the loss along ``-g``, the descent test, and along ``+v`` and ``-v``
    with ``v`` the Ritz vector of the smallest eigenvalue, the escape test; and the rounding noise
    of the loss, below which no decrease counts. A line counts up to where it first rises beyond the
    noise: a lower place behind a barrier is no news about this one.

    ============================  ==================================================================
    verdict (attribute)           when
    ============================  ==================================================================
    ``"not a critical point"``    the slope lowers the loss by more than ``tol * |risk|``
    ``"saddle"``                  else, if the loss falls along a line, faster than linearly, with
                                  negative curvature or where the curvature is flat
    ``"maximum"``                 the same, with both ends of the spectrum negative
    ``"minimum"``                 nothing falls so, and no curvature is below ``-tol_curvature`` of
                                  the largest: to second order, in the directions looked at
    ``"undecided"``               else; the attribute ``reason`` says why
    ============================  ==================================================================

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``: one set, whose mean loss it is.
    tol
        Decrease by the slope that makes it no critical point, relative to the risk. An offset of
        the loss shifts the risk: give losses that are 0 at best.
    tol_curvature
        Curvature that counts, relative to the eigenvalue of largest magnitude. Lanczos goes on
        until residuals are a tenth of that, or less.
    max_products
        Hessian-vector products after which Lanczos gives up.
    probes, steps
        As in `landscape.density`, for the negative mass; no probes skip it.
    weight_decay, loss
        As in `landscape.hessian`.
    parameters
        Only parameters whose names match this regular expression vary.
    batchnorm
        ``"eval"`` or ``"batch"``: running statistics, or those of each batch.
    seed
        Of the start vector, the probes and the noise.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``end``: ``eigenvalue`` (the true largest is not below it, the true smallest not above:
        they are Rayleigh quotients), ``residual`` (an eigenvalue of H lies within it), ``error``,
        ``missed`` (eigenvalues beyond, expected not to have been seen), ``converged``. Over
        ``side``, ``step`` (relative to the norm of the weights, or absolute where that is 0):
        ``change`` of the loss and its ``noise``; over ``side``: ``slope``, and the largest
        ``decrease``, of that by the slope ``descent``, and where faster than linear ``escape``.
        ``risk``, ``rounding``, ``gradient_norm``, ``relative_gradient`` (``|g| |w| / |risk|``),
        ``weight_norm``, ``negative_mass`` with ``_se``, ``products``.

    Notes
    -----
    A finite number of lines cannot prove a minimum: a saddle of higher order (``x^4 - y^4``) may
    escape all of them. ``v`` is random where the curvature is flat.

    References
    ----------
    Dauphin et al. (2014), "Identifying and attacking the saddle point problem in high-dimensional
    non-convex optimization".

    Examples
    --------
    A product of two weights has a saddle where both are zero:

    >>> import landscape
    >>> net = torch.nn.Sequential(*(torch.nn.Linear(1, 1, bias=False) for _ in range(2))).double()
    >>> for p in net.parameters(): _ = torch.nn.init.zeros_(p)
    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> square = lambda outputs, targets: (outputs - targets).square().sum(1)
    >>> found = landscape.critical(net, [(one, one)], loss=square, probes=0)
    >>> found.verdict, found.eigenvalue.values.round(6), found.gradient_norm.item()
    ('saddle', array([ 2., -2.]), 0.0)
    """
    if not (tol > 0 and 0 < tol_curvature < 1 and probes >= 0):
        raise ValueError(
            "tol must be positive, tol_curvature between 0 and 1 and probes at least 0, got "
            f"{tol}, {tol_curvature} and {probes}"
        )
    risk = objective(
        model,
        batches,
        loss=loss,
        weight_decay=weight_decay,
        matrix="hessian",
        parameters=parameters,
        batchnorm=batchnorm,
    )
    trust = checked(risk, seed)
    product, like = operator(risk)
    curved, axis = ends(product, like, tol_curvature, max_products, seed)
    gradient = ravel(risk.gradient(risk.parameters()))
    lines = walk(risk, like, gradient, axis, seed, progress)
    mass, spent = Estimate(torch.tensor(torch.nan), torch.tensor(torch.nan)), 0
    if probes:
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
        mass, spent = jackknife(found, _negative), found.products
    parts = zip(lines.change, lines.noise, lines.slope, strict=True)
    dropped = np.array([falls(change, noise, lines.step, slope) for change, noise, slope in parts])
    verdict, reason = decide(lines, curved, dropped, tol, tol_curvature)
    size, weight = (float(torch.linalg.vector_norm(x.double())) for x in (gradient, like))
    facts = {
        "risk": (lines.risk, "risk"),
        "rounding": (lines.floor, "rounding noise of the risk at the weights"),
        "gradient_norm": (size, "norm of the gradient"),
        "weight_norm": (weight, "norm of the weights"),
        "relative_gradient": (
            _over(size * weight, lines.risk),
            "norm of the gradient times that of the weights, over the risk",
        ),
        "negative_mass": (float(mass.value), "share of negatives in the magnitudes"),
        "negative_mass_se": (
            float(mass.error),
            "standard error of the share of negatives in the magnitudes",
        ),
        "products": (curved.products + spent, "Hessian-vector products"),
    }
    data = {name: ((), value, _label(about)) for name, (value, about) in facts.items()}
    return (
        _labelled(lines, curved, dropped)
        .assign(data)
        .assign_attrs(verdict=verdict, reason=reason, selfcheck=json.dumps(trust, sort_keys=True))
    )


def _labelled(lines: Lines, curved: Curvature, dropped: np.ndarray) -> Result:
    both, end = ("side", "step"), "end"
    data: dict[str, Any] = {
        "eigenvalue": (end, curved.values, _label("Hessian eigenvalue")),
        "residual": (end, curved.residuals, _label("residual |Hv - λv|")),
        "error": (end, curved.errors, _label("estimated error of the eigenvalue")),
        "missed": (end, curved.missed, _label("eigenvalues beyond, expected to be unseen")),
        "converged": (end, curved.converged, _label("residual below tolerance")),
        "change": (both, lines.change, _label("change of the loss")),
        "noise": (both, lines.noise, _label("rounding noise of the change")),
        "slope": ("side", lines.slope, _label("slope of the loss at the weights")),
        "decrease": ("side", dropped[:, 0], _label("largest decrease before the first rise")),
        "descent": ("side", dropped[:, 1], _label("decrease that the slope explains")),
        "escape": ("side", dropped[:, 2], _label("decrease where faster than linear")),
    }
    coords = {
        end: (end, ["largest", "smallest"], _label("end of the spectrum")),
        "side": ("side", list(SIDES), _label("direction")),
        "step": ("step", STEPS, _label("step over the norm of weights")),
    }
    return xr.Dataset(data, coords)


def _over(part: float, whole: float) -> float:
    if whole:
        return part / abs(whole)
    return np.inf if part else np.nan


def _negative(nodes: Tensor, weights: Tensor) -> Tensor:
    total = (weights * nodes.abs()).sum()
    return (weights * (-nodes).clamp(min=0)).sum() / total if total else total


def _label(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}
