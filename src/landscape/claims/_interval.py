"""Means with intervals: of values, one for each unit, or of their mean and standard error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

FEW = 20  # below so many units a bootstrap interval is too narrow
DRAWS = 10_000


@dataclass(frozen=True)
class Summary:
    """A mean of which the units are not at hand, but their standard error is.

    Attributes
    ----------
    mean, error
        Of the effect; an upper bound of the standard error will do.
    count
        Of the units.
    """

    mean: float
    error: float
    count: int

    def __sub__(self, other: "Summary") -> "Summary":
        """Difference, as if the two were independent."""
        error = float(np.hypot(self.error, other.error))
        return Summary(self.mean - other.mean, error, min(self.count, other.count))


Sample = ArrayLike | Summary
Known = NDArray[np.float64] | Summary


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3g"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def interval(values: Sample, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean with an interval: Student's t for few units, a BCa bootstrap for `FEW` or more.

    Of a `Summary` it is Student's t.

    One unit has a mean and no interval.

    Examples
    --------
    >>> f"{interval([1.0, 2.0, 3.0]):.2f}"
    '2.00 [-0.48, 4.48]'
    """
    values = sample(values)
    if isinstance(values, Summary):
        half = values.error * float(special.stdtrit(values.count - 1, (1 + level) / 2))
        return Interval(values.mean, values.mean - half, values.mean + half)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -np.inf, np.inf)
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    if len(values) < FEW:
        error = values.std(ddof=1) / len(values) ** 0.5
        half = float(error * special.stdtrit(len(values) - 1, (1 + level) / 2))
        return Interval(mean, mean - half, mean + half)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=DRAWS, confidence_level=level, batch=1000,
        random_state=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(mean, float(found.low), float(found.high))


def holm(parts: ArrayLike) -> tuple[int, int, int]:
    """Parts whose mean is above 0, below 0, and all: t tests with Holm's step-down at 5 %.

    Examples
    --------
    >>> holm([[1.0, 0.1, -3.0], [1.1, -0.1, -3.1], [0.9, 0.0, -2.9]])
    (1, 1, 3)
    """
    parts = np.asarray(parts, dtype=float)
    parts = parts[:, np.isfinite(parts).all(0)]
    if parts.shape[1] == 0 or len(parts) < 2:
        return 0, 0, parts.shape[1]
    spread = parts.std(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = parts.mean(0) / (spread / np.sqrt(len(parts)))
    p = np.where(np.isnan(t), 1.0, 2 * stats.t.sf(np.abs(t), len(parts) - 1))
    order = np.argsort(p, kind="stable")
    passed = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))) <= 0.05
    held = order[passed]
    above = int((parts.mean(0)[held] > 0).sum())
    return above, len(held) - above, parts.shape[1]


def difference(effect: Known, control: Sample, seed: int) -> Interval:
    """Interval of a difference: paired where lengths agree, else Welch's."""
    other = sample(control)
    if isinstance(effect, Summary) or isinstance(other, Summary):
        return interval(summary(effect) - summary(other))
    if len(other) == len(effect):
        return interval(effect - other, seed=seed)
    found = stats.ttest_ind(effect, other, equal_var=False).confidence_interval(0.95)
    return Interval(float(effect.mean() - other.mean()), float(found.low), float(found.high))


def sample(values: Sample) -> Known:
    if isinstance(values, Summary):
        return values
    found = np.atleast_1d(np.asarray(values, dtype=float))
    if found.ndim > 1:
        raise ValueError(f"an effect has one number per unit, got shape {found.shape}")
    return found


def count(values: Known) -> int:
    return values.count if isinstance(values, Summary) else len(values)


def summary(values: Known) -> Summary:
    if isinstance(values, Summary):
        return values
    return Summary(float(values.mean()), float(stats.sem(values)), len(values))
