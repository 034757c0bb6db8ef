"""Claims that untrained twins, another recipe or a mended measurement can explain."""

import numpy as np
import pytest
import torch
import xarray as xr
from timm.models.pit import PoolingVisionTransformer
from timm.models.swin_transformer import SwinTransformer

import landscape
from landscape import claims
from landscape.claims import Reading

FAMILIES = {"resnet": "conv", "vit": "msa", "alternet": "hybrid"}


def readings(analysis, make, families=("conv", "msa", "hybrid"), seeds=3):
    """``make(family, rng) -> Dataset`` for every network and seed."""

    def made(family, seed):
        return make(family, np.random.default_rng(seed)).assign_attrs(facts='{"examples": 32}')

    return [
        Reading(analysis, model, family, seed, made(family, seed))
        for model, family in FAMILIES.items()
        if family in families
        for seed in range(seeds)
    ]


def verdict(name, given):
    return claims.find(name).judge(given)


def pair(dims, name, values):
    values = np.asarray(values)
    return {name: (dims, values), f"{name}_se": (dims, np.full(values.shape, 0.01))}


# Sharpness under two recipes


def spectra(weak, clean, augmented, seeds=1):
    """Ratios of the ViT's eigenvalue over the ResNet's, in ln, in each of three measurements."""

    def of(ratio):
        def make(family, rng):
            level = 30 * np.exp(ratio * (family == "msa") + 0.02 * rng.normal(size=(8, 1)))
            return xr.Dataset({"eigenvalue": (("batch", "rank"), level * [1.0, 0.5])})

        return make

    return [
        *readings("spectrum-weak", of(weak), ("conv", "msa"), seeds),
        *readings("spectrum-clean", of(clean)),
        *readings("spectrum", of(augmented)),
    ]


def test_sharper_under_the_weak_recipe_alone_is_supported_and_under_both_is_no_matter_of_it():
    name = "weak_augmentation_makes_attention_sharper"
    assert verdict(name, spectra(1.0, -1.0, -1.5)).word == "SUPPORTED"
    assert verdict(name, spectra(1.0, 1.2, 1.2)).word == "ARCHITECTURAL"
    assert verdict(name, spectra(1.0, -1.0, 1.2)).word == "ARCHITECTURAL"
    assert verdict(name, spectra(-1.0, -1.0, -1.5)).word == "REFUTED"


def test_one_weak_training_is_judged_by_mini_batches_and_several_by_seed():
    name = "weak_augmentation_makes_attention_sharper"
    one, several = (verdict(name, spectra(1.0, -1.0, -1.5, seeds)) for seeds in (1, 3))
    assert (one.unit, one.count, one.n) == ("mini-batch", 8, {"mini-batches": 8, "seeds": 1})
    assert (several.unit, several.count) == ("seed", 3)
    assert all(len(v.controls) == 2 for v in (one, several))


def test_networks_without_a_weak_training_are_not_testable():
    given = [r for r in spectra(1.0, 0.0, 0.0) if r.analysis != "spectrum-weak"]
    found = verdict("weak_augmentation_makes_attention_sharper", given)
    assert (found.word, "spectrum-weak" in found.reason) == ("NOT TESTABLE", True)


# Saddles

STEP = np.array([0.05, 0.1, 0.2, 0.4, 0.8])


def critical(slope, curvature, verdict="saddle"):
    """Lines of ``f(g, v) = -slope g - curvature v^2 / 2 + g^2 + v^4`` and a slope along v."""

    def make(family, rng):
        bent = curvature * np.exp(0.02 * rng.normal())
        even, odd = STEP**4 - bent * STEP**2 / 2, 0.3 * slope * STEP
        change = np.stack([STEP**2 - slope * STEP, even - odd, even + odd])
        data = {
            "change": (("side", "step"), change),
            "noise": (("side", "step"), np.full_like(change, 1e-9)),
            "risk": ((), 2.0),
        }
        return xr.Dataset(data, {"side": ["-g", "+v", "-v"], "step": STEP}, {"verdict": verdict})

    return readings("critical", make)


