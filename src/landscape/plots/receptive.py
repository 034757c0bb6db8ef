"""Receptive fields and reach of attention against depth, and the fields as maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, Rectangle

from landscape.plots import style
from landscape.plots._depth import profile
from landscape.result import Result

VIEWS = ("radius", "distance", "field")
LAYOUT = style.Layout(share=("xy", "xy", "x"), height=0.8)

_GAP = 0.06  # between the maps of a view, of their side


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "radius",
    spans: bool = True,
    legend: bool = True,
    **kwargs: Any,
) -> Axes:
    """Radius of the effective receptive field, distance of attention, or the fields.

    Parameters
    ----------
    result
        Of ``landscape.receptive``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"radius"``: radii that hold 90 % (line) and 50 % (dashed) of the squared gradient, with
        standard errors, and half the side of the support (dotted; a lower bound where it is open).
        ``"distance"``: the mean distance of attention of every head, their mean (line), and that of
        uniform attention (dotted). ``"field"``: the fields at four depths, with the radius of 90 %.
    spans
        View ``"radius"``: shade the kinds of operation and mark the changes of the grid.
    legend
        Draw a legend.
    kwargs
        For ``ax.errorbar`` (radius), ``ax.plot`` (distance), ``ax.imshow`` (field).
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    style.require(result, "radius", "radius_se", "support_side", "support_cut", "field", "depth")
    ax = style.axes(ax)
    {"radius": _radius, "distance": _distance, "field": _field}[view](ax, result, spans, kwargs)
    if legend and view != "field" and ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Leave the row of attention out if no network has any."""
    if "view" in kwargs or any("layer" in r.dims for r in results):
        return {}
    return {"view": "radius"}


def _radius(ax: Axes, result: Result, spans: bool, kwargs: dict[str, Any]) -> None:
    shares = result["share"].values
    inner, outer = (result.isel(share=i) for i in (int(shares.argmin()), int(shares.argmax())))
    depth = result["depth"].values
    line = {"color": style.colour(result)} | kwargs
    half = result["support_side"].values / 2
    cut = result["support_cut"].values > 0
    thin: dict[str, Any] = {"linewidth": 0.8, "color": style.NEUTRAL, "linestyle": ":"}
    ax.plot(depth, half, gid="support", label="half the support", **thin)
    ring: dict[str, Any] = {"marker": "o", "markersize": 3, "markerfacecolor": "white"}
    if cut.any():
        ring |= {"linestyle": "none", "color": style.NEUTRAL, "markeredgewidth": 0.6}
        ax.plot(depth[cut], half[cut], gid="cut", label="cut by edge", **ring)
    dash = line | {"linestyle": "--", "linewidth": 0.8, "elinewidth": 0.6}
    values, errors = inner["radius"].values, inner["radius_se"].values
    ax.errorbar(depth, values, yerr=errors, **dash)
    ax.plot([], [], color=style.NEUTRAL, linestyle="--", label=f"{shares.min():.0%} inside")
    ax.plot([], [], color=style.NEUTRAL, label=f"{shares.max():.0%} inside")
    profile(ax, result, outer["radius"].values, outer["radius_se"].values, spans=spans, **line)
    _from_zero(ax)
    ax.set_ylabel(style.label(result["radius"]))


def _distance(ax: Axes, result: Result, spans: bool, kwargs: dict[str, Any]) -> None:
    ax.set_title(style.name(result))
    ax.set_xlabel(style.label(result["depth"]))
    ax.set_ylabel("mean attention distance\n[input pixels]")
    ax.margins(y=0.1)
    if "layer" not in result.dims:
        ax.text(0.5, 0.5, "no attention", transform=ax.transAxes, ha="center", color=style.NEUTRAL)
        ax.set_xlim(-0.03, 1.03)
        return
    style.require(result, "attention_pixels", "uniform_pixels", "layer_depth")
    depth, far = result["layer_depth"].values, result["attention_pixels"]
    look: dict[str, Any] = {"color": style.colour(result)} | kwargs
    each = np.broadcast_to(depth[:, None], far.shape)
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3, "alpha": 0.6}
    ax.plot(each.ravel(), far.values.ravel(), gid="heads", **(look | dots))
    order = np.argsort(depth, kind="stable")
    ax.plot(depth[order], far.mean("head").values[order], gid="mean", **look)
    uniform = result["uniform_pixels"].mean("head").values
    flat: dict[str, Any] = {"color": style.NEUTRAL, "linestyle": ":", "linewidth": 0.8}
    ax.plot(depth[order], uniform[order], gid="uniform", label="uniform", **flat)
    ax.plot([], [], color=style.NEUTRAL, label="head", **{k: dots[k] for k in dots if k != "alpha"})
    style.unit_axis(ax)
    _from_zero(ax)


def _from_zero(ax: Axes) -> None:
    """Let the axis begin at zero, and leave its end to the panels that share it."""
    ax.update_datalim(((0.0, 0.0),))
    ax.autoscale_view(scalex=False)


def _field(ax: Axes, result: Result, spans: bool, kwargs: dict[str, Any]) -> None:
    order = np.argsort(result["depth"].values, kind="stable")
    last = len(order) - 1
    picks = order[[round(i * last / 3) for i in range(4)]]
    field, share = result["field"].values, float(result["share"].max())
    h, w = field.shape[1:]
    look: dict[str, Any] = {"cmap": "viridis", "vmin": 0.0, "vmax": 1.0} | kwargs
    for place, tap in enumerate(picks):
        y, x = place // 2 * (1 + _GAP) * h, place % 2 * (1 + _GAP) * w
        level = np.sqrt(field[tap] / np.nanmax(field[tap]))
        image = ax.imshow(level, extent=(x, x + w, y + h, y), interpolation="nearest", **look)
        image.set_gid(f"field {tap}")
        grid = [int(n) for n in str(result["grid"].values[tap]).split("x")]
        row, column = ((n // 2 + 0.5) / n * side for n, side in zip(grid, (h, w), strict=True))
        radius = float(result["radius"].isel(tap=tap).max())
        rim: dict[str, Any] = {"fill": False, "edgecolor": "white", "linewidth": 0.7}
        circle = Circle((x + column, y + row), radius, linestyle="--", **rim)
        ax.add_patch(circle)
        circle.set_clip_path(Rectangle((x, y), w, h, transform=ax.transData))
        text = f"{result['depth'].values[tap]:.2g}"
        ax.text(x + 0.04 * w, y + 0.04 * h, text, color="white", va="top", fontsize=7)
    ax.set_xlim(0, (2 + _GAP) * w)
    ax.set_ylim((2 + _GAP) * h, 0)
    ax.set_aspect("equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(style.name(result))
    ax.set_xlabel(f"four depths, {h}×{w} input pixels\ncircle: {share:.0%} inside")
    ax.set_ylabel("root of the squared\ngradient / its maximum")
