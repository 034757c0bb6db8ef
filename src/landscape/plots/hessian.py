"""Distribution of the top Hessian eigenvalues of mini-batches (Park & Kim 2022, figure 4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.scale import SymmetricalLogScale
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Transform
from numpy.typing import ArrayLike, NDArray

from landscape.plots import style
from landscape.result import Result

LAYOUT = style.Layout(panels=False)
CONDITIONS = True

_LANE = 0.085  # of the height of the axes, for the raw values of one result


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    bins: ArrayLike | None = None,
    linthresh: float | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Histogram of the mini-batch eigenvalues over a lane that holds every one of them.

    In the lane a tick is an eigenvalue of a mini-batch, a triangle one of the whole set; what did
    not converge is hollow. The legend counts values, negatives, and the unconverged.

    Parameters
    ----------
    result
        Of ``landscape.hessian``.
    ax
        Where to draw; pyplot's current axes by default. A second result gets its own lane.
    bins
        Edges. By default one edge is 0 and the bins are equally wide on the page, so that an area
        is a share of the eigenvalues on a linear and on a logarithmic axis.
    linthresh
        Half the width of the linear part of a symmetrical logarithmic axis, ``inf`` for a linear
        axis. By default the range decides.
    legend
        Draw a legend in the axes.
    kwargs
        For ``ax.hist``; ``label`` is the name, ``marker`` that of the whole set.
    """
    style.require(result, "eigenvalue", "converged")
    if linthresh is None:
        linthresh = _linthresh([result])
    edges = np.asarray(_edges([result], linthresh) if bins is None else bins, dtype=float)
    if edges.ndim != 1 or len(edges) < 2:
        raise ValueError(f"bins must be the edges of the bins, at least two numbers, got {bins!r}")
    ax = style.axes(ax)
    if np.isfinite(linthresh):
        ax.set_xscale("symlog", linthresh=linthresh)
    values = result["eigenvalue"].values.ravel()
    found = np.isfinite(values)
    values, converged = values[found], result["converged"].values.ravel()[found]
    color = kwargs.pop("color", style.colour(result))
    marker = kwargs.pop("marker", style.SET_MARKERS[0])
    look = {"histtype": "stepfilled", "facecolor": (color, 0.25), "edgecolor": color} | kwargs
    name = str(kwargs.get("label", style.name(result)))
    look["label"] = f"{name}:{chr(10) if len(name) > 20 else ' '}{_summary(result)}"
    ax.hist(values, bins=list(edges), weights=np.full(len(values), 1 / max(len(values), 1)), **look)

    whole, whole_converged = _whole(result)
    tick = {"marker": "|", "markersize": 5, "markeredgewidth": 0.5, "alpha": 0.7}
    ring = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.8}
    mark = {"marker": marker, "markersize": 4.5, "markeredgewidth": 0.6}
    lane = 1 + max((_lane(line) for line in ax.lines), default=-1)
    for x, part, how in (
        (values[converged], "rug", tick),
        (values[~converged], "rug unconverged", ring),
        (whole[whole_converged], "set", mark),
        (whole[~whole_converged], "set unconverged", mark | {"markerfacecolor": "white"}),
    ):
        where = {"transform": ax.get_xaxis_transform(), "gid": f"lane {lane} {part}", "zorder": 3}
        _dots(ax, x, color=color, **where, **how)
    ax.axvline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    ax.set_xlabel(style.label(result["eigenvalue"]))
    ax.set_ylabel("share of eigenvalues")
    _glyph(ax, "mini-batch", tick)
    if len(whole):
        _glyph(ax, "whole set", mark | {"marker": style.SET_MARKERS[0]})
    if not (converged.all() and whole_converged.all()):
        _glyph(ax, "unconverged (hollow)", ring)
    if legend:
        handles, labels = ax.get_legend_handles_labels()
        first = sorted(range(len(labels)), key=lambda i: isinstance(handles[i], Line2D))
        marks, text = [handles[i] for i in first], [labels[i] for i in first]
        ax.legend(marks, text, loc="upper left", fontsize="small")
    _arrange(ax)
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Bins and axis that several results have in common."""
    for result in results:
        style.require(result, "eigenvalue", "converged")
    linthresh = kwargs.get("linthresh")
    if linthresh is None:
        linthresh = _linthresh(results)
    return {"bins": _edges(results, linthresh), "linthresh": linthresh}


def _summary(result: Result) -> str:
    """How many values there are, how many are negative, and what is wrong with them."""
    values = result["eigenvalue"].values
    found = np.isfinite(values)
    batches, ranks = values.shape
    text = [f"{batches} batches × {ranks}"]
    if found.any():
        text.append(f"{np.mean(values[found] < 0):.1%}{_interval(result)} negative")
    if (~result["converged"].values & found).any():
        text.append(f"{np.sum(~result['converged'].values & found)} unconverged")
    if not found.all():
        text.append(f"{np.sum(~found)} missing")
    return ", ".join(text)


def _interval(result: Result) -> str:
    """Its 95 % interval, if the result has one."""
    if "nep_low" not in result or not np.isfinite(result["nep_low"]):
        return ""
    return f" [{float(result['nep_low']):.1%}, {float(result['nep_high']):.1%}]"


def _whole(result: Result) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Eigenvalues of the whole set, if they were computed, and whether they converged."""
    if "set_eigenvalue" not in result:
        return np.array([]), np.array([], dtype=bool)
    values = result["set_eigenvalue"].values
    found = np.isfinite(values)
    return values[found], result["set_converged"].values[found]