def test_saddles_slopes_and_minima_are_told_apart():
    name = "trained_networks_are_at_saddles"
    saddle = verdict(name, critical(0.0, 1.0))
    assert saddle.word == "SUPPORTED"
    assert saddle.effect.mean == 1
    assert saddle.n == {"networks": 9, "seeds": 3, "called 'saddle'": 9}
    assert verdict(name, critical(1.0, 0.2, "not a critical point")).word == "REFUTED"
    assert verdict(name, critical(0.0, -1.0, "minimum")).word == "REFUTED"


def test_the_share_of_curvature_is_that_of_the_quartic():
    """A slope along the eigenvector counts for nothing; noise does neither."""
    found = verdict("trained_networks_are_at_saddles", critical(0.8, 0.64))
    curved, sloped = 0.16 * 0.32 - 0.4**2 * 0.4**2, 0.16  # at 0.4: -0.64 t^2 / 2 + t^4, t^2 - 0.8 t
    assert found.effect.mean == pytest.approx(curved / (curved + sloped), rel=0.05)
    noisy = critical(0.0, 1.0)
    for reading in noisy:
        reading.result["noise"] += 1.0
    assert verdict("trained_networks_are_at_saddles", noisy).effect.mean == 0


def test_a_bump_of_a_kink_is_no_barrier_and_a_hill_is_one():
    for height, share in ((1e-3, 1.0), (1e-2, 0.0)):
        given = critical(0.0, 1.0)
        for reading in given:
            reading.result["change"].loc[{"step": STEP[0]}] = height
        assert verdict("trained_networks_are_at_saddles", given).effect.mean == share


def test_networks_of_one_seed_are_the_units():
    one = [r for r in critical(0.0, 1.0) if r.seed == 0]
    found = verdict("trained_networks_are_at_saddles", one)
    assert (found.unit, found.count) == ("network", 3)


# Reach


def fields(conv, msa, untrained):
    """Last radius of convolutions, largest of attention, and of the untrained convolutions."""

    def make(family, rng):
        last = {"conv": conv, "msa": 0.7 * msa, "hybrid": 1.0}[family]
        first = msa if family == "msa" else 1.0  # attention is widest in the middle
        jitter = np.exp(0.01 * rng.normal(size=3))
        twin = untrained if family == "conv" else msa
        data = pair(("tap",), "rms_radius", np.array([1.0, first, last]) * jitter)
        data |= pair(("control", "tap"), "control_rms_radius", [np.array([1, 1, twin]) * jitter])
        if family == "msa":
            data["attention_distance"] = (("layer",), np.ones(2))
        return xr.Dataset(data, {"control": ["untrained"]})

    return readings("fields", make)


def test_a_stack_reaches_as_far_by_training_or_as_it_is_built():
    name = "stacked_convolutions_reach_as_far"
    learned = verdict(name, fields(6.0, 6.0, 2.0))
    assert learned.word == "SUPPORTED"
    assert learned.effect.mean == pytest.approx(1.0, abs=0.02)
    assert learned.held == (0, 2, 3)
    assert verdict(name, fields(6.0, 6.0, 7.0)).word == "ARCHITECTURAL"
    assert verdict(name, fields(2.0, 6.0, 2.0)).word == "REFUTED"
    assert verdict(name, fields(9.0, 6.0, 2.0)).held == (1, 2, 3)


def test_the_reach_of_single_networks_has_the_error_of_their_images():
    one = [r for r in fields(6.0, 6.0, 2.0) if r.seed == 0]
    found = verdict("stacked_convolutions_reach_as_far", one)
    assert (found.word, found.unit, found.count) == ("SUPPORTED", "image", 32)
    half = (found.effect.high - found.effect.low) / 2
    ratio = found.effect.mean
    assert half == pytest.approx(2.04 * ratio * np.hypot(0.01 / 6, 0.01 / 6), rel=0.05)


# Weighted means


