"""The profile along depth: one number per tap, and what happened between the taps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result


def profile(
    ax: Axes,
    result: Result,
    values: NDArray[np.float64],
    errors: NDArray[np.float64],
    *,
    spans: bool = True,
    grids: Sequence[str] | None = None,
    **kwargs: Any,
) -> None:
    """Draw one number per tap against depth, with what happened between the taps.

    Parameters
    ----------
    values, errors
        Along ``tap``; the errors are standard errors.
    spans
        Shade the way from tap to tap by the kind of operation, and mark where the grid changes.
    grids
        What to write above the taps of each grid; the grid by default.
    kwargs
        For ``ax.errorbar``.
    """
    order = np.argsort(result["depth"].values, kind="stable")
    depth, values, errors = result["depth"].values[order], values[order], errors[order]
    kinds, grid = result["kind"].values[order].astype(str), result["grid"].values[order].astype(str)
    above = grid if grids is None else np.asarray(grids)[order]
    line: dict[str, Any] = {"color": style.colour(result), "elinewidth": 0.8, "zorder": 2.5}
    ax.errorbar(depth, values, yerr=errors, **(line | kwargs))
    for kind in [*style.KIND_COLOURS, *sorted(set(kinds) - set(style.KIND_COLOURS))]:
        at = kinds == kind
        if at.any():
            ax.scatter(
                depth[at],
                values[at],
                s=14,
                marker=style.KIND_MARKERS.get(kind, "X"),
                color=style.KIND_COLOURS.get(kind, style.NEUTRAL),
                edgecolor=style.INK,
                linewidth=0.4,
                label=style.KIND_NAMES.get(kind, kind),
                zorder=3,
            )
    lost = ~np.isfinite(values)
    if lost.any():
        foot: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "gid": "lost taps"}
        ax.plot(depth[lost], np.full(lost.sum(), 0.03), "x", color=style.INK, **foot)
    style.title(ax, result, lost, "taps")
    ax.set_xlabel(style.label(result["depth"]))
    style.unit_axis(ax)
    if not spans:
        return
    for i in range(1, len(depth)):
        paint = style.KIND_COLOURS.get(kinds[i], style.NEUTRAL)
        strength = 0.35 if kinds[i] == "pool" else 0.2
        ax.axvspan(depth[i - 1], depth[i], facecolor=paint, alpha=strength, linewidth=0, zorder=0)
    for change in grid_changes(ax, depth, grid, above):
        ends = slice(change - 1, change + 1)
        # cut the line into dashes: its two ends are values of different grids
        ax.plot(depth[ends], values[ends], color="white", linestyle=(0, (1, 1)), zorder=2.6)


def grid_changes(
    ax: Axes, depth: NDArray[np.float64], grid: NDArray[Any], above: NDArray[Any], **kwargs: Any
) -> NDArray[np.intp]:
    """Mark where the grid changes, and write over the axes which there are.

    Parameters
    ----------
    depth, grid, above
        Along ``tap`` in order of depth: where, which grid, and what to write of it.
    kwargs
        For ``ax.axvline``.

    Returns
    -------
    ndarray
        The taps before which it changes.
    """
    changes = np.flatnonzero(grid[1:] != grid[:-1]) + 1
    look: dict[str, Any] = {"color": style.INK, "linewidth": 0.8, "linestyle": (0, (4, 2))}
    for change in changes:
        middle = depth[change - 1 : change + 1].mean()
        ax.axvline(middle, gid="grid change", **(look | kwargs))
    _strip(ax, depth, above, changes)
    return changes


def _strip(
    ax: Axes, depth: NDArray[np.float64], grid: NDArray[Any], changes: NDArray[np.intp]
) -> None:
    """Write over the axes which grid the taps below have."""
    edges = np.array([depth[0], *(depth[changes - 1] + depth[changes]) / 2, depth[-1]])
    widths = np.diff(edges)
    top = ax.secondary_xaxis("top")
    texts = [str(grid[i]).replace("x", "×") for i in (0, *changes)]
    top.set_xticks((edges[:-1] + edges[1:]) / 2, texts)
    top.tick_params(length=0, pad=1.5)
    room = ax.get_window_extent().width / ax.figure.dpi * widths / max(widths.sum(), 1e-12)
    for text, inches in zip(top.get_xticklabels(), room, strict=True):
        longest = max(len(line) for line in text.get_text().split("\n"))
        text.set_rotation(90 if longest * 0.07 > inches and len(texts) > 1 else 0)
