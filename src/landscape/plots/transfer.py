"""How operations treat frequencies: high-low ratios against depth, gains against frequency."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result

VIEWS = ("depth", "frequency")
LEVELS = ("kernel", "head", "branch", "skip", "block")
LAYOUT = style.Layout(share=("xy", "xy"), height=0.95)

_NAMES = {
    "kernel": "kernel",
    "head": "head",
    "branch": "branch",
    "skip": "with skip",
    "block": "block",
}
_LINES = {"branch": "-", "skip": "--", "block": ":"}
_PREFIX = {"kernel": "kernel_", "head": "head_"}
_WIDE = 1.96


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "depth",
    levels: Sequence[str] | None = None,
    legend: bool = True,
    colorbar: bool | Sequence[Axes] = True,
    **kwargs: Any,
) -> Axes:
    """High-low ratio of every operation against depth, or gain against frequency.

    Parameters
    ----------
    result
        Of ``landscape.transfer``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"depth"``: with 95 % intervals over images; the colour is the kind of operation, the fill
        and the line the level; 0 dB treats all frequencies alike. Small marks are the heads and
        kernels inside. Grey are untrained twins, if measured. ``"frequency"``: one line an
        operation, relative to its lowest frequencies; the colour is the depth.
    levels
        Which of ``"kernel"``, ``"head"``, ``"branch"``, ``"skip"``, ``"block"`` to draw. All that
        there are; for view ``"frequency"``, the first of branch, head and kernel that there is.
    legend
        Draw a legend.
    colorbar
        View ``"frequency"``: draw one beside the axes, or beside all of the given axes.
    kwargs
        For ``ax.errorbar`` (depth) or ``ax.plot`` (frequency).
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    there = [level for level in LEVELS if _there(result, level)]
    if not there:
        raise ValueError("this transfer result has no part to draw")
    for level in levels or ():
        if level not in there:
            raise ValueError(f"no level '{level}' in this result. Choices: {', '.join(there)}")
    ax = style.axes(ax)
    if view == "depth":
        _depth(ax, result, list(levels or there), kwargs)
    else:
        first = [level for level in ("branch", "head", "kernel") if level in there]
        _frequency(ax, result, list(levels or first[:1]), colorbar, kwargs)
    if legend and ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


def _there(result: Result, level: str) -> bool:
    if level in _PREFIX:
        return f"{_PREFIX[level]}hlr" in result
    return "hlr" in result and bool(result["hlr"].sel(level=level).notnull().any())


def _series(
    result: Result, level: str, name: str
) -> Iterator[tuple[str, NDArray[np.float64], xr.DataArray, xr.DataArray | None]]:
    """By kind: depth, values and errors (op first) of a level."""
    if level in _PREFIX:
        of = "kernel" if level == "kernel" else "attention"
        kinds, depth = result[f"{of}_kind"], result[f"{of}_depth"]
        values = result[_PREFIX[level] + name]
        errors = result.get(f"{_PREFIX[level]}{name}_se")
    else:
        kinds, depth = result["block_kind" if level == "block" else "kind"], result["depth"]
        values, errors = result[name].sel(level=level), result[f"{name}_se"].sel(level=level)
    names = kinds.values.astype(str)
    for kind in dict.fromkeys(names):
        at = np.flatnonzero(names == kind)
        dim = values.dims[0]
        chosen = None if errors is None else errors.isel({dim: at})
        yield kind, depth.values[at], values.isel({dim: at}), chosen


def _depth(ax: Axes, result: Result, levels: Sequence[str], kwargs: dict[str, Any]) -> None:
    ax.axhline(0, color=style.INK, linewidth=0.6, zorder=0)
    lost = []
    for level in levels:
        _grey(ax, result, level)
        for kind, depth, values, errors in _series(result, level, "hlr"):
            lost.append(_lost(result, level, values))
            paint = style.KIND_COLOURS.get(kind, style.NEUTRAL)
            if level in _PREFIX:
                flat = values.values.reshape(len(depth), -1)
                marker = "_" if level == "head" else "+"
                small: dict[str, Any] = {"color": paint, "marker": marker, "markersize": 2.5}
                small |= {"linestyle": "none", "zorder": 1.8, "alpha": 0.75}
                for column in flat.T:
                    ax.plot(depth, column, gid=f"{level} {kind}", **small)
                continue
            order = np.argsort(depth)
            order = order[np.isfinite(values.values[order])]
            fill = "white" if level != "branch" else paint
            marker = style.KIND_MARKERS.get(kind, "X")
            look: dict[str, Any] = {
                "color": paint,
                "linestyle": _LINES[level],
                "linewidth": 0.8,
                "zorder": 2.5,
            }
            look |= {"marker": marker, "markerfacecolor": fill, "markersize": 3.5, "capsize": 1.2}
            look |= {"elinewidth": 0.7, "gid": f"{level} {kind}"}
            if level == "block":
                look |= {"marker": ".", "markersize": 2.0, "zorder": 2.2}
            assert errors is not None
            bars = _WIDE * errors.values[order]
            if not len(order):
                continue
            ax.errorbar(depth[order], values.values[order], yerr=bars, **(look | kwargs))
            if level != "block":
                shape = {"marker": marker, "color": paint, "linestyle": "none", "markersize": 4}
                _explain(ax, _words(kind), shape)
    for level in levels:
        _explain(ax, _NAMES[level], _key(level))
    style.title(ax, result, np.concatenate(lost), "ratios")
    ax.set_xlabel(style.label(result["depth"] if "depth" in result else _any_depth(result)))
    ax.set_ylabel("high-low ratio [dB]")
    style.unit_axis(ax)


