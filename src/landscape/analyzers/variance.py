"""Spatial variance of feature maps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._controls import controlled
from landscape.analyzers._taps import (
    Outliers,
    along_taps,
    chunk,
    decibels,
    heard,
    settled,
    tap_coordinates,
)
from landscape.result import Result
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap


@analyzer
def variance(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None = None,
    outliers: Outliers = "keep",
    controls: Sequence[str] = (),
    twins: Sequence[nn.Module] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    """Compute the spatial variance of the feature maps at every tap.

    For each image and channel the unbiased variance over the positions of the map, averaged over
    channels, then over images. It grows with the scale of the features; the normalised variance,
    variance over mean square, does not. The step of an operation is ``10 log10`` of the ratio to
    the variance at the tap before, for each image, where both maps have one grid: a change of the
    grid averages or drops positions, and no operation can be told from that.

    Parameters
    ----------
    model
        Any network with feature maps or tokens.
    batches
        Re-iterable ``(inputs, targets)``; the targets are not used.
    taps
        Where to listen; discovered unless given.
    outliers
        Tokens with more than 5 times the median norm of their map: ``"keep"`` them, or put the
        ``"median"`` of each channel in their place. Their share is reported either way.
    controls, twins
        What else to measure, as in `landscape.fourier`.
    seed
        Of the controls; the statistics have none.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``tap``: ``variance``, ``normalised_variance`` and their standard errors over images
        (``variance_se``, ``normalised_variance_se``), likewise ``step`` and ``normalised_step`` in
        dB (NaN at the first tap, after a change of the grid, and if a variance is 0), and the share
        of ``outliers``; coordinates ``depth``, ``kind``, ``module``, ``side``, ``grid``.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?", figure 9.

    Examples
    --------
    A constant map has variance 0:

    >>> import landscape, torch
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.MaxPool2d(2))
    >>> images = [(torch.ones(2, 1, 4, 4), torch.zeros(2))]
    >>> landscape.variance(net, images).variance.values
    array([0., 0.])
    """
    measure = partial(_measure, taps=taps, outliers=outliers)
    return controlled(measure, model, batches, controls, twins, seed, progress)


def _measure(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None,
    outliers: Outliers,
    progress: Progress,
) -> xr.Dataset:
    """Measure, as often as wanted: on other networks, on other images."""

    def of_images(tap: Tap, maps: Tensor) -> Tensor:
        rows = []
        for part in maps.split(chunk(maps)):
            part, share = settled(part, outliers)
            rows.append(torch.cat([_variances(part), share[:, None].to(maps.device)], 1))
        return torch.cat(rows)

    def levels(rows: Tensor) -> Tensor:
        return decibels(rows[:, :2])

    told = heard(model, batches, taps, of_images, levels, progress, "Variance")
    data: dict[str, Any] = {}
    for i, (name, text) in enumerate(
        (
            ("variance", "feature-map variance"),
            ("normalised_variance", "feature-map variance / mean square"),
            ("outliers", "share of outlier tokens"),
        )
    ):
        data |= along_taps(name, told.values, i, text, "1")
    for i, (name, text) in enumerate(
        (
            ("step", "step of the variance"),
            ("normalised_step", "step of the variance / mean square"),
        )
    ):
        data |= along_taps(name, told.steps, i, text, "dB")
    return xr.Dataset(data, tap_coordinates(told.found))


def _variances(maps: Tensor) -> Tensor:
    """Variance and normalised variance of each image: ``(b, c, h, w)`` to ``(b, 2)``."""
    maps = maps.double().flatten(2)
    middle = maps.mean(2)
    squares = (maps - middle[..., None]).square_().sum(2)  # the library's own is 4 times slower
    n = maps.shape[2]
    raw = squares.mean(1) / max(n - 1, 1)
    size = (middle.square() + squares / n).mean(1)
    return torch.stack([raw, torch.where(size > 0, raw / size.clamp_min(1e-300), 0.0)], 1)
