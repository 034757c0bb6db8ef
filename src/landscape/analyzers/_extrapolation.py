"""Straight lines in 1 / size through the means of nested batches, with honest errors.

Batches of different sizes share images, so their means do not err independently. All that is fitted
is linear in the means, hence the mean over units (disjoint sets of images, each of which holds
batches of every size) of the same fit in each unit; the spread of these is the error, as in a
jackknife over units, and Student's t with one degree less than there are units its law.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Array = NDArray[np.float64]

_PRIOR = 4.0  # degrees of freedom by which a size's own variance is drawn to the pooled one


@dataclass(frozen=True)
class Mean:
    """A mean over units with its standard error and the 95 % interval."""

    value: Array
    error: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class Line:
    """``intercept + slope / size``, and whether a square is missing.

    Attributes
    ----------
    intercept, slope
        Of the line.
    curvature, p
        Coefficient of ``1 / size^2`` beside them, and the probability of one so large if there were
        none; NaN for less than three sizes.
    path
        The line at chosen places.
    """

    intercept: Mean
    slope: Mean
    curvature: Mean
    p: float
    path: Mean


def over_units(values: Array) -> Mean:
    """Mean over the first dimension.

    Examples
    --------
    >>> found = over_units(np.array([1.0, 3.0]))
    >>> float(found.value), float(found.error)
    (2.0, 1.0)
    """
    count = len(values)
    value, error = values.mean(0), values.std(0, ddof=1) / count**0.5
    reach = stdtrit(count - 1, 0.975) * error
    return Mean(value, error, value - reach, value + reach)


def weights(sizes: Array, counts: Array, variances: Array) -> Array:
    """Inverse variances of the means at each size, up to a factor.

    ``counts`` batches have the sample variances ``variances``. Few large batches say little about
    theirs, which is drawn towards the law ``1 / size`` of averages.

    Examples
    --------
    >>> weights(np.array([1.0, 2.0]), np.array([4, 2]), np.array([6.0, 3.0]))
    array([1., 1.])
    """
    scaled, freedom = sizes * variances, counts - 1.0
    pooled = (freedom * scaled).sum() / freedom.sum()
    if not pooled > 0:
        return np.ones_like(sizes)
    scaled = (freedom * scaled + _PRIOR * pooled) / (freedom + _PRIOR)
    found = counts * sizes / scaled
    return found / found.max()


def extrapolate(sizes: Array, units: Array, weight: Array, doubt: Array, at: Array) -> Line:
    """Fit a line to the means of each unit.

    Parameters
    ----------
    sizes
        ``(size,)``.
    units
        Mean over the batches of a size in a unit, ``(unit, size)``.
    weight
        Of each size.
    doubt
        How far numbers may be off for other reasons than the choice of images, ``(size,)``: a
        curvature that these can make is none.
    at
        Where to draw the line, in 1 / size.

    Examples
    --------
    >>> sizes, at = np.array([1.0, 2.0, 4.0]), np.array([0.0])
    >>> units = np.array([[3.0, 2.0, 1.5], [5.0, 4.0, 3.5]])
    >>> line = extrapolate(sizes, units, np.ones(3), np.zeros(3), at)
    >>> [round(float(x), 6) for x in (line.intercept.value, line.intercept.error, line.slope.value)]
    [2.0, 1.0, 2.0]
    """
    x = 1 / sizes
    straight = _solver(x, weight, 1) @ units.T
    path = straight[0][:, None] + straight[1][:, None] * at
    bent = np.full(len(units), np.nan)
    p = np.nan
    if len(sizes) > 2:
        row = _solver(x, weight, 2)[2]
        bent = units @ row
        error = max(float(over_units(bent).error), float(np.abs(row) @ doubt))
        p = float(2 * stdtr(len(units) - 1, -abs(bent.mean()) / error)) if error else 1.0
    intercept, slope, curvature = (over_units(each) for each in (*straight, bent))
    return Line(intercept, slope, curvature, p, over_units(path))


def _solver(x: Array, weight: Array, degree: int) -> Array:
    """From values to coefficients of a weighted least-squares polynomial."""
    root = np.sqrt(weight)
    return (
        np.asarray(np.linalg.pinv(np.vander(x, degree + 1, increasing=True) * root[:, None])) * root
    )
