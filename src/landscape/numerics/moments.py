"""Streaming mean and variance, mergeable (Chan, Golub & LeVeque 1983)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of a stream of equally shaped samples.

    Examples
    --------
    >>> a = Moments.of(torch.tensor([[1.0], [2.0]])) + Moments.of(torch.tensor([[6.0]]))
    >>> a.count, a.mean.item(), a.variance.item()
    (3, 3.0, 7.0)
    """

    count: int
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, samples: Tensor) -> "Moments":
        """Moments over the first dimension, ``(n, ...)``, in float64."""
        samples = samples.double()
        mean = samples.mean(0)
        return cls(len(samples), mean, ((samples - mean) ** 2).sum(0))

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.count / count)
        shift = gap**2 * (self.count * other.count / count)
        return Moments(count, mean, self.deviation + other.deviation + shift)

    @property
    def variance(self) -> Tensor:
        """Unbiased variance; NaN for one sample."""
        if self.count < 2:
            return torch.full_like(self.mean, torch.nan)
        return self.deviation / (self.count - 1)

    @property
    def standard_error(self) -> Tensor:
        """Standard error of the mean; NaN for one sample."""
        return (self.variance / self.count).sqrt()
