"""Loss on the lines that would lead away from a minimum: downhill, and out of a saddle."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result

LAYOUT = style.Layout(share=("x",), height=0.8)
CONDITIONS = True

_DRAWN = ("change", "decrease", "eigenvalue", "residual", "rounding", "risk")
_ROWS = 4  # ticks to either side of zero


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    linthresh: float | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Change of the loss against the step, with its rounding noise; verdict and λ_min above.

    ``v`` is the Ritz vector of the smallest eigenvalue λ_min, given plus or minus its residual. A
    dot is the largest decrease before the first rise.

    Parameters
    ----------
    result
        Of ``landscape.critical``.
    ax
        Where to draw; pyplot's current axes by default.
    linthresh
        Change up to which the axis is linear; the rounding noise by default.
    legend
        Draw a legend in the axes.
    kwargs
        For ``ax.plot``.
    """
    style.require(result, *_DRAWN)
    ax = style.axes(ax)
    step, change = result["step"].values, result["change"].values
    rise = float(change.max(initial=0.0, where=np.isfinite(change)))
    fall = float(result["decrease"].max())
    top = min(rise, 10 * max(fall, abs(float(result["risk"])))) or rise
    if linthresh is None:
        linthresh = max(float(result["rounding"]), 1e-12 * max(top, fall)) or 1.0
    if not linthresh > 0:
        raise ValueError(f"linthresh must be positive, got {linthresh}")
    look = {"color": style.colour(result)} | kwargs
    floor = float(result["rounding"])
    shade: dict[str, Any] = {"color": style.NEUTRAL, "alpha": 0.25, "linewidth": 0}
    ax.axhspan(-floor, floor, gid="rounding", label="rounding", zorder=0.6, **shade)
    for i, (side, dash) in enumerate(zip(result["side"].values, style.LINESTYLES, strict=False)):
        mine = look | {"linestyle": dash, "gid": str(side)}
        if not np.any(change[i]) and side == "-g":
            continue  # no gradient, no line
        ax.plot(step, change[i], **mine)
        ax.plot([], [], color=style.NEUTRAL, linestyle=dash, label=str(side).replace("-", "−"))
        drop = float(result["decrease"][i])
        if drop > 0:
            where = step[np.flatnonzero(change[i] == -drop)[:1]]
            ax.plot(where, [-drop], "o", color=look["color"], markersize=3, gid=f"lowest {side}")
    ax.axhline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=linthresh, linscale=0.4)
    ax.set_xlim(step[0], step[-1])
    top, low = max(top, 10 * linthresh), -max(3 * fall, 10 * linthresh)
    ax.set_ylim(low, top)
    ax.set_yticks([*-_powers(linthresh, -low)[::-1], 0.0, *_powers(linthresh, top)])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(style.label(result["step"]))
    ax.set_ylabel(style.label(result["change"]))
    ends = result.sel(end="smallest")
    value = f"{float(ends['eigenvalue']):.3g} ± {float(ends['residual']):.1g}".replace("-", "−")
    verdict = result.attrs.get("verdict", "")
    ax.set_title(f"{style.name(result)}\n{verdict}\n$λ_\\mathrm{{min}}$ = {value}")
    if legend:
        ax.legend(loc="best", fontsize="small")
    return ax


def _powers(low: float, high: float) -> NDArray[np.float64]:
    """Powers of ten from a decade above ``low`` to ``high``, few enough to be read."""
    last = np.floor(np.log10(high) + 1e-9)
    count = max(0.0, last - np.log10(low))
    powers: NDArray[np.float64] = 10.0 ** np.arange(
        last, np.log10(low) + 1.01, -max(1.0, np.ceil(count / _ROWS))
    )
    return powers[::-1]
