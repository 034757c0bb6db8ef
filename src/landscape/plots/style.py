"""What all figures share: colours, labels, names and sizes."""

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from landscape.result import Result

NEUTRAL = "#666666"
INK = "#222222"

# Okabe & Ito's palette: told apart with every common colour vision deficiency
FAMILY_COLOURS = {"conv": "#0072B2", "msa": "#D55E00", "hybrid": "#009E73", "mlp": "#CC79A7"}
KIND_COLOURS = {
    "stem": "#56B4E9",
    "conv": FAMILY_COLOURS["conv"],
    "dwconv": FAMILY_COLOURS["conv"],  # told from conv by its marker
    "msa": FAMILY_COLOURS["msa"],
    "mlp": FAMILY_COLOURS["mlp"],
    "pool": "#F0E442",
    "norm": "#BBBBBB",
}
KIND_MARKERS = {
    "stem": "D",
    "conv": "s",
    "dwconv": "d",
    "msa": "o",
    "mlp": "^",
    "pool": "v",
    "norm": "P",
}
KIND_NAMES = {"msa": "MSA", "mlp": "MLP", "dwconv": "depthwise conv"}
LINESTYLES = ("-", "--", "-.", ":")
SET_MARKERS = ("v", "D", "s", "P")

SINGLE_COLUMN, DOUBLE_COLUMN = 3.4, 7.0  # inches


@dataclass(frozen=True)
class Layout:
    """How the results of several models share a figure; each plot file declares one.

    Attributes
    ----------
    panels
        One axes for each model; otherwise all on the same axes.
    share
        Which axes the panels of a row have in common, for each view; ``"xyz"`` is a view in three
        dimensions, whose limits the file's ``shared`` has to give.
    height
        Of one axes, as a multiple of its width.
    equal
        Whether the axes have an equal aspect.
    rows
        A dimension that has a line of text for each entry: it gives the height instead, and the
        figure is two columns wide.
    """

    panels: bool = True
    share: tuple[Literal["xy", "x", "xyz"], ...] = ("xy",)
    height: float = 0.75
    equal: bool = False
    rows: str = ""


@contextmanager
def paper(width: float = SINGLE_COLUMN) -> Iterator[None]:
    """Sizes for a figure printed ``width`` inches wide: no letter is smaller than 7 pt.

    Examples
    --------
    >>> with paper(DOUBLE_COLUMN):
    ...     mpl.rcParams["figure.figsize"][0]
    7.0
    """
    sizes: Any = {
        "figure.figsize": (width, 0.75 * SINGLE_COLUMN),
        "figure.dpi": 150,
        "savefig.dpi": 300,
        "font.size": 8,
        "axes.labelsize": 8,
        "axes.titlesize": 8,
        "figure.labelsize": 8,
        "legend.fontsize": 7,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.4,
        "hatch.linewidth": 0.5,
        "lines.linewidth": 1.0,
        "lines.markersize": 3.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.minor.size": 1.5,
        "ytick.minor.size": 1.5,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "legend.borderaxespad": 0.3,
        "legend.columnspacing": 1.2,
        "pdf.fonttype": 42,
        "svg.hashsalt": "landscape",
    }
    with mpl.rc_context(sizes):
        yield


def axes(ax: Axes | None) -> Axes:
    """``ax``, or pyplot's current axes if it is None."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # here, so that no figure with given axes touches pyplot

    return plt.gca()


def label(variable: xr.DataArray, suffix: str = "", width: int = 32) -> str:
    """Axis label from ``long_name`` and ``units``, broken into lines.

    Examples
    --------
    >>> label(xr.DataArray(1.0, attrs={"long_name": "variance", "units": "1"}))
    'variance'
    >>> label(xr.DataArray(1.0, attrs={"long_name": "loss", "units": "nats"}), "at the end")
    'loss at the end [nats]'
    """
    units = str(variable.attrs.get("units", ""))
    text = " ".join([str(variable.attrs.get("long_name", variable.name)), suffix]).strip()
    if units not in ("", "1"):
        text = f"{text} [{units}]"
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def require(result: Result, *names: str) -> None:
    """Check that a result holds what a plot draws.

    Raises
    ------
    ValueError
        Names what is missing.
    """
    missing = [name for name in names if name not in result.variables]
    if missing:
        analyzer = result.attrs.get("analyzer", "unknown")
        raise ValueError(
            f"this {analyzer} result has no {', '.join(missing)}; compute it with this version"
        )


def name(result: Result) -> str:
    """Name of the network, for titles and legends."""
    return str(result.attrs.get("model", "")) or "unnamed model"


def names(results: Sequence[Result]) -> list[str]:
    """Name each result differently: the network, and what tells it from its namesakes.

    Examples
    --------
    >>> a, b = (xr.Dataset(attrs={"model": "vit_s", "data": d}) for d in ("cifar10", "npz"))
    >>> names([a, b]), names([a, a])
    (['vit_s, cifar10', 'vit_s, npz'], ['vit_s (1)', 'vit_s (2)'])
    """
    found = [name(r) for r in results]
    for model in [m for m, n in Counter(found).items() if n > 1]:
        where = [i for i, m in enumerate(found) if m == model]
        described = [_description(results[i]) for i in where]
        for key in dict.fromkeys(k for d in described for k in d):
            values = [d.get(key, "") for d in described]
            if all(values) and len(set(values)) == len(values):
                break
        else:
            values = [f"({i})" for i in range(1, len(where) + 1)]
            key = "number"
        for i, value in zip(where, values, strict=True):
            known = {"data": f", {value}", "number": f" {value}"}
            found[i] = model + known.get(key, f", {key} {value}")
    return found


def _description(result: Result) -> dict[str, str]:
    """Short facts that can tell two results of one network apart, the plainest first."""
    facts = json.loads(result.attrs.get("facts", "{}"))
    settings = json.loads(result.attrs.get("settings", "{}"))
    known = {"data": result.attrs.get("data", "")} | facts | settings
    words = {k: v for k, v in known.items() if isinstance(v, str)}
    numbers = {k: f"{v:g}" for k, v in known.items() if isinstance(v, int | float)}
    return {k: v for k, v in (words | numbers).items() if len(v) <= 16}


def colour(result: Result) -> str:
    """Colour of the network's family; grey if it is not known."""
    return FAMILY_COLOURS.get(str(result.attrs.get("family", "")), NEUTRAL)


def looks(results: Sequence[Result]) -> list[dict[str, str]]:
    """Colour by family for each result; namesakes of a family differ by line style and marker."""
    seen: dict[str, Iterator[int]] = {}
    found = []
    for result in results:
        paint = colour(result)
        i = next(seen.setdefault(paint, count()))
        style = {"linestyle": LINESTYLES[i % 4], "marker": SET_MARKERS[i % 4]}
        found.append({"color": paint} | style)
    return found


def title(ax: Axes, result: Result, lost: NDArray[np.bool_], what: str) -> None:
    """Write the name over the axes, and in a second line how much could not be drawn."""
    lines = [name(result)]
    if lost.any():
        lines.append(f"{lost.sum()} of {lost.size} {what} not finite (×)")
    ax.set_title("\n".join(lines))


def unit_axis(ax: Axes) -> None:
    """Let x run from 0 to 1, in quarters, and further only if the data do."""
    known = 1.03 if ax.get_autoscalex_on() else ax.get_xlim()[1]  # that of a panel before
    ax.set_xlim(-0.03, max(1.03, 1.03 * ax.dataLim.x1, known))
    ax.xaxis.set_major_locator(MultipleLocator(0.25))
    ax.xaxis.set_major_formatter("{x:g}")
