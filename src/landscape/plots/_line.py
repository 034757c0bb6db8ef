"""The loss on lines through the weights."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from landscape.plots import style
from landscape.result import Result


def line(
    result: Result,
    height: xr.DataArray,
    ax: Axes,
    colorbar: Any = None,
    levels: Any = None,
    **kwargs: Any,
) -> Axes:
    """Draw a line with twice its standard error; of several each, and what they span."""
    alpha = height["alpha"].values
    rows = height.transpose(..., "alpha").values.reshape(-1, len(alpha))
    finite = np.isfinite(rows)
    look = {"color": style.colour(result)} | kwargs
    colour = look["color"]
    several = len(rows) > 1
    for row in rows:
        ax.plot(alpha, row, **(look | {"linewidth": 0.6 if several else 1.2}), gid="line")
    if several:
        with np.errstate(invalid="ignore"):
            low, high, text = rows.min(0), rows.max(0), f"{len(rows)} lines and what they span"
    else:
        error = np.full(len(alpha), np.nan)
        if height.name == "nll" and "nll_se" in result:
            error = 2 * result["nll_se"].values
        low, high, text = rows[0] - error, rows[0] + error, "± 2 standard errors"
    if np.isfinite(low).any():
        ax.fill_between(alpha, low, high, color=colour, alpha=0.2, linewidth=0, label=text)
    if alpha.min() <= 0 <= alpha.max():
        ax.axvline(0, color=style.NEUTRAL, linewidth=0.5, zorder=0)
    ax.set_xlabel(style.label(height["alpha"]))
    ax.set_ylabel(style.label(height))
    style.title(ax, result, ~finite, "points")
    if "node" in result.dims and height.name == "nll":
        ax.set_title(f"{ax.get_title()}\n{interpolated(result)}")
    return ax


def interpolated(result: Result) -> str:
    """Say how many nodes a slice rests on, and how far off it may be."""
    count = int(np.isfinite(result["node_alpha"].values).sum())
    bound = float(np.max(result["bound"].values))
    return f"from {count} nodes, error ≲ {bound:.2g} nats"
