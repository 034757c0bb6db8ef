"""A measurement under controls: a toy with known answers, then every analyzer that takes them."""

import inspect
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import landscape
from landscape.analyzers import analyzer, fingerprint, silent
from landscape.analyzers._controls import controlled
from landscape.subject.controls import INPUTS

FOLDER = Path(landscape.__file__).parent / "analyzers"
TAKERS = [
    name
    for name in sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))
    if "controls" in inspect.signature(getattr(landscape, name)).parameters
]


def gain(value):
    net = nn.Conv2d(1, 1, 1, bias=False).double()
    nn.init.constant_(net.weight, value)
    return net


def level(model, batches, progress=silent):
    """Mean of the output and of its square, a ragged coordinate, and things that are no float."""
    with torch.no_grad():
        out = torch.cat([model(x).flatten(1) for x, _ in batches]).numpy()
    rows = np.stack([out.mean(1), (out**2).mean(1)])
    about = {"long_name": "level", "units": "V"}
    return xr.Dataset(
        {
            "level": ("moment", rows.mean(1), about),
            "level_se": ("moment", rows.std(1, ddof=1) / len(out) ** 0.5, about),
            "count": ((), len(out), about),
            "drawn": ((), float(torch.rand(())), about),
        },
        {"moment": ("moment", ["first", "second"], about)},
    )


