"""Variables of a result with their standard errors over images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def label(long_name: str, units: str = "1") -> dict[str, str]:
    """Attributes that every variable has."""
    return {"long_name": long_name, "units": units}


def pair(
    name: str, dims: Any, value: Any, error: Any, about: str, units: str = "1"
) -> dict[str, Any]:
    """Make a variable and its standard error."""
    return {
        name: (dims, np.asarray(value), label(about, units)),
        f"{name}_se": (dims, np.asarray(error), label(f"standard error of the {about}", units)),
    }


def averaged(
    name: str,
    dims: Any,
    samples: NDArray[np.float64],
    about: str,
    units: str = "1",
    *,
    defined: bool = False,
) -> dict[str, Any]:
    """Mean over images, the last axis, and its standard error.

    With ``defined``, NaN is an image of which the quantity does not exist, and is left out.

    Examples
    --------
    >>> made = averaged("x", (), np.array([1.0, 2.0, 6.0, np.nan]), "number", defined=True)
    >>> float(made["x"][1]), round(float(made["x_se"][1]), 3)
    (3.0, 1.528)
    """
    good = ~np.isnan(samples) if defined else np.ones(samples.shape, bool)
    count = good.sum(-1)
    size = np.maximum(count, 1)
    with np.errstate(invalid="ignore"):  # an infinite number among them
        mean = np.where(count > 0, np.where(good, samples, 0.0).sum(-1) / size, np.nan)
        gaps = np.where(good, samples - mean[..., None], 0.0)
        variance = np.where(count > 1, (gaps**2).sum(-1) / np.maximum(count - 1, 1), np.nan)
    return pair(name, dims, mean, np.sqrt(variance / size), about, units)
