"""Increase of the NLL against the radius, and what a change of scale makes of each measure."""

import json
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from landscape.plots import style
from landscape.result import Result

VIEWS = ("increase", "moved")
LAYOUT = style.Layout(share=("xy", "xy"), height=0.75)
CONDITIONS = True

_LOOKS = {"ball": ("-", "o"), "filter": ("--", "s"), "adaptive": (":", "^")}


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "increase",
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Mean increase in each geometry, and the worst found, filled; or the factors of a rescaling.

    Parameters
    ----------
    result
        Of ``landscape.sharpness``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"increase"``, with standard errors, on logarithmic axes: what is not above 0 is told, not
        drawn. ``"moved"``: factors by which measures change with the weights alone, the network's
        outputs unchanged; those at 1 are invariant.
    legend
        Draw a legend.
    kwargs
        For ``ax.errorbar``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    ax = style.axes(ax)
    look = {"color": style.colour(result), "capsize": 1.5, "elinewidth": 0.6} | kwargs
    if view == "moved":
        return _moved(result, ax, look)
    style.require(result, "increase", "increase_se", "worst", "worst_se", "reach")
    ax.set_xscale("log")
    ax.set_yscale("log", nonpositive="mask")
    lost = []
    for kind in result["geometry"].values.tolist():
        line, marker = _LOOKS[kind]
        part = result.sel(geometry=kind)
        shape: dict[str, Any] = {"linestyle": line, "marker": marker, "markerfacecolor": "white"}
        lost.append(_errors(ax, part, "radius", "increase", look | shape | {"gid": kind}))
        _explain(ax, kind, shape)
    for kind in result["norm"].values.tolist():
        part = result.sel(norm=[kind])
        shape = {"linestyle": "none", "marker": _LOOKS[kind][1], "markersize": 5.5}
        shape |= {"markeredgecolor": "white", "markeredgewidth": 0.5}  # they often overlap
        lost.append(_errors(ax, part, "reach", "worst", look | shape | {"gid": f"worst {kind}"}))
        _explain(ax, f"worst, {kind}", shape)
    rise = _setting(result, "rise")
    if rise:
        shape = {"linestyle": "-", "linewidth": 0.5, "marker": None}
        ax.axhline(rise, color=style.NEUTRAL, zorder=0, **shape)
        _explain(ax, f"{rise:g} nats", shape)
    gone = np.concatenate(lost)
    lines = [style.name(result)]
    if gone.any():
        lines.append(f"{gone.sum()} of {gone.size} points not above 0 or not finite")
    ax.set_title("\n".join(lines))
    ax.set_xlabel(style.label(result["radius"]))
    ax.set_ylabel(style.label(result["increase"]))
    if legend:
        ax.legend(fontsize="small")
    return ax


def _errors(ax: Axes, part: Result, x: str, y: str, look: dict[str, Any]) -> Any:
    """Draw points that a logarithmic axis can show, with bars down to its lower end."""
    at, value = part[x].values, part[y].values
    error = np.nan_to_num(part[f"{y}_se"].values, posinf=0.0)
    good = np.isfinite(value) & (value > 0) & np.isfinite(at)
    down = np.minimum(error, 0.9 * np.where(good, value, 1.0))
    shown = np.where(good, value, np.nan)
    look = {k: v for k, v in look.items() if k != "label"}
    ax.errorbar(at, shown, yerr=[down, error], **look)
    return ~good


def _explain(ax: Axes, text: str, shape: dict[str, Any]) -> None:
    """Add an entry of the legend, grey: colours are those of families."""
    if text not in ax.get_legend_handles_labels()[1]:
        ax.plot([], [], color=style.NEUTRAL, label=text, **shape)


def _setting(result: Result, name: str) -> float | None:
    return json.loads(result.attrs.get("settings", "{}")).get(name)


def _moved(result: Result, ax: Axes, look: dict[str, Any]) -> Axes:
    style.require(result, "moved", "moved_se", "rescaled")
    names = result["measure"].values.tolist()
    value, error = result["moved"].values, np.nan_to_num(result["moved_se"].values)
    place = np.arange(len(names))[::-1]
    look = {k: v for k, v in look.items() if k != "label"}
    ax.axvline(1, color=style.NEUTRAL, linewidth=0.5, zorder=0)
    ax.set_xscale("log")
    good = np.isfinite(value) & (value > 0)
    shown = np.where(good, value, np.nan)
    shape = {"linestyle": "none", "marker": "o", "gid": "moved"}
    down = np.minimum(error, 0.9 * np.where(good, value, 1.0))
    ax.errorbar(shown, place, xerr=[down, error], **(look | shape))
    for x, y in zip(shown[good], place[good], strict=True):
        spot: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7}
        ax.annotate(f"{x:.3g}", (x, y), (0, 4.5), bbox={"fc": "white", "lw": 0, "pad": 0}, **spot)
    ax.set_yticks(place, names)
    ax.set_ylim(-0.6, len(names) - 0.3)
    low, high = (0.2, 5.0) if ax.get_autoscalex_on() else ax.get_xlim()  # of a panel before
    low, high = min([low, *shown[good] / 1.8]), max([high, *shown[good] * 1.8])
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    layers, times = int(result["rescaled"]), _setting(result, "rescale")
    by = f" by {times:g}" if times else ""
    told = f"{layers} layers rescaled{by}" if layers else "nothing that can be rescaled"
    ax.set_title(f"{style.name(result)}\n{told}")
    ax.set_xlabel(style.label(result["moved"]))
    return ax
