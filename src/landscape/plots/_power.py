"""Power of feature maps: over depth and frequency, and its steps from operation to operation."""

import json
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from landscape.plots import style
from landscape.plots._depth import grid_changes
from landscape.plots._twin import LOOKS, chosen
from landscape.result import Result

#: dB below which a step is practically none
NONE = 0.5
_NORMAL = 1.96  # standard errors of a 95 % interval


def heat(
    ax: Axes,
    result: Result,
    colorbar: bool | Sequence[Axes],
    limits: tuple[float, float] | None,
    **kwargs: Any,
) -> None:
    """Power relative to its mean over frequencies, a column a tap, by frequency per input pixel."""
    values, order = relative(result), np.argsort(result["depth"].values, kind="stable")
    inside, physical = _inside(result), result["frequency_pixel"].values
    depth = result["depth"].values[order]
    middle = (depth[1:] + depth[:-1]) / 2
    half = 0.5 / max(len(depth) - 1, 1)
    edges = np.concatenate([[depth[0] - half], middle, [depth[-1] + half]])
    low, high = limits or extent([result])
    look: dict[str, Any] = {"cmap": "viridis", "vmin": low, "vmax": high, "rasterized": True}
    look |= kwargs
    lost = np.zeros(len(depth), dtype=bool)
    for column, tap in enumerate(order):
        there = np.flatnonzero(inside[tap])
        level = values[tap, there]
        lost[tap] = not np.isfinite(level).all() or not np.isfinite(physical[tap, there]).all()
        if len(there) and not lost[tap]:
            rings = _edges(physical[tap, there])
            ax.pcolormesh(edges[column : column + 2], rings, level[:, None], **look)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_facecolor("#E4E4E4")  # no such frequency on that grid
    ax.set_xlim(edges[0], edges[-1])
    style.title(ax, result, lost, "taps")
    ax.set_xlabel(style.label(result["depth"]))
    ax.set_ylabel(style.label(result["frequency_pixel"]))
    grid = result["grid"].values[order].astype(str)
    grid_changes(ax, depth, grid, grid, color=style.INK)
    if colorbar is not False:
        paint = ScalarMappable(Normalize(look["vmin"], look["vmax"]), mpl.colormaps[look["cmap"]])
        where = ax if colorbar is True else list(colorbar)
        bar = ax.figure.colorbar(paint, ax=where)
        bar.set_label("power relative to its mean [dB]")


def relative(result: Result) -> NDArray[np.float64]:
    """Power over its mean over all frequencies, in dB: 0 for white noise."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share: NDArray[np.float64] = 10 * np.log10((result["power"] / result["ac"]).values)
    return share


def extent(results: Sequence[Result]) -> tuple[float, float]:
    """Colours for several networks, from the least of their values to the largest."""
    values = np.concatenate([relative(result)[_inside(result)] for result in results])
    values = values[np.isfinite(values)]
    if not len(values):
        return -1.0, 1.0
    return float(values.min()), float(max(values.max(), values.min() + 1e-6))


def _inside(result: Result) -> NDArray[np.bool_]:
    """Rings up to the Nyquist frequency of the finer axis; beyond, there are corners only."""
    last = [min(map(int, grid.split("x"))) for grid in result["grid"].values.astype(str)]
    halves = json.loads(result.attrs.get("settings", "{}")).get("window") == "dct"
    last = [n if halves else max(n // 2, 1) for n in last]
    inside: NDArray[np.bool_] = result["ring"].values <= np.array(last)[:, None]
    return inside & np.isfinite(result["frequency_sample"].values)


def steps(
    ax: Axes,
    result: Result,
    spans: bool,
    controls: Sequence[str] | None,
    name: str = "step",
    **kwargs: Any,
) -> None:
    """The step at each tap with its 95 % interval; none where the grid changes."""
    order = np.argsort(result["depth"].values, kind="stable")
    depth, kinds = result["depth"].values[order], result["kind"].values[order].astype(str)
    grid = result["grid"].values[order].astype(str)
    values, errors = (result[n].values[order] for n in (name, f"{name}_se"))
    width = 1 / max(len(depth) - 1, 1)
    ax.axhspan(-NONE, NONE, color="#EEEEEE", linewidth=0, zorder=0, gid="practically none")
    ax.axhline(0, color=style.INK, linewidth=0.6, zorder=0.6, gid="zero")
    lines: dict[str, Any] = {"elinewidth": 0.9, "markersize": 4, "markeredgecolor": style.INK}
    lines |= {"markeredgewidth": 0.4, "linestyle": "none", "zorder": 3} | kwargs
    there = np.isfinite(values)
    for kind in [*style.KIND_COLOURS, *sorted(set(kinds) - set(style.KIND_COLOURS))]:
        at = (kinds == kind) & there
        if not at.any():
            continue
        paint = style.KIND_COLOURS.get(kind, style.NEUTRAL)
        look = {"color": paint, "marker": style.KIND_MARKERS.get(kind, "X")} | lines
        ax.vlines(depth[at], 0, values[at], color=paint, linewidth=0.8, zorder=2.5)
        ax.errorbar(
            depth[at],
            values[at],
            yerr=_NORMAL * errors[at],
            label=style.KIND_NAMES.get(kind, kind),
            **look,
        )
    names = chosen(result, controls)
    for i, control in enumerate(names):
        part = result.sel(control=control).isel(tap=order)
        beside = (i + 1) * 0.6 / (len(names) + 1) * width
        text, look = LOOKS.get(control, (control, {"color": style.NEUTRAL, "marker": "o"}))
        spread = part[f"control_{name}_se"].values
        ax.errorbar(
            depth + beside,
            part[f"control_{name}"].values,
            yerr=_NORMAL * np.where(np.isfinite(spread), spread, 0.0),
            label=text,
            gid=f"control {control}",
            zorder=2,
            **({"elinewidth": 0.7, "markersize": 2.5} | look | {"linestyle": "none"}),
        )
    first_on_grid = np.concatenate([[True], grid[1:] != grid[:-1]])
    style.title(ax, result, ~there & ~first_on_grid, "steps")
    ax.set_xlabel(style.label(result["depth"]))
    style.unit_axis(ax)
    ax.set_ylabel(f"{style.label(result[name])}\n(95 % intervals)")
    if spans:
        grid_changes(ax, depth, grid, grid)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Between neighbouring rings, and as far beyond the outermost; above 0 for a logarithm."""
    if len(centres) == 1:
        return np.array([centres[0] / 2**0.5, centres[0] * 2**0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    first = max(2 * centres[0] - middle[0], centres[0] / 2)
    return np.array([first, *middle, 2 * centres[-1] - middle[-1]])
