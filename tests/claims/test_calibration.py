"""The error rates that a report tells are those of the judge."""

import numpy as np
import pytest

from landscape.claims import Evidence, judge
from landscape.claims._calibration import calibrate


def test_rates_are_those_of_a_plain_loop():
    found = calibrate(4, 0.4, 200, seed=3)
    rng = np.random.default_rng(3)
    words = [
        judge(Evidence(mean + 0.4 * rng.normal(size=4)), smallest=1.0, units="").word
        for mean in (1.0, 2.0)
        for _ in range(200)
    ]
    assert found.support == np.mean([word == "SUPPORTED" for word in words[:200]])
    assert found.power == np.mean([word == "SUPPORTED" for word in words[200:]])


@pytest.mark.parametrize("units", [3, 10])
def test_more_spread_costs_power_and_not_honesty(units):
    little, much = calibrate(units, 0.1, 400), calibrate(units, 3.0, 400)
    assert little.power == 1
    assert much.power < 0.5
    assert max(little.support, much.support) <= 0.05
    assert min(little.coverage, much.coverage) >= 0.93
