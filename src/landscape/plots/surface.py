"""The loss on lines and planes through the weights (Li et al. 2018; Park & Kim 2022, figure 1a)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from landscape.plots import _height, style
from landscape.plots._contour import contour
from landscape.plots._line import interpolated, line
from landscape.plots._page import page
from landscape.plots._solid import axes, solid
from landscape.result import Result

__all__ = ["CONDITIONS", "LAYOUT", "VIEWS", "page", "plot", "shared"]

VIEWS = ("contour", "3d")

LAYOUT = style.Layout(share=("xy", "xyz"), height=1.0, equal=True)

CONDITIONS = True


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "contour",
    quantity: str = "nll",
    relief: bool = False,
    plane: int = 0,
    levels: ArrayLike | None = None,
    spans: Any = None,
    colorbar: bool | Sequence[Axes] = True,
    **kwargs: Any,
) -> Axes:
    """Fill contours over the plane and label their levels, or draw it in three dimensions.

    On a line the band is twice the standard error; of several lines it spans them all, and each is
    drawn. What is interpolated says so, with the number of nodes and the estimate of its error.

    Parameters
    ----------
    result
        Of ``landscape.surface``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"contour"``: the circle is the centre; where the loss is not finite the plane is grey and
        hatched, the points are crossed out and counted. ``"3d"``: facets, on axes made with
        ``projection="3d"``; those with a corner that is not finite, or not within the levels, are
        left out, and the corners are crossed out on the floor and counted.
    quantity
        ``"nll"``; ``"accuracy"``; ``"l2"``; ``"decay"``, weight decay times that or, if it was
        asked for in this form, times the sum of norms; or ``"loss"``, NLL plus decay.
    relief
        Subtract the value at the centre.
    plane
        Which of several.
    levels
        Contour levels; in three dimensions ticks. By default they cover all values, in even steps,
        or in even ratios if the values span more than a decade.
    spans
        View ``"3d"``: ends of the axes of alpha and beta; those of the grid by default.
    colorbar
        Draw one beside the axes, or beside all of the given axes.
    kwargs
        For ``ax.contourf``, or for the collection of facets.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    if "beta" not in result.dims:
        if view == "3d":
            raise ValueError("a line has no view '3d'; compute a plane, or draw view 'contour'")
        return line(result, _height.height(result, quantity, relief), style.axes(ax), **kwargs)
    one = _height.one(result, plane)
    z = _height.height(one, quantity, relief).transpose("beta", "alpha")
    finite = np.isfinite(z.values)
    chosen = _height.levels(z.values[finite]) if levels is None else np.asarray(levels, float)
    remarks = []
    if view == "3d":
        ax = axes(ax)
        name = _height.short(z, quantity, relief)
        if beyond := solid(z, ax, chosen, name, spans=spans, colorbar=colorbar, **kwargs):
            remarks.append(f"{beyond} of {z.size} points beyond the scale (×)")
    else:
        ax = style.axes(ax)
        contour(z, ax, chosen, colorbar, **kwargs)
    style.title(ax, result, ~finite, "points")
    if "plane" in result.dims:
        remarks.append(f"plane {plane + 1} of {result.sizes['plane']}")
    if quantity in ("nll", "loss") and "node" in result.dims:
        remarks.append(interpolated(one))
    if quantity == "loss" and np.isfinite(one.get("relief_share", np.nan)):
        remarks.append(f"decay makes {float(one['relief_share']):.0%} of the relief")
    ax.set_title("\n".join([ax.get_title(), *remarks]))
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """Levels that cover several results; in three dimensions the ends of the axes, too."""
    choice = {k: v for k, v in kwargs.items() if k in ("quantity", "relief")}
    planes = [_height.one(r, kwargs.get("plane", 0)) for r in results if "beta" in r.dims]
    if not planes:
        return {}
    values = np.concatenate([_height.height(r, **choice).values.ravel() for r in planes])
    found: dict[str, Any] = {"levels": _height.levels(values[np.isfinite(values)])}
    if kwargs.get("view") != "3d":
        return found
    ends = [[float(f(r[n])) for r in planes for f in (np.min, np.max)] for n in ("alpha", "beta")]
    return found | {"spans": tuple((min(each), max(each)) for each in ends)}
