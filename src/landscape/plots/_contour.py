"""The loss over a plane as filled contours."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from numpy.typing import NDArray

from landscape.plots import style


def contour(
    height: xr.DataArray,
    ax: Axes,
    levels: NDArray[np.float64],
    colorbar: bool | Sequence[Axes] = True,
    **kwargs: Any,
) -> None:
    """Fill between the levels and write them on their lines; mark the centre, and what is lost."""
    alpha, beta, z = height["alpha"].values, height["beta"].values, height.values
    finite = np.isfinite(z)
    if not finite.all():
        _hatch(ax, height, ~finite)
    if len(levels) > 1:
        below, above = np.any(z[finite] < levels[0]), np.any(z[finite] > levels[-1])
        extend: Any = "neither"
        if below or above:
            extend = "both" if below and above else "min" if below else "max"
        cmap = mpl.colormaps[kwargs.pop("cmap", "viridis")]
        norm = kwargs.pop("norm", BoundaryNorm(levels, cmap.N, extend=extend))
        shown = np.ma.masked_where(~finite, z)
        if finite.any():
            look = {"levels": levels, "cmap": cmap, "norm": norm, "extend": extend} | kwargs
            ax.contourf(alpha, beta, shown, **look)
            _lines(ax, alpha, beta, shown, levels, ScalarMappable(norm, cmap))
        if colorbar is not False:
            beside = ax if colorbar is True else list(colorbar)
            look = {"ticks": levels, "format": "%g", "spacing": "uniform", "pad": 0.02}
            bar = ax.figure.colorbar(ScalarMappable(norm, cmap), ax=beside, **look)
            bar.set_label(style.label(height))
            bar.ax.tick_params(which="both", length=0)
    if alpha.min() <= 0 <= alpha.max() and beta.min() <= 0 <= beta.max():
        ax.plot(0, 0, "o", markerfacecolor="white", color=style.INK, markersize=3.5, gid="centre")
    ax.set_aspect("equal")
    ax.set_xlabel(style.label(height["alpha"]))
    ax.set_ylabel(style.label(height["beta"]))


def _lines(
    ax: Axes,
    alpha: NDArray[np.float64],
    beta: NDArray[np.float64],
    z: np.ma.MaskedArray,
    levels: NDArray[np.float64],
    paint: ScalarMappable,
) -> None:
    """Contour lines with their levels, dark on light and light on dark."""
    inner = levels[(levels > z.min()) & (levels < z.max())]
    if len(inner) == 0:
        return
    rgb = paint.to_rgba(inner)[:, :3]
    light = rgb @ [0.299, 0.587, 0.114] > 0.45
    ink = np.where(light, style.INK, "#FFFFFF")
    lines = ax.contour(alpha, beta, z, levels=inner, colors=list(ink), linewidths=0.5)
    size = mpl.rcParams["xtick.labelsize"]
    # a small ring has no room for its level, nor do many rings; the colour bar has them all
    wide = [_extent(path) > 0.35 * np.ptp(alpha) for path in lines.get_paths()]
    told = inner[wide][:: 2 if sum(wide) > 6 else 1] if any(wide) else inner[-1:]
    middle = np.array([alpha[[0, -1]].mean(), beta[[0, -1]].mean()])
    reach = np.array([0.42 * np.ptp(alpha), 0.42 * np.ptp(beta)])
    for text in ax.clabel(lines, told, fmt="%g", fontsize=size, use_clabeltext=True):
        if (np.abs(text.get_position() - middle) > reach).any():
            text.remove()  # cut by the edge it would read as another number


def _extent(path: Path) -> float:
    return float(path.get_extents().width) if np.size(path.vertices) else 0.0


def _hatch(ax: Axes, height: xr.DataArray, lost: NDArray[np.bool_]) -> None:
    """Lie under the contours, which leave out what touches a point without a finite value."""
    alpha, beta = height["alpha"].values, height["beta"].values
    corner, size = (alpha.min(), beta.min()), (np.ptp(alpha), np.ptp(beta))
    grey: dict[str, Any] = {"facecolor": "0.88", "edgecolor": "0.6", "linewidth": 0}
    patch = Rectangle(corner, *size, hatch="//////", gid="not finite", zorder=0, **grey)
    ax.add_patch(patch)
    patch.sticky_edges.x.extend([alpha.min(), alpha.max()])
    patch.sticky_edges.y.extend([beta.min(), beta.max()])
    rows, columns = np.nonzero(lost)
    cross: dict[str, Any] = {"markersize": 2.5, "markeredgewidth": 0.5, "clip_on": False}
    ax.plot(alpha[columns], beta[rows], "x", color=style.INK, gid="lost points", **cross)
