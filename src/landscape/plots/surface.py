"""The loss on lines and planes through the weights (Li et al. 2018; Park & Kim 2022, figure 1a)."""

import json
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
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from landscape.plots import style
from landscape.plots._line import interpolated, line
from landscape.result import Result

LAYOUT = style.Layout(height=1.0, equal=True)

CONDITIONS = True

QUANTITIES = ("nll", "l2", "loss")

# round numbers for levels in even ratios, by the decades they have to span
_MANTISSAS: dict[float, tuple[float, ...]] = {
    2.2: (1, 1.5, 2, 3, 5, 7),
    4: (1, 2, 5),
    7: (1, 3),
    np.inf: (1,),
}


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    quantity: str = "nll",
    relief: bool = False,
    plane: int = 0,
    levels: ArrayLike | None = None,
    colorbar: bool | Sequence[Axes] = True,
    **kwargs: Any,
) -> Axes:
    """Fill contours over the plane and label their levels; the circle is the centre.

    On a line the band is twice the standard error; of several lines it spans them all, and each is
    drawn. What is interpolated says so, with the number of nodes and the estimate of its error.

    Where the loss is not finite the plane is grey and hatched, the points are crossed out and
    counted.

    Parameters
    ----------
    result
        Of ``landscape.surface``.
    ax
        Where to draw; pyplot's current axes by default.
    quantity
        ``"nll"``, ``"l2"``, or ``"loss"``, the sum of the first and weight decay times the second.
    relief
        Subtract the value at the centre.
    plane
        Which of several.
    levels
        Contour levels. By default they cover all values, in even steps, or in even ratios if the
        values span more than a decade.
    colorbar
        Draw one beside the axes, or beside all of the given axes.
    kwargs
        For ``ax.contourf``.
    """
    if "beta" not in result.dims:
        return line(result, _height(result, quantity, relief), style.axes(ax), **kwargs)
    height = _height(_one(result, plane), quantity, relief).transpose("beta", "alpha")
    ax = style.axes(ax)
    alpha, beta, z = height["alpha"].values, height["beta"].values, height.values
    finite = np.isfinite(z)
    levels = _levels(z[finite]) if levels is None else np.asarray(levels, dtype=float)
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
    style.title(ax, result, ~finite, "points")
    remarks = []
    if "plane" in result.dims:
        remarks.append(f"plane {plane + 1} of {result.sizes['plane']}")
    if quantity != "l2" and "node" in result.dims:
        remarks.append(interpolated(_one(result, plane)))
    ax.set_title("\n".join([ax.get_title(), *remarks]))
    return ax


def _one(result: Result, plane: int) -> Result:
    if "plane" not in result.dims:
        return result
    if not 0 <= plane < result.sizes["plane"]:
        raise ValueError(f"plane is 0 to {result.sizes['plane'] - 1}, not {plane}")
    return result.isel(plane=plane)


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Levels that cover several results."""
    choice = {k: v for k, v in kwargs.items() if k in ("quantity", "relief")}
    planes = [_one(r, kwargs.get("plane", 0)) for r in results if "beta" in r.dims]
    if not planes:
        return {}
    values = np.concatenate([_height(r, **choice).values.ravel() for r in planes])
    return {"levels": _levels(values[np.isfinite(values)])}


def _height(result: Result, quantity: str = "nll", relief: bool = False) -> xr.DataArray:
    """Return what to draw, labelled."""
    if quantity not in QUANTITIES:
        raise ValueError(f"unknown quantity '{quantity}'. Choices: {', '.join(QUANTITIES)}")
    style.require(result, *(("nll", "l2") if quantity == "loss" else (quantity,)))
    sizes = [result.sizes[name] for name in ("alpha", "beta") if name in result.dims]
    if min(sizes) < 2:
        size = "x".join(map(str, sizes))
        raise ValueError(f"a surface of {size} points has no contours; compute at least 2x2")
    height = _sum(result) if quantity == "loss" else result[quantity]
    if not relief:
        return height
    centre = height
    for name in ("alpha", "beta"):
        if name in height.dims:
            centre = centre.isel({name: np.isclose(height[name].values, 0)})
    if not all(centre.sizes[name] == 1 for name in centre.dims if name != "plane") or not (
        np.isfinite(centre.values).all()
    ):
        raise ValueError("relief needs a finite value at the centre (0, 0); draw relief=False")
    name = f"{height.attrs['long_name']}, minus that of the centre"
    at = [name for name in centre.dims if name != "plane"]
    return (height - centre.squeeze(at, drop=True)).assign_attrs(
        long_name=name, units=height.attrs["units"]
    )


def _sum(result: Result) -> xr.DataArray:
    """NLL plus weight decay, in the form in which it was asked for."""
    settings = json.loads(result.attrs.get("settings", "{}"))
    decay = json.loads(result.attrs.get("decay", "{}")) or {
        "form": "l2",
        "coefficient": settings.get("weight_decay"),
    }
    amount, term = decay["coefficient"], result[decay["form"]]
    if amount is None:
        raise ValueError(
            "the settings of this surface have no weight_decay, so its loss is not known; "
            "draw quantity 'nll' or 'l2'"
        )
    nll = result["nll"]
    name = f"{nll.attrs['long_name']} + {amount:g} × {term.attrs['long_name']}"
    return (nll + amount * term).assign_attrs(long_name=name, units=nll.attrs["units"])


def _levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round levels around all values: in even steps, or even ratios if a decade is exceeded."""
    if len(values) == 0:
        return np.array([])
    low, high = float(values.min()), float(values.max())
    if high > 0:
        small = float(np.quantile(values[values > 0], 0.01))
        if high > 10 * small and low > -high / 10:
            return _decades(low, small, high)
    if low == high:
        return low + np.array([-0.5, 0.5]) * max(abs(low), 1.0) * 0.1
    return np.asarray(MaxNLocator(10, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))


def _decades(low: float, small: float, high: float) -> NDArray[np.float64]:
    decades = np.log10(high / small)
    mantissas = next(m for most, m in _MANTISSAS.items() if decades <= most)
    first, last = int(np.floor(np.log10(small))), int(np.ceil(np.log10(high)))
    step = max(1, round(decades / 12))
    steps = [float(f"{m}e{e}") for e in range(first, last + step, step) for m in mantissas]
    start = max(s for s in steps if s <= small)
    end = min(s for s in steps if s >= high)
    levels = [s for s in steps if start <= s <= end]
    if low < levels[0]:
        levels = [0.0, *levels]
    if low < 0:
        levels = [float(np.floor(low / levels[1]) * levels[1]), *levels]
    return np.array(levels)


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