def _lost(result: Result, level: str, values: xr.DataArray) -> NDArray[np.bool_]:
    """What is there and cannot be drawn: infinite, but not what does not exist."""
    return np.asarray(np.isinf(values.values).reshape(-1))


def _any_depth(result: Result) -> xr.DataArray:
    return result["attention_depth" if "attention_depth" in result else "kernel_depth"]


def _key(level: str) -> dict[str, Any]:
    look: dict[str, Any] = {"color": style.INK, "markersize": 3.5}
    if level in _PREFIX:
        return look | {"linestyle": "none", "marker": "_" if level == "head" else "+"}
    fill = style.INK if level == "branch" else "white"
    marker = "." if level == "block" else "o"
    return look | {"linestyle": _LINES[level], "marker": marker, "markerfacecolor": fill}


def _grey(ax: Axes, result: Result, level: str) -> None:
    """The untrained twins of a level, if they were measured."""
    name = f"control_{_PREFIX.get(level, '')}hlr"
    if name not in result or "untrained" not in result["control"].values or level == "block":
        return
    twin = result[name].sel(control="untrained")
    look: dict[str, Any] = {"color": "#999999", "zorder": 1.5, "gid": f"untrained {level}"}
    if level in _PREFIX:
        depth = result["kernel_depth" if level == "kernel" else "attention_depth"].values
        look |= {"linestyle": "none", "marker": "_" if level == "head" else "+", "markersize": 2}
        for column in twin.values.reshape(len(depth), -1).T:
            ax.plot(depth, column, **look)
        return
    values, errors = twin.sel(level=level), result[f"{name}_se"].sel(control="untrained")
    for kind in dict.fromkeys(result["kind"].values.tolist()):
        at = (result["kind"].values == kind) & np.isfinite(values.values)
        bars = _WIDE * errors.sel(level=level).values[at]
        shape = {"linestyle": _LINES[level], "linewidth": 0.7, "elinewidth": 0.6}
        ax.errorbar(result["depth"].values[at], values.values[at], yerr=bars, **(look | shape))
    _explain(ax, "untrained", {"color": "#999999", "linestyle": "-"})


def _frequency(
    ax: Axes,
    result: Result,
    levels: Sequence[str],
    colorbar: bool | Sequence[Axes],
    kwargs: dict[str, Any],
) -> None:
    # without the lightest end, which is lost on white paper
    cmap = ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.9, 256)))
    ax.axhline(0, color=style.INK, linewidth=0.6, zorder=0)
    lost = []
    for level in levels:
        of = {"kernel": "kernel", "head": "attention"}.get(level, "op")
        place = result["frequency" if of == "op" else f"{of}_frequency"]
        deep = dict(zip(result[of].values.tolist(), place.values, strict=True))
        for kind, depth, values, _ in _series(result, level, "gain"):
            marker = style.KIND_MARKERS.get(kind, "X")
            for name, at, gains in zip(
                values[of].values.tolist(), depth, values.values, strict=True
            ):
                gains = gains.reshape(-1, gains.shape[-1])
                for row in gains[~np.isnan(gains).all(1)]:
                    known = np.isfinite(deep[name])
                    lost.append(np.isinf(row[known]))
                    look: dict[str, Any] = {
                        "color": cmap(float(at)),
                        "marker": marker,
                        "markersize": 2.5,
                    }
                    look |= {"linewidth": 0.7, "linestyle": _LINES.get(level, "-")}
                    ax.plot(deep[name][known], row[known] - row[known][0], **(look | kwargs))
            shape = {"marker": marker, "color": style.NEUTRAL, "linestyle": "none"}
            _explain(ax, _words(kind), shape)
        ax.set_xlabel(style.label(place))
    style.title(ax, result, np.concatenate(lost), "gains")
    what = ", ".join(_NAMES[level] for level in levels)
    ax.set_ylabel(f"gain of the {what}, relative\nto its lowest band [dB]")
    ax.set_xlim(0, 1.25)
    if colorbar is not False:
        paint = ScalarMappable(Normalize(0, 1), cmap)
        bar = ax.figure.colorbar(paint, ax=ax if colorbar is True else list(colorbar))
        bar.set_label(style.label(_any_depth(result) if "depth" not in result else result["depth"]))


def _words(kind: str) -> str:
    """Name of a kind for people, of parts too."""
    return "+".join(style.KIND_NAMES.get(part, part) for part in kind.split("+"))


def _explain(ax: Axes, text: str, shape: dict[str, Any]) -> None:
    """An entry of the legend, once."""
    if text not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], label=text, **shape)
