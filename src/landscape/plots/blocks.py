"""Leading eigenvalues and mean eigenvalue of each diagonal block of the Hessian."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result

VIEWS = ("eigenvalue", "trace")
LAYOUT = style.Layout(share=("xy", "xy"), height=0.75)
CONDITIONS = True

_KINDS = [*style.KIND_COLOURS, "head", "other"]


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "eigenvalue",
    names: Sequence[str] | None = None,
    depth: bool = False,
    linthresh: Mapping[str, float] | float | None = None,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Eigenvalues of each block, or the trace per parameter with its standard error.

    Dashed lines are the largest and the most negative of the whole network's, beyond which no
    block has any (or its mean eigenvalue). What did not converge is hollow.

    Parameters
    ----------
    result
        Of ``landscape.blocks``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"eigenvalue"`` or ``"trace"``.
    names
        Blocks from left to right; the result's by default.
    depth
        Blocks stand at their depth instead, without a name.
    linthresh
        Magnitude below which the axis is linear; 0 for a logarithmic axis, where there is no
        negative; or one for each view. By default the values decide.
    legend
        Draw a legend in the axes.
    kwargs
        For ``ax.plot`` or ``ax.errorbar``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    style.require(result, "eigenvalue", "converged", "trace_per_parameter", "network_eigenvalue")
    ax = style.axes(ax)
    own = [str(name) for name in result["block"].values]
    names = own if names is None else list(names)
    x = result["depth"].values if depth else np.array([names.index(name) for name in own])
    if linthresh is None:
        linthresh = _linthresh([result], view)
    _scale(ax, linthresh[view] if isinstance(linthresh, Mapping) else linthresh)
    look: dict[str, Any] = {"color": style.colour(result), "linestyle": "none"} | kwargs
    if view == "eigenvalue":
        _eigenvalues(ax, result, x, look)
        ends = result["network_eigenvalue"].values
        levels = [part.max() if part.max() > 0 else part.min() for part in _signs(ends)]
        ax.set_ylabel(style.label(result["eigenvalue"]))
    else:
        trace, error = result["trace_per_parameter"], result["trace_per_parameter_se"].values
        bars: dict[str, Any] = {"marker": "D", "capsize": 2, "elinewidth": 0.8, "gid": "trace"}
        ax.errorbar(x, trace.values, yerr=error, **(bars | look))
        levels = [float(result["network_trace_per_parameter"])]
        ax.set_ylabel(style.label(trace))
    dashes: dict[str, Any] = {"color": style.INK, "linestyle": (0, (4, 2)), "linewidth": 0.8}
    for level in levels:
        label = None if _named(ax, "whole network") else "whole network"
        ax.axhline(level, zorder=1, label=label, gid="network", **dashes)
    if ax.get_yscale() == "symlog":
        ax.axhline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    ax.set_title(style.name(result))
    if depth:
        style.unit_axis(ax)
        ax.set_xlabel(style.label(result["depth"]))
    else:
        ax.set_xticks(range(len(names)), names, rotation=90 if _long(names) else 0)
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.set_xlabel("")
    if legend:
        ax.legend(fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """The same blocks on the axis of every panel, or depth where they have no name in common."""
    for result in results:
        style.require(result, "eigenvalue", "trace_per_parameter", "depth")
    scales = {"linthresh": {view: _linthresh(results, view) for view in VIEWS}}
    lists = [[str(n) for n in r["block"].values] for r in results]
    every = list(dict.fromkeys(name for names in lists for name in names))
    if set(every) <= set(_KINDS):
        return scales | {"names": sorted(every, key=_KINDS.index)}
    common = set(every).intersection(*lists)
    return scales | ({"names": every} if 2 * len(common) > len(every) else {"depth": True})


def _signs(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The positive and the negative ones, where there are any."""
    return [part for part in (values[values > 0], values[values < 0]) if len(part)]


def _eigenvalues(ax: Axes, result: Result, x: NDArray[Any], look: dict[str, Any]) -> None:
    values, converged = result["eigenvalue"].values, result["converged"].values.astype(bool)
    place = np.broadcast_to(x[:, None], values.shape)
    found = np.isfinite(values)
    first = np.zeros_like(found)
    first[:, 0] = True
    top: dict[str, Any] = {"marker": "o", "markersize": 4.5, "markeredgewidth": 0.8}
    rest: dict[str, Any] = {"marker": "_", "markersize": 7, "markeredgewidth": 1}
    hollow: dict[str, Any] = {"marker": "o", "markersize": 4, "markerfacecolor": "white"}
    for part, which, how in (
        ("rest", found & ~first & converged, rest),
        ("top", found & first & converged, top),
        ("unconverged", found & ~converged, hollow),
    ):
        ax.plot(place[which], values[which], **(look | how), gid=part)
    neutral: dict[str, Any] = {"color": style.NEUTRAL, "linestyle": "none"}
    ranks = values.shape[1]
    for text, how, there in (
        ("largest magnitude", top, True),
        (f"ranks 2 to {ranks}" if ranks > 2 else "rank 2", rest, ranks > 1),
        ("unconverged (hollow)", hollow, bool((found & ~converged).any())),
    ):
        if there and not _named(ax, text):
            ax.plot([], [], label=text, **neutral, **how)


def _scale(ax: Axes, linthresh: float) -> None:
    if linthresh > 0:
        ax.set_yscale("symlog", linthresh=linthresh, linscale=0.5)
        ax.yaxis.set_minor_locator(NullLocator())
    else:
        ax.set_yscale("log")
    # those next to 0 would run into its own
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v:g}" if v == 0 or abs(v) > 2 * linthresh else "")
    )


def _range(results: Sequence[Result], view: str) -> NDArray[np.float64]:
    name = "eigenvalue" if view == "eigenvalue" else "trace_per_parameter"
    values = np.concatenate([r[name].values.ravel() for r in results])
    values = values[np.isfinite(values) & (values != 0)]
    return values if len(values) else np.ones(1)


def _linthresh(results: Sequence[Result], view: str) -> float:
    """Logarithmic where all is positive, else linear below the smallest, or four decades down."""
    values = _range(results, view)
    sizes = np.abs(values)
    if values.min() > -1e-9 * sizes.max():  # but for rounding
        return 0.0
    low = max(sizes.min(), 1e-4 * sizes.max())  # not down to rounding errors
    return float(10 ** np.floor(np.log10(low)))


def _named(ax: Axes, text: str) -> bool:
    return text in ax.get_legend_handles_labels()[1]


def _long(names: Sequence[str]) -> bool:
    return sum(len(name) + 1 for name in names) > 36
