"""The judge: its rule case by case, and its error rates on drawn data."""

import numpy as np
import pytest
from scipy import stats

from landscape.claims import Evidence, _interval, judge
from landscape.claims._interval import FEW, Summary, holm, interval

STRONG = [2.0, 2.1, 1.9, 2.05]


def word(effect, **more):
    return judge(Evidence(effect, **more), smallest=0.5, units="dB").word


def test_an_effect_beyond_the_smallest_is_supported():
    assert word(STRONG) == "SUPPORTED"


def test_an_effect_of_the_other_sign_is_refuted():
    verdict = judge(Evidence([-2.0, -2.1, -1.9]), smallest=0.5, units="dB")
    assert verdict.word == "REFUTED"
    assert "other sign" in verdict.reason


def test_an_effect_that_is_surely_small_is_refuted():
    verdict = judge(Evidence([0.1, 0.11, 0.09]), smallest=0.5, units="dB")
    assert verdict.word == "REFUTED"
    assert "smaller than 0.5" in verdict.reason


def test_an_uncertain_effect_is_inconclusive_and_says_how_many_would_tell():
    verdict = judge(Evidence([0.0, 1.0, 2.0]), smallest=0.5, units="dB")
    assert verdict.word == "INCONCLUSIVE"
    need = int(verdict.change.split()[1])
    half = stats.t.ppf(0.975, need - 1) / np.sqrt(need)  # the spread is 1, the gap 0.5
    before = stats.t.ppf(0.975, need - 2) / np.sqrt(need - 1)
    assert half < 0.5 <= before


def test_a_control_that_has_it_too_makes_it_architectural():
    assert word(STRONG, controls={"untrained": [2.0, 2.2, 1.9, 2.1]}) == "ARCHITECTURAL"
    assert word(STRONG, controls={"untrained": [5.0, 5.2, 5.1, 5.0]}) == "ARCHITECTURAL"


def test_a_control_that_has_less_of_it_leaves_it_supported():
    assert word(STRONG, controls={"untrained": [0.9, 0.95, 0.85, 0.9]}) == "SUPPORTED"


def test_a_control_that_is_too_wide_makes_it_inconclusive():
    verdict = judge(
        Evidence(STRONG, controls={"untrained": [-3.0, 6.0, 2.0, 1.0]}), smallest=0.5, units="dB"
    )
    assert verdict.word == "INCONCLUSIVE"
    assert "untrained" in verdict.reason


def test_a_control_of_other_length_is_compared_unpaired():
    few = [1.95, 2.1, 2.0]
    assert word(STRONG, controls={"untrained": few}) == "ARCHITECTURAL"
    assert word(STRONG, controls={"untrained": [0.1, 0.0, 0.05]}) == "SUPPORTED"


def test_an_effect_that_goes_when_mended_is_an_artefact():
    verdict = judge(
        Evidence(STRONG, mended={"the mean": [0.1, 0.0, -0.1, 0.0]}), smallest=0.5, units="dB"
    )
    assert verdict.word == "ARTEFACT"
    assert "the mean" in verdict.reason
    assert word(STRONG, mended={"the mean": [1.9, 2.0, 2.1, 2.0]}) == "SUPPORTED"
    assert word(STRONG, mended={"the mean": [-3.0, 6.0, 2.0, 1.0]}) == "INCONCLUSIVE"


def test_no_effect_beyond_the_smallest_is_no_artefact():
    assert word([0.0, 0.01, -0.01], mended={"x": [0.0, 0.0, 0.0]}) == "REFUTED"


def test_too_few_or_absent_or_not_a_number_is_not_testable_and_says_why():
    for evidence, told in (
        (Evidence([1.0]), "two or more of a seed, there are 1"),
        (Evidence(missing="there is no ViT"), "there is no ViT"),
        (Evidence([1.0, np.nan]), "not a number in 1 units"),
        (Evidence(STRONG, controls={"noise": [np.inf] * 4}), "noise is not a number in 4 units"),
        (Evidence(STRONG, controls={"noise": []}), "noise has no values"),
    ):
        verdict = judge(evidence, smallest=0.5, units="dB")
        assert verdict.word == "NOT TESTABLE"
        assert told in verdict.reason
        assert verdict.effect is None


def test_a_smallest_effect_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        judge(Evidence(STRONG), smallest=0, units="dB")
    with pytest.raises(ValueError, match="one number per unit, got shape"):
        judge(Evidence([STRONG, STRONG]), smallest=1, units="dB")


