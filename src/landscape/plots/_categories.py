"""Numbers with intervals for a few named cases, several networks beside each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result


def categories(
    ax: Axes,
    result: Result,
    names: Sequence[str],
    values: NDArray[np.float64],
    errors: NDArray[np.float64],
    *,
    among: int = 1,
    **kwargs: Any,
) -> None:
    """Draw values with 95 % intervals over their names.

    Parameters
    ----------
    ax
        Where; what is drawn there already decides the place beside it.
    result
        Of one network.
    names, values, errors
        Of each case; the errors are standard errors.
    among
        How many networks will be drawn.
    kwargs
        For ``ax.errorbar``.
    """
    place = np.arange(len(names)) + 0.6 * ((len(ax.containers) + 0.5) / among - 0.5)
    look: dict[str, Any] = {"color": style.colour(result), "marker": "o", "capsize": 2}
    look |= {"elinewidth": 0.8, "markeredgecolor": "white", "markeredgewidth": 0.4}
    ax.errorbar(place, values, yerr=1.96 * errors, **(look | kwargs | {"linestyle": "none"}))
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)
