"""Claims on maps and operations, on results with planted effects and controls."""

import numpy as np
import pytest
import xarray as xr

from landscape import claims
from landscape.claims import Reading


def readings(analysis, make, seeds=3):
    """``make(family, rng) -> Dataset`` for a ResNet and a ViT, every seed."""

    def made(family, seed):
        return make(family, np.random.default_rng(seed)).assign_attrs(facts='{"examples": 32}')

    return [
        Reading(analysis, model, family, seed, made(family, seed))
        for model, family in (("resnet", "conv"), ("vit", "msa"))
        for seed in range(seeds)
    ]


def verdict(name, given):
    return claims.find(name).judge(given)


def with_error(data, dims, name, values):
    data[name] = (dims, values)
    data[f"{name}_se"] = (dims, np.full(np.shape(values), 0.01))


def operators(effects, untrained):
    """Four operations: attention, MLP, convolution, and one that ends a grid."""

    def make(family, rng):
        kinds = ["msa", "mlp"] * 2 if family == "msa" else ["conv"] * 4
        data = {}
        for name, table in (("hlr", effects), ("control_hlr", untrained)):
            values = np.array([[table.get(k, 0.0), 0.0] for k in kinds])
            values = values + 0.05 * rng.normal(size=values.shape)
            dims = ("op", "level")
            if name.startswith("control"):
                values, dims = values[None], ("control", *dims)
            with_error(data, dims, name, values)
        for name, table in (("kernel_hlr", effects), ("control_kernel_hlr", untrained)):
            values = table.get("kernel", 0.0) + 0.05 * rng.normal(size=3)
            dims = ("kernel",)
            if name.startswith("control"):
                values, dims = values[None], ("control", *dims)
            data[name] = (dims, values)
        coords = {
            "kind": ("op", kinds),
            "level": ["branch", "skip"],
            "kernel_kind": ("kernel", ["conv", "pool", "conv"]),
            "control": ["untrained"],
        }
        return xr.Dataset(data, coords)

    return readings("operators", make)


@pytest.mark.parametrize(
    ("name", "kind", "sign"),
    [
        ("attention_is_low_pass", "msa", -1),
        ("convolutions_are_high_pass", "kernel", 1),
        ("mlps_are_high_pass", "mlp", 1),
        ("attention_and_convolution_are_opposite", "conv", 1),
    ],
)
def test_filters_are_judged_by_sign_and_by_their_untrained_twins(name, kind, sign):
    strong, opposite, none = ({kind: sign * size} for size in (4.0, -4.0, 0.0))
    assert verdict(name, operators(strong, none)).word == "SUPPORTED"
    assert verdict(name, operators(strong, strong)).word == "ARCHITECTURAL"
    assert verdict(name, operators(opposite, none)).word == "REFUTED"
    assert verdict(name, operators(none, none)).word == "REFUTED"


def test_layers_are_counted_where_there_are_as_many_in_every_seed():
    found = verdict("attention_is_low_pass", operators({"msa": -4.0}, {}))
    assert found.held == (2, 0, 2)
    assert found.n == {"images a network": 32, "seeds": 3}


def maps(paper, mended, untrained=0.0, shuffled=0.0):
    """Two attentions on one grid, with a falling relative amplitude, and a power ratio."""
    steps = {"own": paper, "untrained": untrained, "shuffled": shuffled}
    decibels = 20 / np.log(10)

    def make(family, rng):
        kinds = ["stem", "msa", "msa"]
        data = {}

        def level(step):
            values = np.zeros((3, 2))
            values[:, 1] = -step / decibels * np.arange(3) + 0.001 * rng.normal(size=3)
            return values

        dims = ("tap", "bin")
        with_error(data, dims, "relative_log_amplitude", level(steps["own"]))
        under = np.stack([level(steps[k]) for k in ("untrained", "shuffled")])
        with_error(data, ("control", *dims), "control_relative_log_amplitude", under)
        step = np.array([np.nan, -mended, -mended]) + 0.01 * rng.normal(size=3)
        with_error(data, ("tap",), "step", step)
        deep = {"conv": 0.0, "msa": -mended}[family]
        with_error(data, ("tap",), "ratio", np.full(3, deep) + 0.01 * rng.normal(size=3))
        if family == "conv":
            data["relative_log_amplitude"] = (dims, 0.001 * rng.normal(size=(3, 2)))
        coords = {
            "kind": ("tap", kinds),
            "grid": ("tap", ["8x8"] * 3),
            "frequency": (dims, np.array([[0.0, 0.75]] * 3)),
            "control": ["untrained", "shuffled"],
        }
        return xr.Dataset(data, coords)

    return readings("maps", make)


def test_a_fall_relative_to_the_mean_alone_is_an_artefact():
    name = "attention_lowers_high_frequencies"
    both = verdict(name, maps(3.0, 2.0))
    assert both.word == "SUPPORTED"
    assert both.effect.mean == pytest.approx(3.0, abs=0.1)
    assert verdict(name, maps(3.0, 0.0)).word == "ARTEFACT"
    assert verdict(name, maps(3.0, 2.0, shuffled=3.0)).word == "ARCHITECTURAL"
    assert verdict(name, maps(-3.0, 2.0)).word == "REFUTED"


def test_no_step_is_taken_across_a_change_of_the_grid():
    given = maps(3.0, 2.0)
    for reading in given:
        reading.result["grid"] = ("tap", ["16x16", "8x8", "8x8"])
    found = verdict("attention_lowers_high_frequencies", given)
    assert found.held == (1, 0, 1)


