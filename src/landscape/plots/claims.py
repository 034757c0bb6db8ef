"""Verdicts: effects with intervals, in units of the smallest effect of interest, or one claim."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from landscape.plots import style
from landscape.result import Result

VIEWS = ("all", "one")
LAYOUT = {
    "all": style.Layout(panels=False, rows="claim"),
    "one": style.Layout(panels=False, height=0.45),
}

# Okabe & Ito's, but for what says nothing
WORD_COLOURS = {
    "SUPPORTED": "#009E73",
    "ARCHITECTURAL": "#56B4E9",
    "ARTEFACT": "#E69F00",
    "REFUTED": "#D55E00",
    "INCONCLUSIVE": style.NEUTRAL,
    "NOT TESTABLE": "#888888",
}


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "all",
    claim: str | None = None,
    **kwargs: Any,
) -> Axes:
    """Mean effects with 95 % intervals; the grey band is smaller than what is of interest.

    Parameters
    ----------
    result
        Of ``landscape claims``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"all"``: every claim with an effect, over its smallest effect of interest, on an axis
        that is linear up to 1 and logarithmic beyond. ``"one"``: a claim with its controls and
        mended measurements, in its own units.
    claim
        View ``"one"``: which; the first by default.
    kwargs
        For ``ax.errorbar``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    style.require(result, "mean", "low", "high", "smallest", "word", "title")
    ax = style.axes(ax)
    look = {"linestyle": "none", "marker": "o", "capsize": 2.0} | _drawable(kwargs)
    if view == "one":
        return _one(ax, result, claim or str(result["claim"].values[0]), look)
    return _all(ax, result, look)


def _drawable(kwargs: dict[str, Any]) -> dict[str, Any]:
    """What suits points with intervals; looks that tell networks apart do not, there are none."""
    return {k: v for k, v in kwargs.items() if k in ("capsize", "markersize", "elinewidth")}


def _all(ax: Axes, result: Result, look: dict[str, Any]) -> Axes:
    seen = result.isel(claim=np.flatnonzero(np.isfinite(result["mean"].values)))
    words = [str(word) for word in seen["word"].values]
    order = sorted(range(len(words)), key=lambda i: (list(WORD_COLOURS).index(words[i]), i))
    ax.axvspan(-1, 1, color="#EEEEEE", zorder=0)
    ax.axvline(0, color=style.NEUTRAL, linewidth=0.6, zorder=1)
    for row, i in enumerate(reversed(order)):
        one = seen.isel(claim=i)
        _point(ax, one, row, float(one["smallest"]), look | {"color": WORD_COLOURS[words[i]]})
    titles = [textwrap.fill(str(seen["title"].values[i]), 44) for i in reversed(order)]
    ax.set_yticks(range(len(order)), titles)
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.set_xscale("symlog", linthresh=1.0, linscale=1.0)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.set_xlabel("effect / smallest effect of interest (grey: smaller), 95 % intervals")
    side = ax.secondary_yaxis("right")
    side.set_yticks(range(len(order)), [words[i] for i in reversed(order)])
    side.tick_params(length=0)
    for text, i in zip(side.get_yticklabels(), reversed(order), strict=True):
        text.set_color(WORD_COLOURS[words[i]])
    return ax


def _one(ax: Axes, result: Result, claim: str, look: dict[str, Any]) -> Axes:
    if claim not in result["claim"].values:
        known = ", ".join(map(str, result["claim"].values))
        raise ValueError(f"no claim '{claim}' in the result. Choices: {known}")
    one = result.sel(claim=claim)
    word, smallest = str(one["word"].item()), float(one["smallest"])
    rows = [("effect", one, WORD_COLOURS[word])]
    for j in range(one.sizes["comparison"]):
        name, kind = str(one["comparison_name"].values[j]), str(one["comparison_kind"].values[j])
        if name:
            part = one.isel(comparison=j)
            told = {key: part[f"comparison_{key}"] for key in ("mean", "low", "high")}
            text = f"control: {name}" if kind == "control" else f"mended: {name}"
            rows.append((text, Result(told), style.NEUTRAL))
    ax.axvspan(-smallest, smallest, color="#EEEEEE", zorder=0)
    ax.axvline(0, color=style.NEUTRAL, linewidth=0.6, zorder=1)
    for row, (_, part, color) in enumerate(reversed(rows)):
        if np.isfinite(float(part["mean"])):
            _point(ax, part, row, 1.0, look | {"color": color})
    texts = [textwrap.fill(text, 24) for text, _, _ in reversed(rows)]
    ax.set_yticks(range(len(rows)), texts)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    units = str(one["effect_units"].item())
    ax.set_xlabel("effect" + ("" if units == "1" else f" [{units}]") + ", grey: of no interest")
    return ax


def _point(ax: Axes, part: Result, row: int, scale: float, look: dict[str, Any]) -> None:
    mean, low, high = (float(part[key]) / scale for key in ("mean", "low", "high"))
    ends = [[mean - low], [high - mean]] if np.isfinite([low, high]).all() else None
    ax.errorbar([mean], [row], xerr=ends, **look)
