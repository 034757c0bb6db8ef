"""Spectra of feature maps: log amplitudes as the paper has them, and power along true frequency."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._controls import controlled
from landscape.analyzers._patterns import GROUPS, Pattern
from landscape.analyzers._taps import (
    Heard,
    Outliers,
    along_taps,
    chunk,
    decibels,
    estimated,
    heard,
    settled,
    tap_coordinates,
)
from landscape.numerics.power2d import ANGLES, Plane, Window, plane, squares
from landscape.numerics.spectrum2d import Axis, frequencies, log_mean, log_read
from landscape.result import Result
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap

# columns of the statistics of an image; then its power in rings and in directions, and its levels
_DC, _AC, _LOW, _HIGH, _OUTLIERS, _RINGS = range(6)
_LEAST = 8  # bins of a well resolved grid
# share of the mean square that rounding leaves of a constant map: no power
_ROUNDING = (16 * torch.finfo(torch.float32).eps) ** 2


@analyzer
def fourier(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None = None,
    axis: Axis = "radial",
    window: Window = "none",
    outliers: Outliers = "keep",
    controls: Sequence[str] = (),
    twins: Sequence[nn.Module] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Compute spectra of the feature maps at every tap.

    **The paper's statistic.** For each image, ``L(f) = mean over channels of ln(|FFT2(x)| + 1e-6)``
    read along frequency, and relative to zero frequency, ``L(f) - L(0)``. If the mean of the maps
    grows, it falls at every frequency.

    **Power.** ``P(f) = mean over channels of |FFT2(x - mean(x))|^2 / (h w)``, a density: 1 for
    white noise of variance 1. From it, for each image, the ratio ``R = 10 log10(P[|f| >= 0.5 f_N] /
    P[0 < |f| <= 0.25 f_N])``, each the mean over the frequencies of a band, with the Nyquist
    frequency ``f_N`` of the map's own grid; and the step ``R(tap) - R(tap before)``. Where the grid
    changes there is no step: what subsampling does to a spectrum is not what a filter does.

    Mean and standard error over images. Grids differ between taps, and so do the frequencies that
    exist: they are coordinates, and nothing is interpolated.

    Parameters
    ----------
    model
        Any network with feature maps or tokens.
    batches
        Re-iterable ``(inputs, targets)``; the targets are not used.
    taps
        Where to listen; discovered unless given.
    axis
        Of the paper's statistic: ``"radial"``, the mean over rings, or ``"diagonal"``, equal
        frequencies along both axes (the paper's; its last bin is at radius sqrt(2) times the
        printed frequency). Power is always radial.
    window
        Of the power: ``"none"``; ``"hann"`` or ``"dct"`` against leakage, as opposite borders of a
        map do not fit together (the DCT cannot tell 45 from 135 degrees).
    outliers
        Tokens with more than 5 times the median norm of their map: ``"keep"`` them, or put the
        ``"median"`` of each channel in their place. Their share is reported either way.
    controls, twins
        What else to measure, to see what an effect is due to: the network on other images, its
        pixels ``"shuffled"``, its ``"phase"`` drawn anew, ``"noise"``, one ``"constant"`` colour;
        ``"untrained"`` twins of the network, which have to be given; the network with ``"uniform"``
        attention or its ``"mean"`` over the images. Variables ``control_...`` over ``control``.
    seed
        Of the controls; the statistics have none.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Each with standard error ``_se`` unless said otherwise. Over ``tap``, ``bin`` (NaN where a
        grid has no such bin): ``log_amplitude``, ``relative_log_amplitude``; their ``frequency``.
        Over ``tap``, ``ring``: ``power``, which is ``content_power``, that of the maps without
        their mean over images, plus ``fixed_power``, that of this mean, the pattern that all images
        share (unbiased; errors by the jackknife over 8 groups of images). Over ``tap``: ``ratio``
        and ``step`` in dB, ``dc`` (mean square of the means of the maps), ``ac`` (their variance),
        ``outliers``, and without error ``dead``, the share of channels whose map is constant in
        every image (``ratio`` and ``step`` are NaN if one image has no power in one of the bands).
        Over ``tap``, ``angle``: ``direction_power`` by the direction of the wave.
        Coordinates: along (tap, ring) ``frequency_sample``, in cycles per sample of the own grid,
        and ``frequency_pixel``, in cycles per pixel of the input (as if each map spans it); along
        ``tap`` ``depth``, ``kind``, ``module``, ``side``, ``grid``, and ``low_resolution``: fewer
        than 8 bins, so that few frequencies make a band (where none is as low as 0.25 f_N, the
        lowest stand for the low band).

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
    measure = partial(_measure, taps=taps, axis=axis, window=window, outliers=outliers)
    return controlled(measure, model, batches, controls, twins, seed, progress)


def _measure(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None,
    axis: Axis,
    window: Window,
    outliers: Outliers,
    progress: Progress,
) -> xr.Dataset:
    """Measure, as often as wanted: on other networks, on other images."""
    patterns: dict[Tap, Pattern] = {}
    batches = list(batches)
    pieces = -(-GROUPS // len(batches))

    def of_images(tap: Tap, maps: Tensor) -> Tensor:
        half = plane(*maps.shape[2:], window)
        maps, rows = _statistics(maps, axis, window, outliers, half)
        if tap not in patterns:
            patterns[tap] = Pattern.empty(maps, half.rings)
        patterns[tap].add(maps, rows[:, _RINGS : _RINGS + half.rings], pieces)
        return rows

    def ratio(rows: Tensor) -> Tensor:
        least = _ROUNDING * rows[:, _DC : _DC + 1]
        bands = rows[:, _LOW : _HIGH + 1]
        low, high = torch.where(bands > least, bands, torch.nan).split(1, 1)
        return decibels(high / low)

    told = heard(model, batches, taps, of_images, ratio, progress, "Fourier")
    return _dataset(told, [patterns[tap] for tap, _ in told.found], axis, window)


def _statistics(
    maps: Tensor, axis: Axis, window: Window, outliers: Outliers, half: Plane
) -> tuple[Tensor, Tensor]:
    """What is left of the maps, and all statistics of each image, float64 ``(b, n)``.

    One transform serves them all, and some images at a time stay in the cache.
    """
    h, w = maps.shape[2:]
    parts, shares, every, levels = [], [], [], []
    for part in maps.split(chunk(maps)):
        part, share = settled(part, outliers)
        parts.append(part)
        shares.append(share)
        plain = squares(part)
        levels.append(log_mean(plain, h, w, axis))
        own = plain if window == "none" else squares(part, window)
        every.append(torch.cat([plain[..., 0].mean(1)[:, None], own.mean(1)], 1))
    both, level = torch.cat(every).double(), log_read(torch.cat(levels), h, w, axis)
    dc = both[:, :1] / (h * w) ** 2
    power = both[:, 1:] @ half.matrix.to(both.device)
    rings, bands, ways = power.split([half.rings, 3, len(ANGLES)], 1)
    far = torch.cat(shares)[:, None].to(dc)
    rows = torch.cat([dc, bands, far, rings, ways, level, level - level[:, :1]], 1)
    return maps if outliers == "keep" else torch.cat(parts), rows


def _dataset(told: Heard, patterns: Sequence[Pattern], axis: Axis, window: Window) -> xr.Dataset:
    """Name and label what was heard."""
    grids = [size for _, size in told.found]
    true = [frequencies(h, w, axis) for h, w in grids]
    halves = [plane(h, w, window) for h, w in grids]
    bins, rings = max(map(len, true)), max(1, *(half.rings for half in halves))
    cut = [
        r.split([_RINGS, half.rings, len(ANGLES), len(f), len(f)], 1)
        for r, half, f in zip(told.values, halves, true, strict=True)
    ]
    data: dict[str, Any] = {}
    for i, name, text in (
        (3, "log_amplitude", "log amplitude"),
        (4, "relative_log_amplitude", "Δ log amplitude"),
    ):
        mean, error = (_pad([c[i][j] for c in cut], bins) for j in (0, 1))
        data |= estimated(name, ("tap", "bin"), mean, error, text, "ln")
    split = [pattern.split(window) for pattern in patterns]
    for name, text, parts in (
        ("power", "AC power", [c[1] for c in cut]),
        ("content_power", "power of what differs between images", [s[:, 0] for s in split]),
        ("fixed_power", "power of what all images share", [s[:, 1] for s in split]),
    ):
        mean, error = (_pad([p[j] for p in parts], rings) for j in (0, 1))
        data |= estimated(name, ("tap", "ring"), mean, error, text, "1")
    mean, error = torch.stack([c[2] for c in cut], 1).numpy()
    text = "AC power by direction of the wave"
    data |= estimated("direction_power", ("tap", "angle"), mean, error, text, "1")
    data |= along_taps("ratio", told.levels, 0, "high / low frequency power", "dB")
    data |= along_taps("step", told.steps, 0, "step of high / low power", "dB")
    for name, column, text in (
        ("dc", _DC, "mean square of the means of the maps"),
        ("ac", _AC, "mean AC power"),
        ("outliers", _OUTLIERS, "share of outlier tokens"),
    ):
        data |= along_taps(name, told.values, column, text, "1")
    dead = [pattern.dead() for pattern in patterns]
    data["dead"] = ("tap", dead, {"long_name": "share of dead channels", "units": "1"})
    return xr.Dataset(data, _coordinates(told, true, halves, bins, rings))


def _coordinates(
    told: Heard, true: Sequence[Tensor], halves: Sequence[Plane], bins: int, rings: int
) -> dict[str, Any]:
    def entry(dims: Any, values: Any, long_name: str, units: str = "1") -> Any:
        return dims, values, {"long_name": long_name, "units": units}

    def pixels(half: Plane, size: tuple[int, int]) -> Tensor:
        if told.size is None:
            return torch.full((half.rings,), torch.nan)
        spacing = [whole / part for whole, part in zip(told.size, size, strict=True)]
        return half.radius(*spacing)

    grids = [size for _, size in told.found]
    own = [half.radius() for half in halves]
    physical = [pixels(half, size) for half, size in zip(halves, grids, strict=True)]
    few = [min(h, w) // 2 + 1 < _LEAST for h, w in grids]
    axes = ("tap", "ring")
    return tap_coordinates(told.found) | {
        "low_resolution": entry("tap", few, f"fewer than {_LEAST} frequency bins"),
        "bin": entry("bin", np.arange(bins), "frequency bin"),
        "frequency": entry(("tap", "bin"), _pad(true, bins), "frequency", "π rad/sample"),
        "ring": entry("ring", np.arange(1, rings + 1), "ring of frequencies"),
        "frequency_sample": entry(axes, _pad(own, rings), "frequency", "cycles/sample"),
        "frequency_pixel": entry(axes, _pad(physical, rings), "frequency", "cycles/pixel"),
        "angle": entry("angle", list(ANGLES), "direction of the wave", "degrees"),
    }


def _pad(rows: Sequence[Tensor], width: int) -> np.ndarray:
    out = np.full((len(rows), width), np.nan)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values.numpy()
    return out