def test_deep_spectra_are_compared_with_and_without_the_mean():
    name = "spectra_fall_faster_in_attention"
    assert verdict(name, maps(3.0, 3.0)).word == "SUPPORTED"
    assert verdict(name, maps(3.0, 0.0)).word == "ARTEFACT"
    assert verdict(name, maps(-3.0, 0.0)).word == "REFUTED"


@pytest.mark.parametrize(
    ("name", "kind", "sign"),
    [("attention_reduces_variance", "msa", -1), ("convolutions_raise_variance", "conv", 1)],
)
def test_variances_are_judged_raw_and_without_scale(name, kind, sign):
    def given(raw, free, untrained=0.0):
        def make(family, rng):
            data = {}
            for variable, size in (("step", raw), ("normalised_step", free)):
                values = np.array([np.nan, size, size]) * sign + 0.01 * rng.normal(size=3)
                with_error(data, ("tap",), variable, values)
            control = np.array([[np.nan, untrained, untrained]]) * sign + 0.01
            with_error(data, ("control", "tap"), "control_step", control)
            coords = {"kind": ("tap", ["stem", kind, kind]), "control": ["untrained"]}
            return xr.Dataset(data, coords)

        return readings("variances", make)

    assert verdict(name, given(2.0, 2.0)).word == "SUPPORTED"
    assert verdict(name, given(2.0, 0.0)).word == "ARTEFACT"
    assert verdict(name, given(2.0, 2.0, 3.0)).word == "ARCHITECTURAL"
    assert verdict(name, given(-2.0, 2.0)).word == "REFUTED"


def test_robustness_has_to_differ_at_both_ends():
    def given(high, low):
        drops = {"conv": [0.1, 0.2, 0.1 + high], "msa": [0.1 + low, 0.2, 0.1]}

        def make(family, rng):
            values = np.array([drops[family]] * 3) + 0.002 * rng.normal(size=(3, 3))
            data = {}
            with_error(data, ("strength", "band"), "accuracy_drop", values)
            return xr.Dataset(data)

        return readings("noise", make)

    name = "attention_is_robust_to_high_frequencies"
    assert verdict(name, given(0.3, 0.3)).word == "SUPPORTED"
    assert verdict(name, given(0.3, 0.0)).word == "REFUTED"
    assert verdict(name, given(0.0, 0.3)).word == "REFUTED"


def fields(specific=0.5, reach=(3.0, 3.0), support=0.9, radius=2.0, moved=(0.0, 0.0)):
    def make(family, rng):
        attention = family == "msa"
        data = {}
        share = np.array([0.02, support if attention else 0.05, 1.0])
        data["support_share"] = ("tap", share)
        area = np.array([[1.0, r] for r in (1.0, radius if attention else 1.0, 3.0)])
        with_error(data, ("tap", "share"), "radius", area)
        change = np.full((3, 2, 2), moved[attention]) + 0.001 * rng.normal(size=(3, 2, 2))
        with_error(data, ("tap", "shift", "part"), "shift_change", change)
        with_error(
            data, ("control", "tap", "shift", "part"), "control_shift_change", 0 * change[None]
        )
        data["field"] = (("row", "column"), np.zeros((8, 8)))
        if attention:
            dims = ("layer", "head")
            jitter = 0.01 * rng.normal(size=(2, 3))
            with_error(data, dims, "attention_specificity", specific + jitter)
            with_error(data, dims, "attention_distance", reach[1] + jitter)
            with_error(data, ("control", *dims), "control_attention_specificity", 0 * jitter[None])
            with_error(
                data, ("control", *dims), "control_attention_distance", reach[0] + 0 * jitter[None]
            )
        coords = {
            "kind": ("tap", ["stem", family, family]),
            "share": [0.5, 0.9],
            "shift": ["stride", "pixel"],
            "part": ["interior", "border"],
            "control": ["untrained"],
        }
        return xr.Dataset(data, coords)

    return readings("fields", make)


def test_attention_that_varies_between_images_is_data_specific():
    name = "attention_is_data_specific"
    assert verdict(name, fields(specific=0.5)).word == "SUPPORTED"
    assert verdict(name, fields(specific=0.0)).word == "REFUTED"


def test_what_can_be_seen_and_what_weighs_are_told_apart():
    name = "attention_sees_everything_at_once"
    assert verdict(name, fields(radius=4.0)).word == "SUPPORTED"
    assert verdict(name, fields(radius=1.0)).word == "ARTEFACT"
    assert verdict(name, fields(support=0.1)).word == "REFUTED"


def test_a_shorter_reach_after_training_is_learned():
    name = "attention_learns_its_reach"
    assert verdict(name, fields(reach=(4.0, 2.0))).word == "SUPPORTED"
    assert verdict(name, fields(reach=(2.0, 4.0))).word == "REFUTED"


def test_equivariance_is_compared():
    name = "convolutions_are_equivariant"
    assert verdict(name, fields(moved=(0.0, 0.8))).word == "SUPPORTED"
    assert verdict(name, fields(moved=(0.8, 0.0))).word == "REFUTED"


def test_one_network_of_each_family_is_judged_by_errors_over_images():
    given = [r for r in operators({"msa": -4.0}, {}) if r.seed == 0]
    found = verdict("attention_is_low_pass", given)
    assert (found.word, found.unit, found.count) == ("SUPPORTED", "image", 32)
    # errors of parts that see the same images add up at worst
    half = (found.effect.high - found.effect.low) / 2
    assert half == pytest.approx(0.01 * 2.04, rel=0.01)
