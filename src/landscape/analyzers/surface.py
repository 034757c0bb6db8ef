"""Slices of the loss surface."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.result import Result
from landscape.subject.filters import filter_axes, random_direction
from landscape.subject.objective import (
    Batches,
    Loss,
    Objective,
    cross_entropy,
    ravel,
    unravel,
)


@analyzer
def surface(
    model: nn.Module,
    batches: Batches,
    *,
    points: int | tuple[int, int] = 11,
    span: float = 1.0,
    loss: Loss = cross_entropy,
    weight_decay: float = 0.0,
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Compute the loss on a random plane through the weights, filter by filter.

    ``w(alpha, beta) = w + alpha d1 + beta d2`` with two Gaussian directions whose filters have the
    norm of the network's filters (Li et al. 2018). Vectors (biases, normalisation) and position
    tables stay fixed; BatchNorm statistics are frozen. All points see the same batches, so the
    surface has no sampling noise from point to point; its standard error is that of the sample.
    NLL and L2 are different things and are kept apart.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``; frozen.
    points
        Grid points along each direction, or along (alpha, beta). Odd, to hit the centre.
    span
        The grid is ``linspace(-span, span, points)``; 1 moves each filter by its own norm.
    loss
        ``(outputs, targets)`` to one number per example.
    weight_decay
        Only stored, so that a plot can add ``weight_decay * l2``.
    seed
        Of the directions: each tensor's is drawn from the seed and its name.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``alpha``, ``beta``: ``nll`` (mean, nats), ``nll_se`` (standard error over examples),
        ``accuracy`` (share; of the largest target where targets are soft) and ``l2`` (half the sum
        of squares of all trainable parameters, exact in closed form); what is not finite stays so.

    References
    ----------
    Li et al. (2018), "Visualizing the Loss Landscape of Neural Nets", section 4.

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
    counts = (points, points) if isinstance(points, int) else points
    if min(counts) < 1 or not span > 0:
        raise ValueError(f"points must be at least 1 and span positive, got {points} and {span}")
    objective = Objective(model, batches, loss)
    params = objective.parameters()
    axes = filter_axes(model)
    first, second = (random_direction(params, axes, 2 * seed + i) for i in (0, 1))
    origin, d1, d2 = ravel(params), ravel(first), ravel(second)
    alpha, beta = (_axis(span, n) for n in counts)
    measured = np.empty((4, *counts))
    gram = _gram(origin, d1, d2)
    moving = torch.empty_like(origin)
    grid = [(i, j) for i in range(counts[0]) for j in range(counts[1])]
    for i, j in progress(grid, len(grid), "Surface"):
        torch.add(origin, d1, alpha=alpha[i], out=moving)
        moving.add_(d2, alpha=beta[j])
        measured[:3, i, j] = _point(objective, unravel(moving, params))
        step = np.array([1.0, alpha[i], beta[j]])
        measured[3, i, j] = 0.5 * step @ gram @ step
    names = {
        "nll": ("negative log-likelihood", "nats"),
        "nll_se": ("standard error of the negative log-likelihood", "nats"),
        "accuracy": ("accuracy", "1"),
        "l2": ("half squared norm of the weights", "1"),
    }
    data = {
        name: (("alpha", "beta"), values, {"long_name": text, "units": units})
        for (name, (text, units)), values in zip(names.items(), measured, strict=True)
    }
    coords = {
        name: (name, values, {"long_name": text, "units": "filter norms"})
        for name, values, text in (("alpha", alpha, "α"), ("beta", beta, "β"))
    }
    result = xr.Dataset(data, coords)
    scale = (gram[1, 1] * gram[2, 2]) ** 0.5
    result.attrs["cosine"] = float(gram[1, 2] / scale) if scale else float("nan")
    return result


def _axis(span: float, count: int) -> np.ndarray:
    """Symmetric grid whose middle point is exactly 0 when the count is odd."""
    return np.zeros(1) if count == 1 else span * (2 * np.arange(count) / (count - 1) - 1)


def _gram(*vectors: Tensor) -> np.ndarray:
    """Inner products in float64: ``|w + a d1 + b d2|^2`` is a quadratic form in (1, a, b)."""
    wide = [v.double() for v in vectors]
    return np.array([[float(a @ b) for b in wide] for a in wide])


@torch.no_grad()
def _point(objective: Objective, params: dict[str, Tensor]) -> tuple[float, float, float]:
    """Mean, standard error and accuracy over all examples; sums in float64."""
    losses, hits = [], 0
    for loss, outputs, targets in objective.examples(params):
        losses.append(loss.double().cpu())
        labels = targets if targets.ndim == 1 else targets.argmax(1)
        hits += int((outputs.argmax(1) == labels).sum()) if outputs.ndim == 2 else 0
    every = torch.cat(losses)
    error = every.std() / len(every) ** 0.5 if len(every) > 1 else torch.tensor(torch.nan)
    return float(every.mean()), float(error), hits / len(every)
