"""Claims on results with planted effects: each is supported by one and refuted by another."""

import json

import numpy as np
import pytest
import xarray as xr

from landscape import claims
from landscape.claims import Claim, Reading
from landscape.claims._evidence import Units, contrast, evidence, least, own
from landscape.claims._table import table
from landscape.claims.measures_of_flatness_agree import concordance

NETWORKS = {"resnet": "conv", "vit": "msa", "alternet": "hybrid"}
FLAT = np.array([-0.4, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4])


def noise(*key, size):
    return np.random.default_rng(abs(hash(key)) % 2**32).normal(size=size)


def spectrum(level, negatives=0.0, shift=0.0, seed=0):
    """Five eigenvalues of eight mini-batches: the largest of each around ``level``."""
    rng = np.random.default_rng(seed)
    values = level * np.exp(0.05 * rng.normal(size=(8, 1))) * np.array([1, 0.8, 0.6, 0.5, 0.4])
    values[:, 5 - round(5 * negatives) :] *= -1
    return xr.Dataset({"eigenvalue": (("batch", "rank"), values + shift)})


def lines(curvature, l2=10.0, seed=0):
    rng = np.random.default_rng(seed)
    nll = 2 + curvature * FLAT**2 * np.exp(0.05 * rng.normal(size=(10, 1)))
    data = {
        "nll": (("plane", "alpha"), nll),
        "l2": (("plane", "alpha"), l2 * (1 + FLAT**2) + 0 * nll),
    }
    return xr.Dataset(data, {"alpha": FLAT})  # fmt: skip


def density(negative, trace=1.0):
    nodes = np.tile([-1.0, 1.0], (4, 1))
    weights = np.tile([negative, 1 - negative], (4, 1))
    data = {"node": (("probe", "step"), nodes), "weight": (("probe", "step"), weights)}
    return xr.Dataset(data | {"trace": ((), trace)})


def sharpness(worst):
    return xr.Dataset({"worst": ("norm", [9.0, worst])}, {"norm": ["ball", "adaptive"]})


def readings(seeds=3, **made):
    """``analysis=function(model, seed) -> result`` for three networks."""
    return [
        Reading(name.replace("_", "-"), model, family, seed, function(model, seed))
        for name, function in made.items()
        for model, family in NETWORKS.items()
        for seed in range(seeds)
    ]


def levels(**by_model):
    def of(make, **more):
        return lambda model, seed: make(by_model[model], seed=seed, **more)

    return of


FALLING = levels(resnet=100.0, vit=40.0, alternet=20.0)  # attention flatter, the hybrid flattest
RISING = levels(resnet=40.0, vit=100.0, alternet=200.0)
EQUAL = levels(resnet=40.0, vit=40.0, alternet=40.0)


def everything(of, **more):
    made = {
        "spectrum": of(spectrum),
        "spectrum_clean": of(spectrum),
        "spectrum_decay": of(spectrum),
    }
    made |= {"lines": of(lines), "lines_clean": of(lines)}
    return readings(**(made | more))


def word(name, given):
    return claims.find(name).judge(given).word


@pytest.mark.parametrize("name", claims.names())
def test_every_claim_says_what_it_is(name):
    claim = claims.find(name)
    assert isinstance(claim, Claim)
    for text in (claim.title, claim.statement, claim.source, claim.statistic, claim.misleads):
        assert len(text) > 8
    assert claim.smallest > 0
    assert claim.why
    assert claim.analyses
    assert len({a.name for a in claim.analyses}) == len(claim.analyses)


def test_one_name_of_an_analysis_has_one_meaning():
    meant = {}
    for name in claims.names():
        for analysis in claims.find(name).analyses:
            assert meant.setdefault(analysis.name, analysis) == analysis


@pytest.mark.parametrize("name", claims.names())
def test_a_claim_without_results_is_not_testable_and_says_what_is_missing(name):
    verdict = claims.find(name).judge([])
    assert verdict.word == "NOT TESTABLE"
    assert len(verdict.reason) > 10


def test_an_unknown_claim_is_refused():
    with pytest.raises(ValueError, match=r"unknown claim 'x'\. Choices: a"):
        claims.find("x")


