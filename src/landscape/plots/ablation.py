"""What a network loses with attention frozen or narrowed, with intervals."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from landscape.plots import style
from landscape.plots._categories import categories
from landscape.result import Result

VIEWS = ("accuracy_drop", "nll_increase", "moved")
LAYOUT = {view: style.Layout(panels=False, height=0.75) for view in VIEWS}


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "accuracy_drop",
    among: int = 1,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Loss of accuracy, or rise of the NLL, under each change of the attention.

    Parameters
    ----------
    result
        Of ``landscape.ablation``.
    ax
        Where to draw; pyplot's current axes by default. Several networks may share one.
    view
        ``"accuracy_drop"``, ``"nll_increase"``, or ``"moved"``: how much of the attention is
        somewhere else.
    among
        How many networks share the axes.
    legend
        Draw a legend, with the accuracy of the whole network.
    kwargs
        For ``ax.errorbar``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    style.require(result, view, f"{view}_se", "condition", "accuracy", "nll")
    ax = style.axes(ax)
    if "label" not in kwargs:  # else the legend says it
        ax.set_title(style.name(result))
    name = kwargs.pop("label", style.name(result))
    whole, changed = result.isel(condition=0), result.isel(condition=slice(1, None))
    label = f"{name} ({float(whole['accuracy']):.1%}, {float(whole['nll']):.2f} nats)"
    names = [_named(str(c)) for c in changed["condition"].values]
    values, errors = changed[view].values, changed[f"{view}_se"].values
    categories(ax, result, names, values, errors, among=among, label=label, **kwargs)
    ax.axhline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    ax.set_xlabel("attention")
    ax.set_ylabel(f"{style.label(result[view])}\n(95 % intervals)")
    if view != "nll_increase":
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if legend:
        ax.legend(fontsize="small")
    return ax


def _named(condition: str) -> str:
    side = condition.partition("x")[0]
    return f"{side}×{side}\nplaces" if side.isdigit() else condition.replace(" ", "\n")


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Networks stand beside each other; they need the same windows."""
    found = {tuple(map(str, r["condition"].values)) for r in results if "condition" in r}
    if len(found) > 1:
        told = " and ".join(", ".join(names) for names in sorted(found))
        raise ValueError(f"one figure shows the same changes of attention, not {told}")
    return {"among": len(results)}
