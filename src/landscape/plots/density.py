"""Density of all Hessian eigenvalues (Ghorbani et al. 2019), with its standard error."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result

LAYOUT = style.Layout(height=0.95)
CONDITIONS = True

_TICKS = 7  # decades between the ends of the axis that can each have a numeral
_SIGNS = {"hessian": "H", "ggn": "G", "residual": "R"}
#: name and look of the Hessian, which has the colour of the network, and of its parts
_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "hessian": ("Hessian H", {"linestyle": "-", "linewidth": 1.4, "zorder": 2.0}),
    "ggn": ("Gauss-Newton G", {"linestyle": "--", "color": style.NEUTRAL, "zorder": 2.2}),
    "residual": ("residual R", {"linestyle": ":", "color": style.INK, "zorder": 2.4}),
}


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    threshold: float | None = None,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    band: bool = True,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Share of the eigenvalues per decade of an axis that is logarithmic to both sides of zero.

    The axis is ``asinh(x / 2 threshold)``, on which the density is defined. In the corners stand
    the share of the negative eigenvalues in the sum of the magnitudes, and how far a single
    eigenvalue is broadened. If the result has them, the parts of the Hessian are drawn over it.

    Parameters
    ----------
    result
        Of ``landscape.density``.
    ax
        Where to draw; pyplot's current axes by default.
    threshold
        Magnitude below which the axis is linear; the result's by default.
    xlim, ylim
        Of the axes. By default they hold all that is more than a third of an eigenvalue a decade.
    band
        Shade two standard errors (over the probes) to each side.
    legend
        Draw a legend in the axes, if there is a ``label`` or there are parts.
    kwargs
        For ``ax.plot`` of the Hessian.
    """
    ax = style.axes(ax)
    start = _threshold(result) if threshold is None else threshold
    if not start > 0:
        raise ValueError(f"threshold must be positive, got {threshold}")
    x, curves = result["eigenvalue"].values, _curves(result, start)
    across, up = _limits(result, start)
    beside = any(line.get_gid() == "zero" for line in ax.lines)
    if beside:
        across, up = (_join(*pair) for pair in ((across, ax.get_xlim()), (up, ax.get_ylim())))
    across, up = xlim or across, ylim or up
    ax.set_xscale("asinh", linear_width=2 * start)
    ax.set_yscale("log")
    kwargs.pop("marker", None)
    for part, (value, error) in curves.items():
        name, look = _LOOKS[part]
        if part == "hessian":
            look = look | {"color": style.colour(result)} | kwargs
        elif "label" not in kwargs:
            look = look | {"label": name}
        if part == "hessian" and len(curves) > 1 and "label" not in kwargs:
            ax.plot([], [], label=name, **(look | {"color": style.NEUTRAL}))  # of any network
        (line,) = ax.plot(x, value, gid=part, **look)
        if band:
            shade: dict[str, Any] = {"color": line.get_color(), "alpha": 0.25, "linewidth": 0}
            ends = np.maximum(value - 2 * error, up[0] / 10), value + 2 * error
            ax.fill_between(x, *ends, gid=f"{part} band", zorder=1.5, **shade)
    ax.axvline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    ax.set_xlim(*across)
    ax.set_ylim(*up)
    _ticks(ax, start)
    if not beside:  # the corners are taken
        corner: dict[str, Any] = {"xycoords": "axes fraction", "va": "top", "fontsize": 7}
        corner |= {"textcoords": "offset points", "color": style.INK, "linespacing": 1.15}
        ax.annotate(_masses(result), (0, 1), (3, -3), ha="left", gid="negative mass", **corner)
        width = f"resolution\n{float(result['resolution']):#.2g} decades"
        ax.annotate(width, (1, 1), (-3, -3), ha="right", gid="resolution", **corner)
    ax.set_xlabel(style.label(result["eigenvalue"]))
    ax.set_ylabel("share of eigenvalues per decade")
    ax.set_title(style.name(result))
    if legend and ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower right", fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """One axis for several results: linear up to the largest of their thresholds."""
    start = kwargs.get("threshold") or max(_threshold(result) for result in results)
    limits = [_limits(result, start) for result in results]
    across, up = limits[0]
    for more in limits[1:]:
        across, up = _join(across, more[0]), _join(up, more[1])
    return {"threshold": start, "xlim": across, "ylim": up}


def _threshold(result: Result) -> float:
    needs = ("density", "density_se", "resolution", "threshold", "negative_mass", "size")
    style.require(result, *needs)
    return float(result["threshold"])


def _curves(result: Result, start: float) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Density and standard error of each matrix, per decade of an axis with this threshold."""
    x, own = result["eigenvalue"].values, _threshold(result)
    ratio = np.sqrt((x**2 + 4 * start**2) / (x**2 + 4 * own**2))
    names = ["density", "density_se"]
    found = {"hessian": [result[name].values for name in names]}
    if "part" in result.sizes:
        style.require(result, *(f"part_{name}" for name in names))
        for part in result["part"].values:
            found[str(part)] = [result[f"part_{n}"].sel(part=part).values for n in names]
    return {k: (ratio * value, ratio * np.nan_to_num(error)) for k, (value, error) in found.items()}


