"""Feature maps in frequency space: log amplitudes (Park & Kim 2022, figures 2a and 8), power."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from numpy.typing import NDArray

from landscape.plots import _power, style
from landscape.plots._depth import profile
from landscape.plots._twin import beneath
from landscape.result import Result

VIEWS = ("spectra", "depth", "heat", "steps")
ON_REQUEST = ("heat", "steps")

# the steps along depth are small beside the distance between networks: their y axes are their own
LAYOUT = style.Layout(share=("xy", "x", "xy", "x"), height=0.85)


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "spectra",
    spans: bool = True,
    controls: Sequence[str] | None = None,
    legend: bool = True,
    colorbar: bool | Sequence[Axes] = True,
    limits: tuple[float, float] | None = None,
    **kwargs: Any,
) -> Axes:
    """Draw the paper's log amplitudes, or the power and its steps from operation to operation.

    Parameters
    ----------
    result
        Of ``landscape.fourier``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"spectra"``: one line a tap, its colour is the depth. ``"depth"``: the highest frequency
        of each tap with standard errors; a dashed upright is where the grid changes, and with it
        the highest frequency, which stands above the axes. ``"heat"``: power over depth and
        frequency in cycles per pixel of the input, which is the same for all networks; grey where
        a grid has no such frequency. ``"steps"``: the change of high over low frequency power by
        each operation, with 95 % intervals; the band around 0 is practically none. There is no
        step where the grid changes.
    spans
        Views ``"depth"`` and ``"steps"``: mark the changes of the grid, and shade the kinds of
        operation (``"depth"``).
    controls
        Views ``"depth"`` and ``"steps"``: which to draw in grey; all of the result by default, none
        if empty.
    legend
        Views ``"depth"`` and ``"steps"``: draw a legend of the kinds.
    colorbar
        Views ``"spectra"`` and ``"heat"``: draw one beside the axes, or beside all of those given.
    limits
        View ``"heat"``: ends of the colours in dB.
    kwargs
        For ``ax.plot`` (spectra), ``ax.errorbar`` (depth, steps) or ``ax.pcolormesh`` (heat).
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    if view == "heat":
        style.require(result, "power", "ac", "frequency_sample", "frequency_pixel", "grid")
        ax = style.axes(ax)
        _power.heat(ax, result, colorbar, limits, **kwargs)
        return ax
    if view == "steps":
        style.require(result, "step", "step_se", "depth", "kind", "grid")
        ax = style.axes(ax)
        _power.steps(ax, result, spans, controls, **kwargs)
        if legend:
            ax.legend()
        return ax
    needed = ("relative_log_amplitude", "relative_log_amplitude_se", "frequency", "depth")
    style.require(result, *needed, "kind", "grid")
    if view == "spectra":
        ax = style.axes(ax)
        _spectra(ax, result, colorbar, **kwargs)
        return ax
    highest = _highest(result)
    ax = style.axes(ax)
    _depth(ax, result, highest, spans, **kwargs)
    taps = np.arange(len(highest))
    beneath(ax, result, "relative_log_amplitude", lambda x: x[taps, highest], controls=controls)
    if legend:
        ax.legend()
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """The same colours for several heat maps."""
    if kwargs.get("view") != "heat":
        return {}
    for result in results:
        style.require(result, "power", "ac")
    return {"limits": _power.extent(results)}


def _spectra(ax: Axes, result: Result, colorbar: bool | Sequence[Axes], **kwargs: Any) -> None:
    # without the lightest end, which is lost on white paper
    cmap = ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.9, 256)))
    paint = ScalarMappable(Normalize(0, 1), cmap)
    amplitude, frequency = result["relative_log_amplitude"], result["frequency"]
    lost = np.zeros(len(amplitude), dtype=bool)
    for i in np.argsort(result["depth"].values, kind="stable"):
        bins = np.isfinite(frequency.values[i])
        values = amplitude.values[i, bins]
        lost[i] = not np.isfinite(values).all()
        color = cmap(float(result["depth"].values[i]))
        look: dict[str, Any] = {
            "color": color,
            "marker": ".",
            "markersize": 2.5,
            "linewidth": 0.9,
        } | kwargs
        ax.plot(frequency.values[i, bins], values, **look)
    style.title(ax, result, lost, "taps")
    style.unit_axis(ax)
    ax.set_xlabel(style.label(frequency))
    ax.set_ylabel(style.label(amplitude))
    if colorbar is not False:
        bar = ax.figure.colorbar(paint, ax=ax if colorbar is True else list(colorbar))
        bar.set_label(style.label(result["depth"]))


def _highest(result: Result) -> NDArray[np.intp]:
    """Bin of the highest frequency of each tap."""
    frequency = result["frequency"].values
    none = ~np.isfinite(frequency).any(axis=1)
    if none.any():
        tap = result["tap"].values[none][0]
        raise ValueError(
            f"tap {tap} has no frequencies; leave it out with result.drop_sel(tap=...)"
        )
    return np.where(np.isfinite(frequency), frequency, -np.inf).argmax(axis=1)


def _depth(ax: Axes, result: Result, highest: NDArray[np.intp], spans: bool, **kwargs: Any) -> None:
    taps = np.arange(len(highest))
    values = result["relative_log_amplitude"].values[taps, highest]
    errors = result["relative_log_amplitude_se"].values[taps, highest]
    frequency = result["frequency"].values[taps, highest]
    grids = [f"{g}\n{f:.3g}π" for g, f in zip(result["grid"].values, frequency, strict=True)]
    profile(ax, result, values, errors, spans=spans, grids=grids, **kwargs)
    ax.set_ylabel(style.label(result["relative_log_amplitude"], "at the highest frequency"))
