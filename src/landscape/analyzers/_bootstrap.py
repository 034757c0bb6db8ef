"""Intervals for the share of negatives and the mean of positives over mini-batches."""

import warnings

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float, float]


def negatives(values: NDArray[np.float64], seed: int) -> Interval:
    """Share of negatives (NEP) among ``(batch, rank)`` eigenvalues, with its 95 % interval.

    Examples
    --------
    >>> negatives(np.array([[3.0, -1.0], [4.0, -2.0]]), seed=0)
    (0.5, 0.5, 0.5)
    """
    return _ratio((values < 0).sum(1), np.full(len(values), values.shape[1]), seed)


def positives(values: NDArray[np.float64], seed: int) -> Interval:
    """Mean of the positive ones (APE), with its 95 % interval; NaN if there is none.

    Examples
    --------
    >>> positives(np.array([[3.0, -1.0], [5.0, 4.0]]), seed=0)[0]
    4.0
    """
    return _ratio(np.where(values > 0, values, 0.0).sum(1), (values > 0).sum(1), seed)


def _ratio(above: NDArray, below: NDArray, seed: int) -> Interval:
    """Ratio of sums over batches; whole batches are drawn again, percentiles of 2,000 draws."""

    def ratio(a: NDArray, b: NDArray, axis: int = -1) -> NDArray:
        total = b.sum(axis)
        return np.divide(a.sum(axis), total, out=np.full(total.shape, np.nan), where=total > 0)

    above, below = above.astype(float), below.astype(float)
    value = float(ratio(above, below))
    if len(above) < 2 or np.isnan(value):
        return value, np.nan, np.nan
    from scipy.stats import DegenerateDataWarning, bootstrap  # a second, of use here alone

    with warnings.catch_warnings():
        # a draw may hold no positive, and then has no mean of them: its NaN is left out below
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (above, below),
            ratio,
            n_resamples=2000,
            paired=True,
            method="percentile",
            random_state=np.random.default_rng(seed),
        )
    drawn = found.bootstrap_distribution
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return value, float(low), float(high)