def _pooled(results: Sequence[Result]) -> NDArray[np.float64]:
    parts = [part for r in results for part in (r["eigenvalue"].values.ravel(), _whole(r)[0])]
    values = np.concatenate(parts)
    return values[np.isfinite(values)]


def _linthresh(results: Sequence[Result]) -> float:
    """Linear, unless half of some result would sink into a twentieth of the axis."""
    sizes = [np.abs(_pooled([r])) for r in results]
    sizes = [s[s > 0] for s in sizes if (s > 0).any()]
    if not sizes or max(s.max() for s in sizes) < 20 * min(np.median(s) for s in sizes):
        return np.inf
    pooled = np.concatenate(sizes)
    low = max(np.quantile(pooled, 0.05), 1e-4 * pooled.max())  # not down to rounding errors
    return float(10 ** np.floor(np.log10(low)))


def _edges(results: Sequence[Result], linthresh: float) -> NDArray[np.float64]:
    """Edges equally spaced on the axis, one of them 0, around all values."""
    values = _pooled(results)
    if not np.any(values):
        return np.array([-1.0, 0.0, 1.0])
    there: Transform | None = None
    if np.isfinite(linthresh):
        there = SymmetricalLogScale(None, linthresh=linthresh).get_transform()
        values = there.transform(values)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    width = np.diff(np.histogram_bin_edges(values, "auto"))[0]
    width = float(np.clip(width, (high - low) / 50, (high - low) / 15))
    edges = np.arange(np.floor(low / width), np.floor(high / width) + 2) * width
    return edges if there is None else there.inverted().transform(edges)


def _dots(ax: Axes, x: ArrayLike, **look: Any) -> None:
    """Draw marks without a line; a layout must not make room for those that are not there."""
    y = np.zeros(len(np.asarray(x)))
    (line,) = ax.plot(x, y, linestyle="none", **look)
    line.set_in_layout(False)


def _glyph(ax: Axes, text: str, look: dict[str, Any]) -> None:
    """Explain a mark in the legend, once and in no family's colour."""
    if text not in ax.get_legend_handles_labels()[1]:
        _dots(ax, [], color=style.NEUTRAL, label=text, **(look | {"alpha": 1}))


def _lane(line: Line2D) -> int:
    gid = str(line.get_gid() or "").split()
    return int(gid[1]) if gid[:1] == ["lane"] else -1


def _arrange(ax: Axes) -> None:
    """Stack the lanes under the histograms, the first result on top; make room for a legend."""
    lanes = 1 + max(_lane(line) for line in ax.lines)
    for line in ax.lines:
        if (i := _lane(line)) >= 0:
            inside = 0.8 if "set" in str(line.get_gid()) else 0.38
            y = (lanes - 1 - i + inside) * _LANE
            line.set_ydata(np.full(len(np.asarray(line.get_xdata())), y))
    top = 1.05 * max(float(ax.dataLim.y1), 1e-3)
    floor, legend = (lanes + 0.2) * _LANE, ax.get_legend()
    head = legend.get_window_extent().height / ax.get_window_extent().height if legend else 0.0
    scale = top / max(1 - floor - head, 0.2)
    ax.set_ylim(-floor * scale, (1 - floor) * scale)
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, top)
    ax.set_yticks([t for t in ticks if 0 <= t <= top])
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    if not any(line.get_gid() == "floor" for line in ax.lines):
        ax.axhline(0, color=style.INK, linewidth=0.6, gid="floor")