def test_flattening_is_found_where_planted_and_not_where_opposite_or_absent():
    name = "attention_flattens_the_loss"
    assert word(name, everything(FALLING)) == "SUPPORTED"
    assert word(name, everything(RISING)) == "REFUTED"
    assert word(name, everything(EQUAL)) == "REFUTED"


def test_flattening_by_one_measure_alone_is_not_enough():
    mixed = everything(FALLING, spectrum_clean=RISING(spectrum))
    verdict = claims.find("attention_flattens_the_loss").judge(mixed)
    assert verdict.word == "REFUTED"
    assert verdict.held == (5, 1, 6)
    assert verdict.effect.mean == pytest.approx(np.log(0.4), abs=0.1)


def test_a_single_seed_is_judged_by_its_mini_batches():
    one = readings(1, spectrum=FALLING(spectrum))
    verdict = claims.find("hybrid_is_flatter_than_its_parents").judge(one)
    assert (verdict.word, verdict.unit, verdict.count) == ("SUPPORTED", "mini-batch", 8)


def test_the_hybrid_is_compared_with_the_flatter_parent():
    between = levels(resnet=100.0, vit=20.0, alternet=50.0)
    name = "hybrid_is_flatter_than_its_parents"
    assert word(name, readings(spectrum=FALLING(spectrum))) == "SUPPORTED"
    assert word(name, readings(spectrum=between(spectrum))) == "REFUTED"


@pytest.mark.parametrize(
    ("eigenvalue", "curvature", "expected"),
    [(0.5, 0.5, "SUPPORTED"), (0.5, 1.5, "REFUTED"), (1.5, 0.5, "REFUTED")],
)
def test_a_blur_has_to_lower_both_the_eigenvalue_and_the_rise(eigenvalue, curvature, expected):
    """Networks by their names: another convolutional one takes no part."""

    def network(model, level, rise):
        return [
            Reading("spectrum", model, "conv", 0, spectrum(level)),
            Reading("lines", model, "conv", 0, lines(rise)),
        ]

    given = [*network("resnet_s", 100.0, 30.0), *network("timm:resnet18", 1.0, 1.0)]
    name = "blur_flattens_the_loss"
    assert "'blurnet_s'" in claims.find(name).judge(given).reason
    blurred = network("blurnet_s", 100 * eigenvalue, 30 * curvature)
    assert word(name, [*given, *blurred]) == expected


def test_augmentation_is_judged_by_the_change_of_the_contrast():
    name = "augmentation_decides_who_is_flatter"
    assert word(name, everything(FALLING, spectrum_clean=EQUAL(spectrum))) == "SUPPORTED"
    assert word(name, everything(FALLING)) == "REFUTED"


def test_decay_that_shifts_by_its_lambda_is_refuted_and_a_large_one_is_seen():
    name = "decay_changes_the_spectrum"
    small = everything(FALLING, spectrum_decay=FALLING(spectrum, shift=0.05))
    verdict = claims.find(name).judge(small)
    assert verdict.word == "REFUTED"
    expected = np.mean([0.05 / level for level in (100, 40, 20)])
    assert verdict.effect.mean == pytest.approx(expected, rel=0.1)
    assert (
        word(name, everything(FALLING, spectrum_decay=FALLING(spectrum, shift=50.0))) == "SUPPORTED"
    )


def test_the_share_of_decay_in_the_relief_is_exact():
    name = "decay_makes_the_relief"
    verdict = claims.find(name).judge(readings(lines=lambda m, s: lines(1.0, l2=60.0, seed=s)))
    assert verdict.word == "SUPPORTED"
    assert verdict.effect.mean == pytest.approx(3.0 / 4.0, abs=0.02)  # 0.05 * 60 beside 1
    assert word(name, readings(lines=lambda m, s: lines(30.0, seed=s))) == "REFUTED"


