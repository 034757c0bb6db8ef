"""The largest Hessian eigenvalue against 1 / batch size (Granziol et al. 2022)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from landscape.plots import style
from landscape.result import Result

LAYOUT = style.Layout(panels=False, height=0.75)
CONDITIONS = True

_SIGNIFICANT = 0.05


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    rank: int = 1,
    log: bool | None = None,
    band: bool = True,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Means over batches with standard errors, and the line through them to infinite size.

    The legend tells the extrapolated value with its 95 % interval and the two checks of it: what
    was measured of all images (hollow) and what the line says there, and the p-value of a curvature
    in 1 / size. A line that bends is dotted.

    Parameters
    ----------
    result
        Of ``landscape.batchsize``.
    ax
        Where to draw; pyplot's current axes by default.
    rank
        1 for the largest.
    log
        Logarithmic axis; by default only in a figure of results that are far apart.
    band
        Shade the 95 % interval of the line.
    legend
        Draw a legend in the axes.
    kwargs
        For the means, ``ax.errorbar``.
    """
    needed = ("mean", "mean_se", "line", "line_low", "line_high", "intercept", "curvature_p")
    style.require(result, *needed, "set_eigenvalue", "set_extrapolated", "set_examples")
    ranks = result["rank"].values
    if rank not in ranks:
        raise ValueError(f"rank must be between 1 and {ranks.max()}, got {rank}")
    ax = style.axes(ax)
    if log:
        ax.set_yscale("log")
    one = result.sel(rank=rank)
    kwargs = dict(kwargs)
    name = str(kwargs.pop("label", style.name(result)))
    drawn: dict[str, Any] = {"color": style.colour(result), "marker": "o", "linestyle": "-"}
    drawn |= kwargs
    dashes = drawn.pop("linestyle")
    if float(one["curvature_p"]) < _SIGNIFICANT:
        dashes = ":"
    x = 1 / one["size"].values
    bars: dict[str, Any] = {"linestyle": "none", "capsize": 2, "elinewidth": 0.8, "gid": "means"}
    ax.errorbar(x, one["mean"].values, yerr=one["mean_se"].values, **(bars | drawn))
    inverse, color = one["inverse"].values, drawn["color"]
    told = f"{name}: {_extrapolated(one)}"
    ax.plot(inverse, one["line"].values, dashes, color=color, label=told, gid="line")
    if band:
        shade: dict[str, Any] = {"color": color, "alpha": 0.15, "linewidth": 0, "gid": "band"}
        ax.fill_between(inverse, one["line_low"].values, one["line_high"].values, **shade)
    whole = {"marker": drawn["marker"], "markerfacecolor": "white", "linestyle": "none"}
    place = [1 / float(one["set_examples"])]
    ax.plot(place, [float(one["set_eigenvalue"])], color=color, gid="set", zorder=4, **whole)
    if "all images at once" not in ax.get_legend_handles_labels()[1]:
        ax.plot(
            [], [], color=style.NEUTRAL, label="all images at once", **(whole | {"marker": "o"})
        )
    _axis(ax, one["size"].values.tolist())
    ax.set_ylabel(style.label(result["eigenvalue"], f"of rank {rank}" if rank > 1 else ""))
    if legend:
        ax.legend(loc="upper left", fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """One kind of axis for several results: logarithmic if their values are far apart."""
    rank = kwargs.get("rank", 1)
    for result in results:
        style.require(result, "mean", "line_low")
    values = [r["mean"].sel(rank=rank).values for r in results if rank in r["rank"].values]
    lows = [r["line_low"].sel(rank=rank).values for r in results if rank in r["rank"].values]
    if not values or min(v.min() for v in [*values, *lows]) <= 0:
        return {"log": False}
    middle = [float(np.median(v)) for v in values]
    return {"log": max(middle) > 10 * min(middle)}


def _extrapolated(one: Result) -> str:
    """The number and its checks, never one without the other."""
    low, high = (float(one[f"intercept_{end}"]) for end in ("low", "high"))
    p = float(one["curvature_p"])
    bend = "curvature untested" if np.isnan(p) else f"curvature p = {p:.2g}"
    bend += ", dotted" if p < _SIGNIFICANT else ""
    return (
        f"{float(one['intercept']):.3g} [{low:.3g}, {high:.3g}] at 1/B = 0\n"
        f"B = {int(one['set_examples'])}: line {float(one['set_extrapolated']):.3g}, "
        f"measured {float(one['set_eigenvalue']):.3g}; {bend}"
    )


def _axis(ax: Axes, sizes: Sequence[int]) -> None:
    """Name the places of the batch sizes, also those that are there already; crowded ones not."""
    known = ax.get_xticks() if isinstance(ax.xaxis.get_major_locator(), FixedLocator) else ()
    places = {round(1 / float(x)) for x in known if x > 0} | {int(size) for size in sizes}
    end, ticks = 1 / min(places), [0.0]
    for size in sorted(places, reverse=True):
        if 1 / size - ticks[-1] > 0.07 * end:
            ticks.append(1 / size)
    ax.set_xlim(-0.03 * end, 1.05 * end)
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"1/{1 / x:.0f}" if x > 0 else "0"))
    ax.set_xlabel("1 / batch size B")