def operators(below, untrained, branch):
    """How far the best band lies below the mean, in dB: in one head of six; in one branch."""

    def make(family, rng):
        def gains(worst, shape):
            lows = np.full(shape, worst + 3.0)
            lows.flat[0] = worst
            bands = -lows[..., None] - np.array([0.0, 2.0, 4.0])
            return bands + 0.01 * rng.normal(size=(*shape, 1))

        dims = ("attention", "head")
        mean = np.full((3, 3), 0.9)
        shift = 10 * np.log10(0.9)  # the rest goes to class tokens
        own, twin = (gains(x, (3, 3)) + shift for x in (below, untrained))
        mean[2, 2] = own[2, 2] = np.nan  # a layer with fewer heads
        data = pair((*dims, "band"), "head_gain", own) | pair(dims, "head_dc", mean)
        data |= pair(("control", *dims, "band"), "control_head_gain", twin[None])
        data |= pair(("control", *dims), "control_head_dc", mean[None])
        data |= pair(("op", "level", "band"), "gain", gains(branch, (2, 1)) - 5.0)
        data |= pair(("op", "level"), "dc", np.full((2, 1), -5.0))
        return xr.Dataset(
            data, {"kind": ("op", ["msa", "msa"]), "level": ["branch"], "control": ["untrained"]}
        )

    return readings("operators", make, ("msa",))


def test_a_weighted_mean_is_low_pass_only_if_every_head_is():
    name = "attention_is_a_weighted_mean"
    good = verdict(name, operators(3.0, 1.0, 3.0))
    assert good.word == "SUPPORTED"
    assert good.effect.mean == pytest.approx(3.0, abs=0.03)
    assert good.held == (8, 0, 8)
    assert verdict(name, operators(3.0, 9.0, 3.0)).word == "ARCHITECTURAL"
    assert verdict(name, operators(3.0, 1.0, -2.0)).word == "ARTEFACT"
    alone = verdict(name, operators(0.0, 1.0, 3.0))
    assert alone.word == "REFUTED"  # a single head that looks at its own place
    assert alone.effect.mean == pytest.approx(0.0, abs=0.03)


# Pooling


def variances(pooled, attended, untrained=0.0, scaled=None):
    """Falls in dB across two attentions and the pooling between them."""

    def make(family, rng):
        def levels(pool):
            falls = np.array([0.0, attended, -1.0, pool, attended])
            return 10 ** (-np.cumsum(falls + 0.01 * rng.normal(size=5)) / 10)

        data = {}
        for name, pool in (
            ("variance", pooled),
            ("normalised_variance", pooled if scaled is None else scaled),
        ):
            data |= pair(("tap",), name, levels(pool))
        data |= pair(("control", "tap"), "control_variance", levels(untrained)[None])
        kinds = ["stem", "msa", "mlp", "pool" if family == "msa" else "conv", "msa"]
        return xr.Dataset(data, {"kind": ("tap", kinds), "control": ["untrained"]})

    return readings("variances", make)


def test_pooling_is_compared_with_attention_and_with_untrained_pooling():
    name = "pooling_is_what_lowers_variance"
    found = verdict(name, variances(4.0, 0.5))
    assert found.word == "SUPPORTED"
    assert found.effect.mean == pytest.approx(3.5, abs=0.05)
    assert verdict(name, variances(4.0, 0.5, untrained=6.0)).word == "ARCHITECTURAL"
    assert verdict(name, variances(4.0, 0.5, scaled=0.5)).word == "ARTEFACT"
    assert verdict(name, variances(2.0, 2.0)).word == "REFUTED"
    assert verdict(name, variances(-1.0, 2.0)).word == "REFUTED"


def test_networks_that_shrink_the_grid_in_convolutions_tell_nothing_of_pooling():
    given = [r for r in variances(4.0, 0.5) if r.family != "msa"]
    found = verdict("pooling_is_what_lowers_variance", given)
    assert (found.word, "pooling between its blocks" in found.reason) == ("NOT TESTABLE", True)


def pit():
    return PoolingVisionTransformer(64, base_dims=(8,) * 3, depth=(1,) * 3, heads=(1, 2, 4))


def swin():
    return SwinTransformer(64, embed_dim=8, depths=(1, 1), num_heads=(1, 2), window_size=4)


