"""Means over images as decibels and ratios, with standard errors by the delta method."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_DECIBEL = 10 / np.log(10)


def ratio(above: Array, below: Array) -> tuple[Array, Array]:
    """Ratio of two means over images ``(n, ...)`` and its standard error; NaN for one image.

    Examples
    --------
    >>> r, se = ratio(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    >>> float(r), float(se)
    (2.0, 0.0)
    """
    n = len(above)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = above.mean(0) / below.mean(0)
        rest = above - found * below
        error = np.sqrt((rest**2).sum(0) / max(n * (n - 1), 1)) / np.abs(below.mean(0))
    return found, np.where(n > 1, error, np.nan)


def mean(values: Array) -> tuple[Array, Array]:
    """Mean over images ``(n, ...)`` and its standard error."""
    return ratio(values, np.ones_like(values))


def in_decibel(found: tuple[Array, Array]) -> tuple[Array, Array]:
    """A ratio of powers and its error in dB; a ratio of 0 is -inf, its error NaN.

    Examples
    --------
    >>> [round(float(v), 4) for v in in_decibel((np.array(100.0), np.array(1.0)))]
    [20.0, 0.0434]
    """
    value, error = found
    with np.errstate(divide="ignore", invalid="ignore"):
        return _DECIBEL * np.log(value), _DECIBEL * error / value


def high_low(gains: Array, sizes: Array) -> tuple[Array, Array]:
    """Mean gain of each image over high and over low frequencies, from rings ``(..., rings)``.

    ``sizes`` ``(..., rings)`` are the numbers of frequencies: see
    `landscape.numerics.response.rings`.
    """
    count = gains.shape[-1] - 1
    known = np.where(sizes > 0, gains, 0.0) * sizes
    low, high = slice(0, count // 4), slice(count // 2, None)
    with np.errstate(invalid="ignore"):
        return (
            known[..., high].sum(-1) / sizes[..., high].sum(-1),
            known[..., low].sum(-1) / sizes[..., low].sum(-1),
        )


def entry(dims: Any, values: Any, long_name: str, units: str = "1") -> tuple[Any, Any, Any]:
    """One variable of a result."""
    return dims, np.asarray(values), {"long_name": long_name, "units": units}


def pair(
    name: str, dims: Any, found: tuple[Array, Array], long_name: str, units: str = "1"
) -> dict[str, Any]:
    """A variable and its standard error."""
    text = f"standard error of the {long_name}"
    return {
        name: entry(dims, found[0], long_name, units),
        f"{name}_se": entry(dims, found[1], text, units),
    }


def padded(rows: list[Array], shape: tuple[int, ...]) -> Array:
    """Arrays of different sizes in one, filled with NaN."""
    out = np.full((len(rows), *shape), np.nan)
    for target, values in zip(out, rows, strict=True):
        target[tuple(slice(0, n) for n in values.shape)] = values
    return out
