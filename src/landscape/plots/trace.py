"""Trace and squared Frobenius norm of the Hessian, with their 95 % intervals."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.plots import style
from landscape.result import Result

LAYOUT = style.Layout(panels=False, height=0.7)
CONDITIONS = True

_NAMES = ("trace", "frobenius")


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    log: Collection[str] = (),
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """One point, the squared Frobenius norm over the trace, with a bar for either interval.

    Parameters
    ----------
    result
        Of ``landscape.trace``. Without a Frobenius norm there is a line at the trace.
    ax
        Where to draw; pyplot's current axes by default.
    log
        Which of ``"trace"``, ``"frobenius"`` has a logarithmic axis.
    legend
        Draw a legend in the axes.
    kwargs
        For ``ax.errorbar``.
    """
    style.require(result, *(f"{name}{end}" for name in _NAMES for end in ("", "_low", "_high")))
    ax = style.axes(ax)
    (x, left), (y, up) = (_point(result, name) for name in _NAMES)
    name = str(kwargs.pop("label", style.name(result)))
    kwargs.pop("linestyle", None)
    color = kwargs.pop("color", style.colour(result))
    look = {"color": color, "label": f"{name}: trace {_told(x, left)}"}
    if np.isfinite(y):
        mark = {"marker": "o", "linestyle": "none", "capsize": 2, "elinewidth": 0.8} | kwargs
        # an interval that is not known has no bar
        ax.errorbar(x, y, xerr=np.nan_to_num(left), yerr=np.nan_to_num(up), **(look | mark))
    else:
        ax.axvline(x, **look)
        ax.axvspan(x - np.nan_to_num(left), x + np.nan_to_num(left), color=color, alpha=0.2, lw=0)
    ax.set_xscale("log" if "trace" in log else "linear")
    ax.set_yscale("log" if "frobenius" in log else "linear")
    known = bool(ax.containers)
    ax.tick_params(axis="y", left=known, labelleft=known)
    ax.margins(0.15)
    ax.set_xlabel(style.label(result["trace"], "and 95 % interval"))
    ax.set_ylabel(style.label(result["frobenius"], "and 95 % interval", width=26))
    if legend:
        ax.legend(loc="upper left", fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Logarithmic axes where the results are far apart and nothing reaches down to zero."""
    found = []
    for name in _NAMES:
        for result in results:
            style.require(result, name, f"{name}_low")
        ends = [float(r[end]) for r in results for end in (name, f"{name}_low")]
        known = [value for value in ends if np.isfinite(value)]
        if known and min(known) > 0 and max(known) > 20 * min(known):
            found.append(name)
    return {"log": tuple(found)}


def _point(result: Result, name: str) -> tuple[float, float]:
    """Value and half the interval."""
    return float(result[name]), float(result[f"{name}_high"] - result[f"{name}_low"]) / 2


def _told(value: float, half: float) -> str:
    """Value and half the interval, to two digits of that."""
    if not np.isfinite(half):
        return f"{value:.3g}"
    if not 1e-3 < half < 1e6:
        return f"{value:.3g} ± {half:.2g}"
    digits = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{value:,.{digits}f} ± {half:,.{digits}f}"
