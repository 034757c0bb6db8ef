"""Density of all Hessian eigenvalues (Ghorbani et al. 2019), with its standard error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from landscape.plots import style
from landscape.result import Result

LAYOUT = style.Layout(panels=False, height=0.7)
CONDITIONS = True


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    threshold: float | None = None,
    band: bool = True,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Eigenvalues per decade on a symmetric logarithmic axis, as counts.

    Parameters
    ----------
    result
        Of ``landscape.density``.
    ax
        Where to draw; pyplot's current axes by default.
    threshold
        Magnitude below which the axis is linear; the result's by default.
    band
        Shade two standard errors (over the probes) to each side.
    legend
        Draw a legend in the axes.
    kwargs
        For ``ax.plot``.
    """
    style.require(result, "density", "density_se", "resolution", "negative_mass", "size")
    ax = style.axes(ax)
    start = float(result["threshold"]) if threshold is None else threshold
    ax.set_xscale("symlog", linthresh=2 * start, linscale=0.5)
    x, y = result["eigenvalue"].values, result["density"].values
    name = str(kwargs.pop("label", style.name(result)))
    kwargs.pop("marker", None)
    told = f"{name}: negative mass {float(result['negative_mass']):.1%}"
    error = float(result["negative_mass_se"])
    told += f" ± {error:.1%}" if np.isfinite(error) else ""
    (line,) = ax.plot(x, y, **({"color": style.colour(result), "label": told} | kwargs))
    if band:
        spread = 2 * np.nan_to_num(result["density_se"].values)
        shade: dict[str, Any] = {"color": line.get_color(), "alpha": 0.2, "linewidth": 0}
        ax.fill_between(x, np.maximum(y - spread, 0), y + spread, gid="band", **shade)
    ax.axvline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    ax.set_yscale("log")
    floor = 0.3 / float(result["size"])  # one eigenvalue, broadened, still shows
    known = ax.get_ylim() if ax.lines[:-2] else (floor, 0.0)
    ax.set_ylim(min(floor, known[0]), max(2 * float(y.max()), known[1]))
    seen = np.abs(x[y > floor])
    reach = max(float(seen.max(initial=start)), *np.abs(ax.get_xlim()) if ax.lines[:-2] else (0.0,))
    ax.set_xlim(-1.1 * reach, 1.1 * reach)
    powers = 10.0 ** np.arange(np.ceil(np.log10(3 * start)), np.floor(np.log10(reach)) + 1)
    ax.set_xticks([*-powers[::-1], 0.0, *powers])
    ax.set_xlabel(style.label(result["eigenvalue"]))
    ax.set_ylabel("share of eigenvalues per decade")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    if legend:
        ax.legend(loc="upper left", fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """One axis for several results: linear up to the largest of their thresholds."""
    for result in results:
        style.require(result, "threshold")
    return {"threshold": kwargs.get("threshold") or max(float(r["threshold"]) for r in results)}
