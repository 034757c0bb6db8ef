"""Which of two cues decides (Geirhos et al. 2019), with intervals."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from landscape.plots import style
from landscape.plots._categories import categories
from landscape.result import Result

VIEWS = ("share", "either")
LAYOUT = {view: style.Layout(panels=False, height=0.75) for view in VIEWS}


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "share",
    among: int = 1,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Share of the first cue among decisions for either, for each pair, with 95 % intervals.

    Parameters
    ----------
    result
        Of ``landscape.cues``.
    ax
        Where to draw; pyplot's current axes by default. Several networks may share one.
    view
        ``"share"``, or ``"either"``: how many images are decided for either cue at all.
    among
        How many networks share the axes.
    legend
        Draw a legend, with the accuracy on images as they are.
    kwargs
        For ``ax.errorbar``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    style.require(result, view, f"{view}_se", "first_cue", "second_cue", "clean_accuracy")
    ax = style.axes(ax)
    pairs = zip(result["first_cue"].values, result["second_cue"].values, strict=True)
    over = "over" if view == "share" else "or"
    names = [f"{first}\n{over}\n{second}" for first, second in pairs]
    if "label" not in kwargs:  # else the legend says it
        ax.set_title(style.name(result))
    name = kwargs.pop("label", style.name(result))
    label = f"{name} ({float(result['clean_accuracy']):.1%} on images as they are)"
    values, errors = result[view].values, result[f"{view}_se"].values
    categories(ax, result, names, values, errors, among=among, label=label, **kwargs)
    if view == "share":
        half: dict[str, Any] = {"color": style.INK, "linewidth": 0.6, "linestyle": ":"}
        ax.axhline(0.5, zorder=0.5, gid="half", **half)
        ax.set_ylabel("share of the first cue among\ndecisions for either (95 % intervals)")
    else:
        ax.set_ylabel(f"{style.label(result[view])}\n(95 % intervals)")
    ax.set_ylim(-0.03, 1.03)
    if legend:
        ax.legend(fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Networks stand beside each other; they need the same pairs of cues."""
    pairs = {tuple(map(str, r["conflict"].values)) for r in results if "conflict" in r}
    if len(pairs) > 1:
        told = " and ".join(", ".join(names) for names in sorted(pairs))
        raise ValueError(f"one figure shows the same pairs of cues, not {told}")
    return {"among": len(results)}