@pytest.mark.parametrize("build", [pit, swin])
def test_pooling_and_merging_of_real_networks_are_found(build):
    net, *twins = (build().eval() for _ in range(3))
    images = [(torch.randn(4, 3, 64, 64), torch.zeros(4))]
    result = landscape.variance(net, images, controls=("untrained",), twins=twins)
    result = result.assign_attrs(facts='{"examples": 4}')
    found = verdict(
        "pooling_is_what_lowers_variance", [Reading("variances", "net", "msa", 0, result)]
    )
    assert (found.unit, found.count) == ("image", 4)
    kinds = list(result["kind"].values)
    level = -10 * np.log10(result["variance"].values)
    pool, msa = (
        np.mean([level[i] - level[i - 1] for i, k in enumerate(kinds) if k == kind])
        for kind in ("pool", "msa")
    )
    assert found.effect.mean == pytest.approx(pool - msa)


# Shape or texture


def decisions(msa, conv, *, untrained=0.0, right=None, shape=True, seeds=3):
    """Shares of shape, and the opposite of phase; ``right`` of pairs that are both known."""

    def make(family, rng):
        share = {"msa": msa, "conv": conv, "hybrid": 0.5}[family]
        both = np.array([1 - share, share] if shape else [share])
        none = np.full(both.shape, 0.5 + untrained * (family == "msa"))
        known = none * np.nan if shape else both if right is None else none + right[family]
        data = {}
        for name, values in (("share", both), ("right_share", known)):
            drawn = values + 0.005 * rng.normal(size=values.shape)
            data |= pair("conflict", name, drawn)
        drawn = none[None] + 0.005 * rng.normal(size=(1, *none.shape))
        data |= pair(("control", "conflict"), "control_share", drawn)
        names = ["phase/amplitude", "shape/texture"][: len(both)]
        data["images"] = ("conflict", np.full(len(names), 20))
        return xr.Dataset(data, {"conflict": names, "control": ["untrained"]})

    return readings("cues", make, seeds=seeds)


def test_shape_decides_where_images_show_it_and_phase_elsewhere():
    name = "attention_is_biased_to_shape"
    assert verdict(name, decisions(0.7, 0.4)).word == "SUPPORTED"
    assert verdict(name, decisions(0.7, 0.4)).effect.mean == pytest.approx(0.3, abs=0.02)
    assert verdict(name, decisions(0.4, 0.7)).word == "REFUTED"
    assert verdict(name, decisions(0.5, 0.5)).word == "REFUTED"
    assert verdict(name, decisions(0.7, 0.4, untrained=0.4)).word == "ARCHITECTURAL"
    assert verdict(name, decisions(0.7, 0.4, shape=False)).word == "SUPPORTED"
    one = verdict(name, decisions(0.7, 0.4, seeds=1))
    assert (one.unit, one.count, one.n) == ("image", 20, {"images": 20, "seeds": 1})


def test_a_share_that_is_of_the_accuracy_is_an_artefact():
    name = "attention_is_biased_to_shape"
    alike = {family: 0.0 for family in ("msa", "conv", "hybrid")}
    assert verdict(name, decisions(0.7, 0.4, shape=False, right=alike)).word == "ARTEFACT"


# Frozen or narrowed


def ablated(frozen, places, narrow, seeds=3):
    """Losses of accuracy under three changes of the attention, of 20 images each."""

    def make(family, rng):
        drops = {"whole": 0.0, "frozen": frozen, "places frozen": places, "5x5": narrow}
        right = [np.arange(20) >= round(20 * drop) for drop in drops.values()]
        flip = rng.integers(20)
        right[1][flip] ^= True
        return xr.Dataset(
            {"right": (("condition", "image"), np.array(right, np.int8))},
            {"condition": list(drops)},
        )

    return readings("ablation", make, ("msa", "hybrid"), seeds)


def test_freezing_is_compared_with_narrowing_where_both_change_the_same_tokens():
    name = "freezing_attention_hurts_more_than_narrowing_it"
    both = verdict(name, ablated(0.6, 0.5, 0.1))
    assert both.word == "SUPPORTED"
    assert both.effect.mean == pytest.approx(0.5, abs=0.06)
    assert verdict(name, ablated(0.6, 0.1, 0.1)).word == "ARTEFACT"
    assert verdict(name, ablated(0.1, 0.1, 0.6)).word == "REFUTED"
    one = verdict(name, ablated(0.6, 0.5, 0.1, seeds=1))
    assert (one.unit, one.count) == ("image", 20)
