"""Intervals over mini-batches."""

import numpy as np
import pytest

from landscape.analyzers._bootstrap import negatives, positives


def test_draws_without_a_positive_are_left_out_silently():
    # half of the draws of the first batch twice; a quarter of the second, which has no positive
    assert positives(np.array([[3.0, -1.0], [-5.0, -4.0]]), seed=0) == (3.0, 3.0, 3.0)
    value, low, high = positives(np.array([[-3.0], [-5.0]]), seed=0)
    assert np.isnan([value, low, high]).all()


def test_intervals_hold_the_share_and_narrow_with_batches():
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 320):
        values = np.where(rng.random((count, 5)) < 0.3, -1.0, 2.0)
        share, low, high = negatives(values, seed=0)
        assert share == pytest.approx((values < 0).mean())
        assert low < share < high
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.35)
