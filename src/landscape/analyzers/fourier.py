"""Log amplitude of feature maps along frequency."""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._taps import heard, tap_coordinates
from landscape.numerics.spectrum2d import Axis, frequencies, log_amplitude
from landscape.result import Result
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap


@analyzer
def fourier(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None = None,
    axis: Axis = "radial",
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Compute the relative log amplitude of the feature maps at every tap.

    For each image, ``L(f) = mean over channels of ln(|FFT2(x)| + 1e-6)`` read along frequency;
    relative to zero frequency, ``L(f) - L(0)``. Mean and standard error over images. Grids differ
    between taps, and so do the frequencies that exist: they are a coordinate over (tap, bin), in
    units of pi radians per sample of the map's own grid. A step between taps of different grids is
    not the effect of a filter.

    Parameters
    ----------
    model
        Any network with feature maps or tokens.
    batches
        Re-iterable ``(inputs, targets)``; the targets are not used.
    taps
        Where to listen; discovered unless given.
    axis
        ``"radial"``, the mean over rings, or ``"diagonal"``, equal frequencies along both axes (the
        paper's; its last bin is at radius sqrt(2) times the printed frequency).
    seed
        Not used by the statistic; stored for the record.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``tap``, ``bin`` (NaN where a grid has no such bin): ``log_amplitude``,
        ``relative_log_amplitude``, each with standard error ``_se``; coordinates ``frequency``
        (tap, bin) and along ``tap`` ``depth``, ``kind``, ``module``, ``side``, ``grid``.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?", figure 2a.

    Examples
    --------
    A 2x2 box blur takes a white map to zero at the Nyquist frequency:

    >>> import landscape, torch
    >>> blur = torch.nn.Conv2d(1, 1, 2, padding=1, padding_mode="circular", bias=False)
    >>> _ = torch.nn.init.constant_(blur.weight, 0.25)
    >>> impulse = torch.zeros(1, 1, 7, 7)
    >>> impulse[..., 3, 3] = 1
    >>> net = torch.nn.Sequential(blur, torch.nn.Conv2d(1, 1, 1))
    >>> result = landscape.fourier(net, [(impulse, torch.zeros(1))], axis="diagonal")
    >>> bool(result.relative_log_amplitude[0].diff("bin").max() < 0)
    True
    """
    return _measure(model, batches, taps=taps, axis=axis, progress=progress)


def _measure(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None,
    axis: Axis,
    progress: Progress,
) -> xr.Dataset:
    """Measure, as often as wanted: on other networks, on other images."""

    def of_images(maps: Tensor) -> Tensor:
        level = log_amplitude(maps, axis).double()
        return torch.stack([level, level - level[:, :1]], 1)

    found, moments = heard(model, batches, taps, of_images, progress, "Fourier")
    grids = [size for _, size in found]
    true = [frequencies(h, w, axis) for h, w in grids]
    bins = max(len(f) for f in true)
    mean = [m.mean for m in moments]
    error = [m.standard_error for m in moments]
    data = {}
    for i, (name, text) in enumerate(
        (("log_amplitude", "log amplitude"), ("relative_log_amplitude", "Δ log amplitude"))
    ):
        values = _pad([m[i] for m in mean], bins)
        errors = _pad([e[i] for e in error], bins)
        data[name] = (("tap", "bin"), values, {"long_name": text, "units": "ln"})
        data[f"{name}_se"] = (
            ("tap", "bin"),
            errors,
            {"long_name": f"standard error of the {text}", "units": "ln"},
        )
    coords = tap_coordinates(found)
    coords["bin"] = ("bin", np.arange(bins), {"long_name": "frequency bin", "units": "1"})
    coords["frequency"] = (
        ("tap", "bin"),
        _pad(true, bins),
        {"long_name": "frequency", "units": "π rad/sample"},
    )
    return xr.Dataset(data, coords)


def _pad(rows: Sequence[Tensor], bins: int) -> np.ndarray:
    out = np.full((len(rows), bins), np.nan)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values.numpy()
    return out
