"""Spatial variance of feature maps."""

import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._taps import heard, tap_coordinates
from landscape.result import Result
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap


@analyzer
def variance(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    """Compute the spatial variance of the feature maps at every tap.

    For each image and channel the unbiased variance over the positions of the map, averaged over
    channels, then over images. It grows with the scale of the features; the normalised variance,
    variance over mean square, does not.

    Parameters
    ----------
    model
        Any network with feature maps or tokens.
    batches
        Re-iterable ``(inputs, targets)``; the targets are not used.
    taps
        Where to listen; discovered unless given.
    seed
        Not used by the statistic; stored for the record.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``tap``: ``variance``, ``normalised_variance`` and their standard errors over images
        (``variance_se``, ``normalised_variance_se``); coordinates ``depth``, ``kind``, ``module``,
        ``side``, ``grid``.

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
    return _measure(model, batches, taps=taps, progress=progress)


def _measure(
    model: nn.Module, batches: Batches, *, taps: list[Tap] | None, progress: Progress
) -> xr.Dataset:
    """Measure, as often as wanted: on other networks, on other images."""
    found, moments = heard(model, batches, taps, _of_images, progress, "Variance")
    mean = torch.stack([m.mean for m in moments])
    error = torch.stack([m.standard_error for m in moments])
    names = ("variance", "normalised_variance")
    long = ("feature-map variance", "feature-map variance / mean square")
    data = {}
    for i, (name, text) in enumerate(zip(names, long, strict=True)):
        data[name] = ("tap", mean[:, i].numpy(), {"long_name": text, "units": "1"})
        data[f"{name}_se"] = (
            "tap",
            error[:, i].numpy(),
            {"long_name": f"standard error of the {text}", "units": "1"},
        )
    return xr.Dataset(data, tap_coordinates(found))


def _of_images(maps: Tensor) -> Tensor:
    """Variance and normalised variance of each image: ``(b, c, h, w)`` to ``(b, 2)``."""
    maps = maps.double()
    spread = maps.var(dim=(2, 3)) if maps[0, 0].numel() > 1 else maps.new_zeros(maps.shape[:2])
    power = (maps**2).mean(dim=(2, 3))
    raw, size = spread.mean(1), power.mean(1)
    return torch.stack([raw, torch.where(size > 0, raw / size.clamp_min(1e-300), 0.0)], 1)
