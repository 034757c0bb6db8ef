"""How often the judge errs, from draws of which the truth is known."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from landscape.claims._interval import FEW, interval
from landscape.claims._judge import Evidence, judge


@dataclass(frozen=True)
class Calibration:
    """Error rates of verdicts on drawn effects.

    Attributes
    ----------
    units
        Of replication.
    spread
        Standard deviation of a unit's effect, in smallest effects of interest.
    draws
        Data sets that were drawn, for each rate.
    support
        Share that is called SUPPORTED at an effect of exactly the smallest of interest.
    power
        The same at twice that.
    coverage
        Share of the 95 % intervals that hold the true mean.
    """

    units: int
    spread: float
    draws: int
    support: float
    power: float
    coverage: float


@cache
def calibrate(units: int, spread: float, draws: int, seed: int = 0) -> Calibration:
    """Judge ``draws`` drawn data sets.

    Below `FEW` units effects are normal, as means over many images are; from there on they are a
    unit's own numbers, which are skewed as powers and eigenvalues are: a gamma distribution of
    skewness 1.

    Examples
    --------
    >>> found = calibrate(3, 0.15, 1000)
    >>> found.support <= 0.05, found.power >= 0.9, 0.93 <= found.coverage <= 0.97
    (True, True, True)
    """
    rng = np.random.default_rng(seed)

    def drawn(mean: float) -> NDArray[np.float64]:
        noise = rng.normal(size=units) if units < FEW else rng.gamma(4.0, 0.5, units) - 2.0
        return mean + spread * noise

    def supported(mean: float) -> bool:
        return judge(Evidence(drawn(mean)), smallest=1.0, units="").word == "SUPPORTED"

    def covered(draw: int) -> bool:
        found = interval(drawn(0.0), seed=draw)
        return found.low <= 0.0 <= found.high

    return Calibration(
        units,
        spread,
        draws,
        float(np.mean([supported(1.0) for _ in range(draws)])),
        float(np.mean([supported(2.0) for _ in range(draws)])),
        float(np.mean([covered(draw) for draw in range(draws)])),
    )
