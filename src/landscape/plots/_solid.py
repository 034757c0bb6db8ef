"""The loss over a plane as a surface in three dimensions."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from numpy.typing import NDArray

from landscape.plots import style

Span = tuple[float, float]
_HIGH = 0.75  # of the box, in lengths of its longer side
_TICKS = 7


def axes(ax: Axes | None) -> Axes3D:
    """``ax``, or pyplot's current axes, which are made if there are none.

    Raises
    ------
    ValueError
        If they have two dimensions.
    """
    if ax is None:
        import matplotlib.pyplot as plt  # here, so that no figure with given axes touches pyplot

        figure = plt.gcf()
        ax = figure.gca() if figure.axes else figure.add_subplot(projection="3d")
    if not isinstance(ax, Axes3D):
        raise ValueError("view '3d' needs axes in three dimensions, made with projection='3d'")
    return ax


def solid(
    height: xr.DataArray,
    ax: Axes3D,
    levels: NDArray[np.float64],
    label: str,
    *,
    spans: tuple[Span, Span] | None = None,
    colorbar: bool | Sequence[Axes] = True,
    **kwargs: Any,
) -> int:
    """Draw a facet for each cell whose four corners are finite and between the levels.

    z and colour have one scale, that of the levels: linear, or if they are steps of even ratio,
    logarithmic (and linear below the first of them that is positive). Facets that lack a corner are
    left out, not cut: crosses on the floor are at the corners that were lost.

    Returns
    -------
    int
        How many finite points lie beyond the levels.
    """
    alpha, beta, z = height["alpha"].values, height["beta"].values, height.values
    lost = ~np.isfinite(z)
    beyond = ~lost & ((z < levels[0]) | (z > levels[-1])) if len(levels) else ~lost
    kept = ~(lost | beyond)
    if len(levels) > 1:
        scaled = _scale(levels)
        ends, top = scaled(levels[[0, -1]]), scaled(np.where(kept, z, levels[0]))
    else:  # nothing finite
        ends, top, scaled = np.array([0.0, 1.0]), np.zeros_like(z), np.asarray
    x, y = np.meshgrid(alpha, beta)
    points = np.stack([x, y, top], -1)
    corners = [(slice(None, -1), slice(None, -1)), (slice(None, -1), slice(1, None))]
    corners += [(slice(1, None), slice(1, None)), (slice(1, None), slice(None, -1))]
    whole = np.logical_and.reduce([kept[c] for c in corners])
    cells = np.stack([points[c] for c in corners], 2)[whole]
    paint = ScalarMappable(Normalize(*ends), mpl.colormaps[kwargs.pop("cmap", "viridis")])
    if len(cells):
        faces = paint.to_rgba(cells[..., 2].mean(1))
        edge = np.clip(0.75 * faces[:, :3], 0, 1)
        look: dict[str, Any] = {"linewidth": 0.25, "edgecolors": edge, "facecolors": faces}
        ax.add_collection3d(Poly3DCollection(list(cells), **(look | kwargs)), autolim=False)
    floor = np.full(int((~kept).sum()), ends[0])
    if len(floor):
        cross: dict[str, Any] = {"color": style.INK, "markersize": 2.5, "markeredgewidth": 0.5}
        ax.plot(x[~kept], y[~kept], floor, "x", gid="lost points", **cross)
    spans = spans or ((alpha.min(), alpha.max()), (beta.min(), beta.max()))
    _frame(ax, height, label, ends, spans)
    ticks = levels[:: max(1, -(-len(levels) // _TICKS))]
    if len(levels) > 1:
        ax.set_zticks(scaled(ticks), [f"{tick:g}" for tick in ticks])
    if colorbar is not False and len(levels) > 1:
        beside = ax if colorbar is True else list(colorbar)
        wide = ax.figure.get_figwidth()  # inches: the label of z lies between axes and bar
        place = {"fraction": 0.8 / wide, "pad": 0.22 / wide, "shrink": 0.7, "aspect": 15}
        bar = ax.figure.colorbar(paint, ax=beside, ticks=scaled(levels), **place)
        bar.ax.set_yticklabels([f"{level:g}" for level in levels])
        bar.ax.tick_params(which="both", length=0)
        bar.set_label(style.label(height, width=44))
    return int(beyond.sum())


def _scale(levels: NDArray[np.float64]) -> Any:
    """Linear if the steps of the levels are even, else logarithmic.

    From zero to the first positive level it is linear, as long as a decade.
    """
    if np.allclose(np.diff(levels, 2), 0, atol=1e-6 * levels[-1]):
        return np.asarray
    first = float(levels[levels > 0][0])

    def scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(
            values > first, 1 + np.log10(np.maximum(values, first) / first), values / first
        )

    return scaled


def _frame(
    ax: Axes3D,
    height: xr.DataArray,
    label: str,
    ends: NDArray[np.float64],
    spans: tuple[Span, Span],
) -> None:
    """Give alpha and beta one unit of length, and label the box."""
    wide, deep = (float(np.ptp(span)) for span in spans)
    ax.set_box_aspect((wide, deep, _HIGH * max(wide, deep)), zoom=0.85)
    ax.set(xlim=spans[0], ylim=spans[1], zlim=ends)
    ax.set_xlabel(style.label(height["alpha"]), labelpad=-4)
    ax.set_ylabel(style.label(height["beta"]), labelpad=-4)
    ax.set_zlabel(label, labelpad=-3)
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_tick_params(pad=-2)
        axis.pane.set(facecolor="white", edgecolor="0.8")
    ax.locator_params(axis="x", nbins=3)
    ax.locator_params(axis="y", nbins=3)
    ax.view_init(elev=35, azim=-60)
