"""What the same measurement gives under controls, in grey beneath the network's own line."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result

#: how each is called, its line and its marker; darker where the network is another one
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "untrained": ("untrained", {"color": "#555555", "linestyle": "-", "marker": "o"}),
    "uniform": ("uniform MSA", {"color": "#555555", "linestyle": "--", "marker": "s"}),
    "mean": ("mean MSA", {"color": "#555555", "linestyle": ":", "marker": "D"}),
    "shuffled": ("shuffled", {"color": "#999999", "linestyle": "-", "marker": "x"}),
    "phase": ("random phase", {"color": "#999999", "linestyle": "--", "marker": "+"}),
    "noise": ("noise", {"color": "#999999", "linestyle": ":", "marker": "1"}),
    "constant": ("one colour", {"color": "#999999", "linestyle": "-.", "marker": "_"}),
}
Pick = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def chosen(result: Result, controls: Sequence[str] | None) -> list[str]:
    """Names of the controls to draw: all that a result holds, unless told.

    Raises
    ------
    ValueError
        If the result does not hold one.
    """
    known = [str(name) for name in result["control"].values] if "control" in result.coords else []
    for name in controls or ():
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there are none"
            raise ValueError(f"this result was not measured under the control '{name}'; {there}")
    return known if controls is None else list(controls)


def beneath(
    ax: Axes,
    result: Result,
    name: str,
    pick: Pick = lambda values: values,
    *,
    controls: Sequence[str] | None = None,
) -> None:
    """Draw a variable under controls against depth, with standard errors, one grey line each.

    Parameters
    ----------
    name
        Of the variable; ``control_NAME`` and ``control_NAME_se`` are drawn.
    pick
        From ``(tap, ...)`` to one number a tap.
    controls
        Which; all of the result unless given, none if empty.
    """
    names = chosen(result, controls)
    if names:
        style.require(result, f"control_{name}", f"control_{name}_se")
    order = np.argsort(result["depth"].values, kind="stable")
    for control in names:
        part = result.sel(control=control)
        values, errors = (
            pick(part[variable].values)[order]
            for variable in (f"control_{name}", f"control_{name}_se")
        )
        text, look = LOOKS.get(control, (control, {"color": style.NEUTRAL}))
        ax.errorbar(
            result["depth"].values[order],
            values,
            yerr=np.where(np.isfinite(errors), errors, 0.0),  # of one twin there is none
            label=text,
            gid=f"control {control}",
            **({"linewidth": 0.8, "elinewidth": 0.5, "markersize": 2.5, "zorder": 2.2} | look),
        )
