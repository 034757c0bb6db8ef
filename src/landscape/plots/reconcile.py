"""What flips an answer: from one protocol to another, choice by choice, and every combination."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.plots import style
from landscape.result import Result

VIEWS = ("eigenvalue", "rise")
LAYOUT = style.Layout(share=("x", "x"), height=0.8)

_FLATTER = {1: style.FAMILY_COLOURS["msa"], -1: style.FAMILY_COLOURS["conv"]}


def plot(
    result: Result, *, ax: Axes | None = None, view: str = "eigenvalue", **kwargs: Any
) -> Axes:
    """A waterfall from the first protocol to the last, and all combinations as points above.

    Parameters
    ----------
    result
        Of ``landscape reconcile``.
    ax
        Where to draw; pyplot's current axes by default.
    view
        ``"eigenvalue"`` or ``"rise"``: which measure of sharpness.
    kwargs
        For ``ax.barh``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    style.require(result, f"{view}_ratio", f"{view}_share")
    ax = style.axes(ax)
    ratio, share = result[f"{view}_ratio"], result[f"{view}_share"]
    flat = ratio.values.ravel()
    start, end = float(flat[0]), float(flat[-1])
    order = np.argsort(-np.abs(share.values), kind="stable")
    rows = [(_protocol(ratio, 0), 0.0, start)]
    at = start
    for i in order:
        factor, change = str(share[f"{view}_factor"].values[i]), float(share.values[i])
        first, last = (str(x) for x in result[factor].values[[0, -1]])
        rows.append((f"{factor}: {first} → {last}", at, change))
        at += change
    rows.append((_protocol(ratio, -1), 0.0, end))
    ax.axvline(0, color=style.INK, linewidth=0.6)
    for row, (_, left, width) in enumerate(rows):
        color = _FLATTER[1 if width > 0 else -1] if row in (0, len(rows) - 1) else style.NEUTRAL
        look: dict[str, Any] = {"color": color, "height": 0.6} | kwargs
        ax.barh(row, width, left=left, **look)
    points = np.full(flat.size, -1.2) + 0.25 * np.resize([-1, 0, 1], flat.size)
    sides = [_FLATTER[1 if x > 0 else -1] for x in flat]
    ax.scatter(flat, points, s=6, c=sides, gid="cells")
    names = [f"all {flat.size} combinations", *(text for text, _, _ in rows)]
    ax.set_yticks([-1.2, *range(len(rows))], names)
    ax.set_ylim(len(rows) - 0.4, -1.8)
    ax.set_xlabel(style.label(ratio, "> 0: the second is flatter", width=32))
    return ax


def _protocol(ratio: Any, end: int) -> str:
    return ("as Park & Kim" if end == 0 else "as Chen et al.") + " measured"
