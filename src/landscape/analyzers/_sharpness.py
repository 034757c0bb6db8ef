"""How much the loss rises around the weights: samples, before anything is averaged over them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landscape.analyzers import Progress
from landscape.analyzers._ascent import climb
from landscape.journal import Journal, Piece
from landscape.subject.filters import Part, draw, layout
from landscape.subject.forward import Statistics
from landscape.subject.loss import Loss
from landscape.subject.objective import Batches, Objective, ravel
from landscape.subject.penalty import Params
from landscape.subject.plane import Gauge, Plane

Rows = NDArray[np.float64]
GEOMETRIES = ("ball", "filter", "adaptive")
NORMS = ("ball", "adaptive")


class Probe(NamedTuple):
    """What is asked of a network, and of the same one rescaled: ``unit`` is radius 1 of the ball.

    The other attributes are settings of the analyzer.
    """

    loss: Loss
    directions: int
    unit: float
    m: int
    steps: int
    rho: tuple[float, float]
    seed: int
    statistics: Statistics = "eval"


def around(
    probe: Probe,
    model: nn.Module,
    batches: Batches,
    radii: tuple[float, ...],
    book: Journal,
    progress: Progress,
    label: str,
) -> Rows:
    """Increase of the loss and accuracy lost, ``(2, geometry, direction, radius)``."""
    own = Objective(model, batches, probe.loss).parameters()
    gauge = Gauge(model, batches, probe.loss, probe.statistics)
    base, _, right = gauge.measure(own)

    def rises(index: int) -> Rows:
        found = np.empty((2, len(GEOMETRIES), len(radii)))
        for row, direction in enumerate(drawn(model, own, probe, index)):
            line = Plane(own, (direction,))
            for column, radius in enumerate(radii):
                loss, _, hits = gauge.measure(line.at([radius]))
                found[:, row, column] = loss - base, right - hits
        return found

    return np.stack(_kept(book, progress, label, probe.directions, rises), 2)


def drawn(model: nn.Module, own: Params, probe: Probe, index: int) -> tuple[Params, ...]:
    """Step of radius 1 in each geometry, from the same normal numbers.

    Those of the ball and the adaptive one also move vectors.
    """
    whole: dict[str, Part | None] = {name: Part(tuple(p.shape), None) for name, p in own.items()}
    noise = draw(own, whole, seed=probe.seed, index=index)
    sigma = probe.unit / sum(p.numel() for p in own.values()) ** 0.5
    return (
        {name: sigma * g for name, g in noise.items()},
        draw(own, layout(model), seed=probe.seed, index=index),
        {name: own[name].abs() * g for name, g in noise.items()},
    )


def worst(
    probe: Probe,
    model: nn.Module,
    batches: Batches,
    book: Journal,
    progress: Progress,
    label: str,
) -> Rows:
    """Largest increase found up to each step of ascent, ``(norm, group, step)``."""
    groups = grouped(batches, probe.m)
    flat = ravel(Objective(model, groups, probe.loss).parameters())

    def climbs(number: int) -> Rows:
        group = groups[number : number + 1]
        risk = Objective(model, group, probe.loss, batchnorm=probe.statistics)
        seed = probe.seed + 1009 * number
        both = zip((torch.ones_like(flat), flat.abs()), probe.rho, strict=True)
        return np.stack([climb(risk, scale, rho, probe.steps, seed) for scale, rho in both])

    return np.stack(_kept(book, progress, label, len(groups), climbs), 1)


def _kept(
    book: Journal, progress: Progress, label: str, count: int, make: Callable[[int], Rows]
) -> list[Rows]:
    """Make so many samples, each a piece of the journal."""
    numbers = {f"{label.replace(', ', '-')}-{i:05d}": i for i in range(count)}

    def piece(name: str) -> Piece:
        return {"rows": make(numbers[name])}

    done = dict(progress(book.pieces(numbers, piece), count, label))
    return [done[name]["rows"] for name in numbers]


def grouped(batches: Batches, m: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Groups of ``m`` examples in their order; the rest, which fills none, is left out.

    Examples
    --------
    >>> batches = [(torch.arange(3), torch.arange(3)), (torch.arange(2), torch.arange(2))]
    >>> [inputs.tolist() for inputs, _ in grouped(batches, 2)]
    [[0, 1], [2, 0]]
    """
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    pairs = zip(inputs.split(m), targets.split(m), strict=True)
    return [pair for pair in pairs if len(pair[0]) == m]


def mean(samples: Rows) -> tuple[Rows, Rows]:
    """Over the last dimension but one, with the standard error; NaN for a single sample."""
    count = samples.shape[-2]
    with np.errstate(invalid="ignore"):
        value = samples.mean(-2)
        if count == 1:
            return value, np.full_like(value, np.nan)
        return value, samples.std(-2, ddof=1) / count**0.5


def flatness(radii: tuple[float, ...], samples: Rows, threshold: float) -> tuple[float, float]:
    """Radius at which the mean of samples ``(direction, radius)`` first reaches a threshold.

    Interpolated in the square of the radius, from 0 at 0, so that a parabola is met exactly; with
    the jackknife's standard error over directions.

    Examples
    --------
    >>> flatness((1.0, 3.0), np.array([[2.0, 18.0], [2.0, 18.0]]), 8.0)
    (2.0, 0.0)
    """
    value = _reached(radii, mean(samples)[0], threshold)
    count = len(samples)
    if count < 2:
        return value, np.nan
    rest = [_reached(radii, mean(np.delete(samples, i, 0))[0], threshold) for i in range(count)]
    return value, float(((count - 1) * np.var(rest)) ** 0.5)


def _reached(radii: tuple[float, ...], heights: Rows, threshold: float) -> float:
    squares, heights = np.array([0.0, *radii]) ** 2, np.array([0.0, *heights])
    above = np.flatnonzero(heights >= threshold)
    if not len(above):
        return float("nan")
    right = above[0]
    left = right - 1
    share = (threshold - heights[left]) / (heights[right] - heights[left])
    return float((squares[left] + share * (squares[right] - squares[left])) ** 0.5)


def factor(before: Rows, after: Rows) -> tuple[float, float]:
    """Ratio of the means of paired samples, with its standard error to first order.

    Examples
    --------
    >>> factor(np.array([1.0, 2.0]), np.array([0.5, 1.0]))
    (0.5, 0.0)
    """
    middle, count = before.mean(), len(before)
    if not middle:
        return float("nan"), float("nan")
    ratio = after.mean() / middle
    if count < 2:
        return float(ratio), float("nan")
    error = (after - ratio * before).std(ddof=1) / count**0.5
    return float(ratio), float(error / abs(middle))