def _limits(result: Result, start: float) -> tuple[tuple[float, float], tuple[float, float]]:
    x, curves = result["eigenvalue"].values, _curves(result, start)
    top = np.max([value for value, _ in curves.values()], axis=0)
    floor = 0.3 / float(result["size"])  # one eigenvalue, broadened, still shows
    seen = x[top > floor]
    ends = seen.min(initial=-3 * start), seen.max(initial=3 * start)
    room = 4 if len(curves) == 1 else 60  # above the peak, for the words in the corner
    return (1.2 * float(ends[0]), 1.2 * float(ends[1])), (floor, room * float(top.max()))


def _join(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


def _ticks(ax: Axes, start: float) -> None:
    """Zero and powers of ten, with numerals as far apart as they need."""
    low, high = (np.arcsinh(end / (2 * start)) / np.log(10) for end in ax.get_xlim())
    step = max(1, int(np.ceil((high - low) / _TICKS)))
    last = np.log10(np.abs(ax.get_xlim()).max()) + 0.01
    for place, apart in ((ax.xaxis.set_major_locator, step), (ax.xaxis.set_minor_locator, 1)):
        first = int(np.ceil((np.log10(start) + 0.6 * apart) / apart)) * apart
        powers = 10.0 ** np.arange(first, last, apart)
        place(FixedLocator([*-powers[::-1], 0.0, *powers]))
    ax.xaxis.set_major_formatter(FuncFormatter(_power))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(LogLocator(numticks=6))
    ax.yaxis.set_minor_locator(NullLocator())


def _power(value: float, _: Any) -> str:
    sign = "-" if value < 0 else ""
    return f"${sign}10^{{{round(np.log10(abs(value)))}}}$" if value else "0"


def _masses(result: Result) -> str:
    """Negative mass, of each part if there are parts."""
    whole = _share(result["negative_mass"], result["negative_mass_se"])
    if "part" not in result.sizes:
        return f"negative mass\n{whole}"
    style.require(result, "part_negative_mass", "part_negative_mass_se")
    lines = ["negative mass", f"{_SIGNS['hessian']} {whole}"]
    for part in result["part"].values:
        pair = (result[f"part_negative_mass{end}"].sel(part=part) for end in ("", "_se"))
        lines.append(f"{_SIGNS[str(part)]} {_share(*pair)}")
    return "\n".join(lines)


def _share(value: Any, error: Any) -> str:
    told = f"{100 * float(value):.1f}"
    return f"{told} ± {100 * float(error):.1f}%" if np.isfinite(error) else f"{told}%"
