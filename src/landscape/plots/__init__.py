"""Pictures of results: one analyzer a file, found by folder. Nothing here computes or needs torch.

A file has ``plot(result, *, ax=None, **kwargs) -> Axes``. It may have a ``LAYOUT``, which says how
the results of several models share a figure (if a dictionary, for each view, and each view is a
figure of its own); ``shared(results, **kwargs) -> dict``, the keywords that they have in common
then; ``VIEWS``, the choices of a keyword ``view``, a row each (those in three dimensions, or in
``ON_REQUEST``, only on request); ``CONDITIONS = True`` where what decides the answer (loss,
augmentation, ...) must stand below; and ``page(results, **kwargs) -> str``, interactive HTML.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature
from itertools import product
from math import ceil
from pathlib import Path
from textwrap import fill
from types import ModuleType
from typing import Any

import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from landscape.plots import style
from landscape.plots._conditions import common
from landscape.result import Result

_ACROSS = 3  # panels beside each other in two columns of a paper


def plot(result: Result, *, ax: Axes | None = None, **kwargs: Any) -> Axes:
    """Draw a result on one axes, as the file of its analyzer does.

    Parameters
    ----------
    result
        Of any analyzer that has a file in this folder.
    ax
        Where to draw; pyplot's current axes by default.
    kwargs
        For the ``plot`` of that file, which hands on what it does not know to its main artist.

    Raises
    ------
    ValueError
        If no file draws this analyzer's results.
    """
    return _file(result).plot(result, ax=ax, **kwargs)


def figure(
    results: Result | Sequence[Result], *, width: float | None = None, **kwargs: Any
) -> Figure:
    """Draw the results of several models in one figure of printed size.

    Parameters
    ----------
    results
        Of one analyzer.
    width
        Inches; one column of a paper (3.4) for one axes, two columns (7) for several.
    kwargs
        For ``plot``.

    Returns
    -------
    Figure
        Not known to pyplot, so nobody has to close it.

    Raises
    ------
    ValueError
        If there is no result, or there are several analyzers.
    """
    results = [results] if isinstance(results, xr.Dataset) else list(results)
    file = _common_file(results, **kwargs)
    layout = getattr(file, "LAYOUT", style.Layout())
    if isinstance(layout, Mapping):
        layout = layout[kwargs.get("view") or next(iter(layout))]
    if hasattr(file, "shared"):
        kwargs = file.shared(results, **kwargs) | kwargs
    if width is None:
        alone = (len(results) == 1 or not layout.panels) and not layout.rows
        width = style.SINGLE_COLUMN if alone else style.DOUBLE_COLUMN
    if width <= 0:
        raise ValueError(f"width must be positive, got {width} inches")
    with style.paper(width):
        draw = _panels if layout.panels else _overlay
        fig = draw(file, layout, results, width, kwargs)
        if getattr(file, "CONDITIONS", False) and (line := common(results)):
            together = line.replace(" · ", "\N{NO-BREAK SPACE}· ")  # no line begins with a dot
            _below(fig, fill(together, int(17 * width)))
    return fig


def page(results: Result | Sequence[Result], **kwargs: Any) -> str:
    """Draw the results of several models as an interactive page, in HTML that loads nothing.

    Parameters
    ----------
    results
        Of one analyzer.
    kwargs
        For the ``page`` of its file.

    Raises
    ------
    ValueError
        If the results of this analyzer have no page, or plotly is not installed.
    """
    results = [results] if isinstance(results, xr.Dataset) else list(results)
    file = _common_file(results, **kwargs)
    if not hasattr(file, "page"):
        analyzer = results[0].attrs["analyzer"]
        raise ValueError(f"results of {analyzer} have no page; draw them as .png, .pdf or .svg")
    return str(file.page(results, **kwargs))


def _common_file(results: Sequence[Result], **kwargs: Any) -> ModuleType:
    """Find the file of the one analyzer, and check that it has the view."""
    if not results:
        raise ValueError("no results to draw; give at least one")
    analyzers = sorted({str(r.attrs.get("analyzer", "")) for r in results})
    if len(analyzers) > 1:
        raise ValueError(f"one figure shows one analyzer, not {', '.join(analyzers)}")
    file = _file(results[0])
    choices = getattr(file, "VIEWS", ())
    if "view" in kwargs and kwargs["view"] not in choices:
        known = f"Choices: {', '.join(choices)}" if choices else f"{analyzers[0]} has only one"
        raise ValueError(f"unknown view '{kwargs['view']}'. {known}")
    takes = signature(file.plot).parameters
    for name in ("quantity", "relief"):  # others go to the artist, which would not say so
        if name in kwargs and name not in takes:
            raise ValueError(f"results of {analyzers[0]} have no choice of {name}")
    return file


def _overlay(
    file: ModuleType, layout: style.Layout, results: list[Result], width: float, kwargs: Any
) -> Figure:
    height = width * layout.height + 0.15 * len(results)
    if layout.rows:
        height = 0.8 + 0.3 * sum(result.sizes[layout.rows] for result in results)
    fig = Figure((width, height), layout="constrained")
    ax = fig.subplots()
    names = style.names(results)
    for result, name, look in zip(results, names, style.looks(results), strict=True):
        file.plot(result, ax=ax, **({"label": name, "legend": False} | look | kwargs))
    entries = _entries(fig)
    series = {text: mark for text, mark in entries.items() if text.startswith(tuple(names))}
    _legend(fig, series, "outside upper left", 1)
    rest = {text: mark for text, mark in entries.items() if text not in series}
    _legend(fig, rest, "outside lower center", len(rest))
    return fig


def _panels(
    file: ModuleType, layout: style.Layout, results: list[Result], width: float, kwargs: Any
) -> Figure:
    known = signature(file.plot).parameters
    most = max(1, round(_ACROSS * width / style.DOUBLE_COLUMN))
    columns = ceil(len(results) / ceil(len(results) / most))
    share = dict(zip(getattr(file, "VIEWS", (None,)), layout.share, strict=True))
    asked = getattr(file, "ON_REQUEST", ())
    flat = [view for view, common in share.items() if common != "xyz" and view not in asked]
    views = [kwargs["view"]] if kwargs.get("view") else flat
    solid = share[views[0]] == "xyz"
    rows = ceil(len(results) / columns) * len(views)
    side = (width - 0.6 * ("colorbar" in known) - 0.3) / columns - 0.25
    height = rows * (side * layout.height + 0.55) + 0.25 * ("legend" in known)
    fig = Figure((width, height), layout="compressed" if layout.equal else "constrained")
    made: dict[str, Any] = {}
    if solid:  # a layout engine learns the place of labels in three dimensions one draw too late
        fig.set_layout_engine("none")
        room = {"left": 0, "right": 1, "bottom": 0.3 / height, "top": 1 - 0.45 / height}
        room |= {"wspace": 0, "hspace": 0.3}
        made = {"subplot_kw": {"projection": "3d"}, "gridspec_kw": room}
    grid = fig.subplots(rows, columns, squeeze=False, **made)
    names = style.names(results)
    for i, j in product(range(len(results)), range(len(views))):
        row, column = i // columns * len(views) + j, i % columns
        ax, first = grid[row, column], grid[j, 0]
        if ax is not first and not solid:
            ax.sharex(first)
            if share.get(views[j]) == "xy":
                ax.sharey(first)
        options: dict[str, Any] = {} if views[j] is None else {"view": views[j]}
        if "legend" in known:
            options["legend"] = False
        if "colorbar" in known:  # one for all panels, beside the first row of them
            beside = list(grid.flat if solid else grid[j])
            options["colorbar"] = beside if i == columns - 1 else False
        file.plot(results[i], ax=ax, **(options | kwargs))
        remarks = ax.get_title().split("\n")[1:]
        ax.set_title("\n".join([names[i], *remarks] if j == 0 else remarks))
        if column > 0 and not solid:
            ax.set_ylabel("")
            ax.tick_params(labelleft=share.get(views[j]) != "xy")
    for ax in grid[-len(views) :, (len(results) - 1) % columns + 1 :].flat:
        ax.remove()
    _legend(fig, _entries(fig), "outside lower center", int(width / 0.8))
    return fig


def _below(fig: Figure, text: str) -> None:
    """Write under the axes: over the legend that stands there, if one does."""
    fig.set_figheight(fig.get_figheight() + 0.15 * (1 + text.count("\n")))
    legends = [legend for legend in fig.legends if legend.get_gid() == "outside lower center"]
    if legends:
        legends[0].set_title(text, prop=FontProperties(size=7))
    else:
        fig.supxlabel(text, fontsize=7, color=style.INK)


def _entries(fig: Figure) -> dict[str, Artist]:
    """Collect what a legend has to explain, once for all axes."""
    found: dict[str, Artist] = {}
    for ax in fig.axes:
        for mark, text in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(text, mark)
    return found


def _legend(fig: Figure, entries: dict[str, Artist], where: Any, columns: int) -> None:
    if entries:
        columns = max(1, min(columns, len(entries)))
        legend = fig.legend(list(entries.values()), list(entries), loc=where, ncols=columns)
        legend.set_gid(where)


def _file(result: Result) -> ModuleType:
    analyzer = result.attrs.get("analyzer", "")
    here = sorted(Path(__file__).parent.glob("[!_]*.py"))
    choices = [p.stem for p in here if "\ndef plot(" in p.read_text("utf-8")]
    if analyzer not in choices:
        raise ValueError(
            f"no plot for results of analyzer '{analyzer}'. Choices: {', '.join(choices)}"
        )
    return import_module(f"landscape.plots.{analyzer}")
