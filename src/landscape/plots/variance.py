"""Variance of feature maps against depth (Park & Kim 2022, figure 9)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.plots import _power, style
from landscape.plots._depth import profile
from landscape.plots._twin import beneath
from landscape.result import Result

# the variances of two networks have no common scale, so their y axes are their own
LAYOUT = style.Layout(share=("x",), height=0.8)

QUANTITIES = ("variance", "normalised_variance")
STEPS = ("step", "normalised_step")


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    quantity: str = "variance",
    log: bool | None = None,
    spans: bool = True,
    controls: Sequence[str] | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Variance of each tap with standard errors; a dashed upright is where the grid changes.

    Parameters
    ----------
    result
        Of ``landscape.variance``.
    ax
        Where to draw; pyplot's current axes by default.
    quantity
        ``"variance"`` or ``"normalised_variance"``; ``"step"`` or ``"normalised_step"``: the change
        by each operation in dB, with 95 % intervals, but where the grid changes.
    log
        Logarithmic axis; by default if the values span more than two decades.
    spans
        Shade the kinds of operation and mark the changes of the grid.
    controls
        Which to draw in grey: all of the result by default, none if empty.
    legend
        Draw a legend of the kinds.
    kwargs
        For ``ax.errorbar``.
    """
    _check(quantity)
    style.require(result, quantity, f"{quantity}_se", "depth", "kind", "grid")
    ax = style.axes(ax)
    if quantity in STEPS:
        _power.steps(ax, result, spans, controls, quantity, **kwargs)
        if legend:
            ax.legend()
        return ax
    if log is None:
        log = _wide(result, quantity)
    if log:
        ax.set_yscale("log")
    values, errors = result[quantity].values, result[f"{quantity}_se"].values
    profile(ax, result, values, errors, spans=spans, **kwargs)
    beneath(ax, result, quantity, controls=controls)
    ax.set_ylabel(style.label(result[quantity]))
    if legend:
        ax.legend()
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """One kind of axis for several results: logarithmic if one of them needs it."""
    quantity = kwargs.get("quantity", "variance")
    _check(quantity)
    if quantity in STEPS:
        return {}
    return {"log": any(_wide(r, quantity) for r in results)}


def _check(quantity: str) -> None:
    choices = (*QUANTITIES, *STEPS)
    if quantity not in choices:
        raise ValueError(f"unknown quantity '{quantity}'. Choices: {', '.join(choices)}")


def _wide(result: Result, quantity: str) -> bool:
    style.require(result, quantity)
    values = result[quantity].values
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() > 100 * values.min())