def test_intervals_equal_those_of_scipy():
    few, many = np.random.default_rng(0).normal(size=7), np.random.default_rng(1).normal(size=200)
    found = interval(few)
    truth = stats.ttest_1samp(few, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high), rel=1e-12)
    found = interval(many)  # the bootstrap of a mean is near to Student's interval
    truth = stats.ttest_1samp(many, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((truth.low, truth.high), abs=0.02)
    assert interval([3.0] * 5) == interval([3.0] * 50)


def test_the_same_seed_gives_the_same_verdict():
    many = np.random.default_rng(0).normal(1, 1, 100)
    assert judge(Evidence(many), smallest=0.5, units="dB") == judge(
        Evidence(many), smallest=0.5, units="dB"
    )


def test_holm_equals_the_definition():
    rng = np.random.default_rng(3)
    parts = rng.normal(rng.normal(0, 0.4, 12), 1.0, (40, 12))
    p = stats.ttest_1samp(parts, 0).pvalue
    order, held = np.argsort(p), []
    for k, i in enumerate(order):
        if p[i] * (12 - k) > 0.05:
            break
        held.append(i)
    mean = parts.mean(0)[held]
    assert 0 < len(held) < 12
    assert holm(parts) == ((mean > 0).sum(), (mean < 0).sum(), 12)


def test_holm_leaves_out_parts_that_are_not_there():
    parts = np.array([[1.0, np.nan], [1.1, np.nan], [0.9, 2.0]])
    assert holm(parts) == (1, 0, 1)
    assert holm(np.zeros((3, 2))) == (0, 0, 2)


def test_a_summary_is_judged_like_the_values_that_it_sums_up():
    values = np.random.default_rng(5).normal(2.0, 1.0, 12)
    told = Summary(values.mean(), float(stats.sem(values)), 12)
    for control in ({}, {"untrained": values - 3.0}, {"untrained": values}):
        of_values = judge(Evidence(values, controls=control), smallest=0.5, units="dB")
        summed = {k: Summary(x.mean(), float(stats.sem(x)), 12) for k, x in control.items()}
        of_told = judge(Evidence(told, controls=summed), smallest=0.5, units="dB")
        assert of_told.word == of_values.word
        assert of_told.effect.low == pytest.approx(of_values.effect.low)
    assert judge(Evidence(Summary(1.0, np.nan, 5)), smallest=1, units="").word == "NOT TESTABLE"
    assert judge(Evidence(Summary(1.0, 0.1, 1)), smallest=1, units="").word == "NOT TESTABLE"


# Error rates, from real draws. A unit's number is skewed, as powers and eigenvalues are.

SITUATIONS = {
    "3 seeds": (3, 0.15),
    "5 seeds": (5, 0.3),
    "64 mini-batches": (64, 2.0),
    "256 images": (256, 4.0),
}


def drawn(mean, n, spread, rng, skewed):
    """Draws of the given mean and standard deviation, with or without skewness 1."""
    noise = rng.gamma(4.0, 0.5, n) - 2.0 if skewed else rng.normal(size=n)
    return mean + spread * noise


@pytest.fixture
def few_resamples(monkeypatch):
    """A tenth of what a verdict takes: moves an end by 3 % of the width (one sd)."""
    monkeypatch.setattr(_interval, "DRAWS", 1000)


def rate(function, draws=1000):
    rng = np.random.default_rng(2026)
    return np.mean([function(rng) for _ in range(draws)])


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_false_support_is_rare(situation):
    n, spread = SITUATIONS[situation]

    def wrong(rng):  # at the edge of the null: an effect of exactly the smallest
        effect = drawn(1.0, n, spread, rng, n >= FEW)
        return judge(Evidence(effect), smallest=1.0, units="").word == "SUPPORTED"

    assert rate(wrong) <= 0.05


def test_an_effect_that_the_control_shares_is_rarely_called_supported():
    def wrong(rng):
        shared = drawn(4.0, 5, 0.3, rng, False)
        control = shared + drawn(0.0, 5, 0.3, rng, False)
        verdict = judge(Evidence(shared, controls={"untrained": control}), smallest=1.0, units="")
        return verdict.word == "SUPPORTED"

    assert rate(wrong) <= 0.05


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("situation", SITUATIONS)
def test_an_effect_of_twice_the_smallest_is_found(situation):
    n, spread = SITUATIONS[situation]

    def found(rng):
        effect = drawn(2.0, n, spread, rng, n >= FEW)
        return judge(Evidence(effect), smallest=1.0, units="").word == "SUPPORTED"

    assert rate(found) >= 0.90


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(("n", "skewed"), [(3, False), (5, False), (64, True), (256, True)])
def test_intervals_cover_as_often_as_they_say(n, skewed):
    def covers(rng):
        found = interval(drawn(0.0, n, 1.0, rng, skewed), seed=int(rng.integers(2**31)))
        return found.low <= 0.0 <= found.high

    assert 0.93 <= rate(covers, 4000 if n < FEW else 1000) <= 0.97