def test_negative_curvature_of_small_batches_alone_is_an_artefact():
    name = "attention_has_negative_curvature"
    share = {"resnet": 0.0, "vit": 0.4, "alternet": 0.2}

    def small(model, seed):
        return spectrum(50.0, negatives=share[model], seed=seed)

    def mass(by):
        return lambda model, seed: density(by[model] + 0.001 * seed)

    both = readings(spectrum=small, density=mass({"resnet": 0.1, "vit": 0.4, "alternet": 0.2}))
    alone = readings(spectrum=small, density=mass({"resnet": 0.4, "vit": 0.4, "alternet": 0.4}))
    none = readings(spectrum=FALLING(spectrum), density=mass(share))
    assert [word(name, x) for x in (both, alone, none)] == ["SUPPORTED", "ARTEFACT", "REFUTED"]


def test_concordance_equals_its_relation_to_the_mean_rank_correlation():
    from scipy.stats import spearmanr

    scores = np.random.default_rng(0).normal(size=(4, 9))
    rho = spearmanr(scores, axis=1).statistic
    mean = rho[np.triu_indices(4, 1)].mean()
    assert concordance(scores) == pytest.approx((mean * 3 + 1) / 4)


def test_measures_agree_where_planted():
    name = "measures_of_flatness_agree"
    order = {"resnet": 3.0, "vit": 2.0, "alternet": 1.0}

    def made(shuffled):
        def value(model, seed, k):
            turn = list(order)[(list(order).index(model) + (k + seed) * shuffled) % 3]
            return order[turn]

        return readings(
            5,
            spectrum=lambda m, s: spectrum(value(m, s, 0), seed=s),
            density=lambda m, s: density(0.1, value(m, s, 1)),
            lines=lambda m, s: lines(value(m, s, 2), seed=s),
            sharpness=lambda m, s: sharpness(value(m, s, 4)),
        )

    assert word(name, made(0)) == "SUPPORTED"
    assert word(name, made(1)) == "REFUTED"


def _first(result):
    return result["eigenvalue"].values[:, 0]


def test_contrasts_are_paired_by_seed_and_say_why_they_cannot_be():
    given = readings(spectrum=FALLING(spectrum))
    every = contrast(given, "spectrum", "conv", "msa", _first, within="b")
    assert isinstance(every, Units)
    assert every.unit == "seed"
    assert every.n == {"seeds": 3, "bs a network": 8}
    assert contrast(given, "spectrum", "conv", "mlp", _first, within="b") == (
        "there is no 'spectrum' of a network 'mlp'"
    )
    other = [Reading("spectrum", "m", "mlp", 7, spectrum(1.0))]
    assert "no seed in common" in contrast(
        [*given, *other],
        "spectrum",
        "conv",
        "mlp",
        _first,
        within="b",
    )
    assert evidence(own([], "x", "conv", lambda r: r, within="b")).missing == (
        "there is no 'x' of a network 'conv'"
    )
    assert least(["why not"]).missing == "why not"


def test_single_seeds_of_different_sizes_are_not_compared():
    given = [Reading("a", "x", "conv", 0, 3), Reading("a", "y", "msa", 0, 4)]
    found = contrast(given, "a", "conv", "msa", lambda n: np.zeros(n), within="image")
    assert found == "'conv' and 'msa' were not measured on the same images"


def test_networks_of_a_family_are_averaged_and_parts_of_unlike_depth_with_them():
    given = [
        Reading("a", "x", "conv", 0, np.array([[1.0, 2.0, 3.0]] * 4)),
        Reading("a", "y", "conv", 0, np.array([[4.0, 6.0]] * 4)),
    ]
    found = own(given, "a", "conv", lambda r: r, within="image")
    assert found.values.tolist() == [3.5] * 4


def test_the_table_holds_what_the_verdicts_say():
    given = everything(FALLING, density=lambda m, s: density(0.1))
    judged = {n: (claims.find(n), claims.find(n).judge(given)) for n in claims.names()}
    result = table(judged, {"data": "none"})
    assert result.attrs["analyzer"] == "claims"
    for name, (_, verdict) in judged.items():
        row = result.sel(claim=name)
        assert str(row["word"].item()) == verdict.word
        assert json.loads(str(row["n"].item())) == dict(verdict.n)
        if verdict.effect:
            assert float(row["low"]) == verdict.effect.low
            names = [str(x) for x in row["comparison_name"].values if x]
            assert names == [*verdict.controls, *verdict.mended]
        else:
            assert np.isnan(float(row["mean"]))