@pytest.fixture
def images():
    x = torch.rand(6, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    return [(x[:4], torch.zeros(4)), (x[4:], torch.zeros(2))]


def test_without_controls_it_is_the_measurement(images):
    xr.testing.assert_identical(
        controlled(level, gain(2.0), images, (), (), 0, silent).drop_vars("drawn"),
        level(gain(2.0), images).drop_vars("drawn"),
    )


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_control_is_the_measurement_on_other_images(name, images):
    found = controlled(level, gain(2.0), images, [name], (), 3, silent)
    want = level(gain(2.0), INPUTS[name](images, 3))
    assert found.control.values.tolist() == [name]
    assert np.array_equal(found.control_level[0], want.level)
    assert np.array_equal(found.control_level_se[0], want.level_se)
    assert np.array_equal(found.level, level(gain(2.0), images).level)
    assert found.control_level.dims == ("control", "moment")
    assert found.control_level.units == "V"
    assert found.control_networks.values.tolist() == [1]
    assert "control_count" not in found


def test_twins_are_averaged_and_their_spread_is_in_the_error(images):
    twins = [gain(v) for v in (1.0, 2.0, 6.0)]
    found = controlled(level, gain(5.0), images, ["constant", "untrained"], twins, 0, silent)
    parts = [level(twin, images) for twin in twins]
    row = found.sel(control="untrained")
    assert np.allclose(row.control_level, np.mean([p.level for p in parts], 0), rtol=1e-14)
    within = np.mean([p.level_se**2 for p in parts], 0)
    between = np.var([p.level for p in parts], 0, ddof=1) / 3
    assert np.allclose(row.control_level_se, np.sqrt(within + between), rtol=1e-14)
    assert found.control_networks.values.tolist() == [1, 3]
    alone = controlled(level, gain(5.0), images, ["untrained"], twins[:1], 0, silent)
    assert np.isfinite(alone.control_level).all()
    assert np.isnan(alone.control_level_se).all()  # of one twin no spread is known


def test_random_draws_are_the_same_under_every_control(images):
    net = gain(2.0)
    torch.manual_seed(7)
    found = controlled(level, net, images, list(INPUTS), (), 7, silent)
    assert (found.control_drawn == found.drawn).all()


def test_nan_has_a_reason(images):
    def ratio(model, batches, progress):
        spread = model(batches[0][0]).var((2, 3)).mean().item()
        about = {"long_name": "ratio", "units": "dB"}
        return xr.Dataset({"ratio": ((), spread / spread if spread else np.nan, about)})

    found = controlled(ratio, gain(2.0), images, ["noise", "constant"], (), 0, silent)
    assert found.control_ratio[0] == 1
    assert np.isnan(found.control_ratio[1])
    assert "nothing to measure" in found.control_ratio.comment
    assert (
        "comment"
        not in controlled(ratio, gain(2.0), images, ["noise"], (), 0, silent).control_ratio.attrs
    )


OWN = nn.Conv2d(1, 2, 1).double()


@pytest.mark.parametrize(
    ("controls", "twins", "told"),
    [
        (["blurred"], (), "'blurred' is unknown; choose shuffled, phase"),
        ("noise", (), "sequence of names"),
        (["untrained"], (), r"needs networks of the same architecture.*twins=\[build"),
        (["noise"], [gain(1.0)], "'untrained' is not among the controls"),
        (["untrained"], [OWN, gain(1.0)], "twin 1 has the weights of the network"),
        (["untrained"], [gain(1.0), gain(2.0), gain(1.0)], "twin 3 has the weights of twin 1"),
        (["untrained"], [nn.Conv2d(1, 2, 1).double(), nn.Conv2d(2, 2, 3)], "twin 2 has another"),
    ],
)
def test_what_makes_no_sense_is_refused(controls, twins, told, images):
    def shape(model, batches, progress):
        about = {"long_name": "x", "units": "1"}
        width = [str(s) for s in model.weight.shape]
        return xr.Dataset({"x": ("side", [1.0] * 4, about)}, {"side": ("side", width, about)})

    with pytest.raises(ValueError, match=told):
        controlled(shape, OWN, images, controls, twins, 0, silent)


def test_a_control_that_says_nothing_here(images):
    with pytest.raises(ValueError, match="'noise' says nothing here; choose untrained"):
        controlled(level, gain(1.0), images, ["noise"], (), 0, silent, choices=["untrained"])
    with pytest.raises(TypeError, match="twin 1 must be"):
        controlled(level, gain(1.0), images, ["untrained"], [lambda x: x], 0, silent)


def test_settings_tell_twins_by_their_fingerprints(images):
    @analyzer
    def levels(model, batches, *, controls=(), twins=(), seed=0, progress=silent):
        """Measure levels."""
        return controlled(level, model, batches, controls, twins, seed, progress).drop_vars("drawn")

    twins = [gain(1.0), gain(2.0)]
    result = levels(gain(3.0), images, controls=["untrained"], twins=twins)
    settings = json.loads(result.attrs["settings"])
    assert settings["twins"] == [fingerprint(twin) for twin in twins]
    assert settings["controls"] == ["untrained"]
    assert json.loads(levels(gain(3.0), images).attrs["settings"])["twins"] == []


class Attends(nn.Module):
    """One attention over pixels, whose weights can be replaced by hand."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Conv2d(1, 6, 1).double()
        self.proj = nn.Conv2d(2, 2, 1).double()
        self.fixed = None

    def weights(self, x):
        q, k, _ = self.qkv(x).flatten(2).transpose(1, 2).chunk(3, -1)
        return (5 * q @ k.transpose(1, 2)).softmax(-1)

    def forward(self, x):
        v = self.qkv(x).flatten(2).transpose(1, 2).chunk(3, -1)[2]
        a = self.weights(x) if self.fixed is None else self.fixed
        out = (a @ v).transpose(1, 2).unflatten(2, x.shape[2:])
        return self.proj(out).flatten(1)


def test_mean_attention_is_that_of_all_images_in_every_batch(images):
    net = Attends()
    found = controlled(level, net, images, ["mean", "uniform"], (), 0, silent)
    with torch.no_grad():
        net.fixed = torch.cat([net.weights(x) for x, _ in images]).mean(0)
        assert np.allclose(found.control_level[0], level(net, images).level, rtol=1e-10)
        net.fixed = torch.full((16, 16), 1 / 16, dtype=torch.float64)
        assert np.allclose(found.control_level[1], level(net, images).level, rtol=1e-10)
    assert not np.allclose(found.control_level, found.level, rtol=1e-3)


def test_mean_attention_of_one_image_is_its_own(images):
    twice = [(images[0][0][:1], torch.zeros(1))] * 2
    found = controlled(level, Attends(), twice, ["mean"], (), 0, silent)
    assert np.allclose(found.control_level[0], found.level, rtol=1e-10)


@pytest.mark.parametrize("name", ["uniform", "mean"])
def test_a_network_without_attention_is_refused(name, images):
    with pytest.raises(ValueError, match=f"'{name}' changes attention, and the network has none"):
        controlled(level, gain(1.0), images, [name], (), 0, silent)


def test_uniform_attention_is_that_of_queries_and_keys_of_zero(build, batches):
    """In every block of a ViT, class token and all."""
    net = build("msa")
    found = landscape.variance(net, batches, controls=["uniform"])
    for block in net.blocks:
        n = block.attn.qkv.weight.shape[1]
        block.attn.qkv.weight.data[: 2 * n] = 0
        block.attn.qkv.bias.data[: 2 * n] = 0
    want = landscape.variance(net, batches)
    assert np.allclose(found.control_variance[0], want.variance, rtol=1e-10)
    assert not np.allclose(found.variance, want.variance, rtol=1e-3)


def test_uniform_attention_reaches_as_far_as_uniform_attention(build, batches):
    found = landscape.receptive(build("msa"), batches, controls=["uniform"])
    for what in ("distance", "pixels"):
        reach = found[f"control_attention_{what}"][0]
        assert np.allclose(reach, found[f"uniform_{what}"], rtol=1e-10)
    assert np.allclose(found.control_attention_specificity, 0, atol=1e-10)
    assert (found.attention_specificity > 0.001).all()


def choices(name, net, batches):
    """Controls that an analyzer knows, as it says itself."""
    with pytest.raises(ValueError, match="'x' is unknown; choose ") as told:
        getattr(landscape, name)(net, batches, controls=["x"])
    return str(told.value).partition("choose ")[2].split(", ")


def test_some_analyzers_take_controls():
    assert {"fourier", "receptive", "robustness", "variance"} <= set(TAKERS)


@pytest.mark.parametrize("name", TAKERS)
def test_the_command_offers_the_controls_of_the_analyzer(name, build, batches):
    options = {p.name: p for p in import_module(f"landscape_cli.commands.{name}").command.params}
    assert list(options["controls"].type.choices) == choices(name, build("msa"), batches)


@pytest.mark.parametrize("name", TAKERS)
def test_twins_are_guests_and_all_controls_are_in_the_result(name, build, batches, tmp_path):
    net = build("msa").train()
    twins = [build("msa").train(), build("msa").train()]
    for number, twin in enumerate(twins, 2):
        for value in twin.parameters():
            value.data *= number
            value.grad = torch.ones_like(value)
    names = choices(name, net, batches)

    for value in net.parameters():
        value.grad = torch.ones_like(value)

    def state():
        nets = (net, *twins)
        modules = [m for one in nets for m in one.modules()]
        return (
            [(k, v.tolist()) for one in nets for k, v in one.state_dict().items()],
            [p.grad.tolist() for one in nets for p in one.parameters()],
            [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules],
        )

    before, generator = state(), torch.get_rng_state()
    found = getattr(landscape, name)(net, batches, controls=names, twins=twins)
    assert state() == before
    assert torch.equal(torch.get_rng_state(), generator)
    assert found.control.values.tolist() == names
    assert found.control_networks.values.tolist() == [2 if n == "untrained" else 1 for n in names]
    plain = getattr(landscape, name)(net, batches)
    for variable, values in plain.data_vars.items():
        xr.testing.assert_identical(found[variable].drop_vars("control", errors="ignore"), values)
        if np.issubdtype(values.dtype, np.floating):
            assert found[f"control_{variable}"].dims == ("control", *values.dims)
    place = landscape.save(found, tmp_path / "a.nc")
    xr.testing.assert_identical(landscape.load(place), found)


@pytest.mark.parametrize("name", TAKERS)
def test_a_twin_by_itself_is_the_control(name, build, batches):
    net, twin = build("msa"), build("msa")
    for value in twin.parameters():
        value.data *= 1.5
    found = getattr(landscape, name)(net, batches, controls=["untrained"], twins=[twin])
    alone = getattr(landscape, name)(twin, batches)
    for variable, values in alone.data_vars.items():
        under = f"control_{variable}"
        if under in found and not str(variable).endswith("_se"):
            np.testing.assert_array_equal(found[under][0], values)


def test_what_depends_on_weights_alone_is_the_same_at_all_images(build, batches):
    found = landscape.transfer(build("hybrid"), batches, controls=["noise", "constant", "uniform"])
    for control in found.control_kernel_gain:
        np.testing.assert_array_equal(control, found.kernel_gain)
    stem = found.hlr.sel(level="branch", op=found.kind == "stem")
    control = found.control_hlr.sel(level="branch", op=found.kind == "stem")
    assert np.allclose(control, stem, rtol=1e-9)


def test_uniform_heads_pass_nothing_but_zero_frequency(build, batches):
    found = landscape.transfer(build("msa"), batches, parts=["head"], controls=["uniform"])
    gain = found.control_head_gain[0].values
    assert (gain[np.isfinite(found.head_gain.values)] < -250).all()  # dB
    assert np.isfinite(found.head_gain).any()
