"""What is drawn of a frequency response is the result."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, style, transfer

KINDS = ["stem", "msa", "mlp", "msa", "mlp"]
GRIDS = ["8x8"] * 5


def response(control=False):
    rng = np.random.default_rng(0)
    n, levels = len(KINDS), ["branch", "skip", "block"]

    def v(dims, values, units="dB"):
        return dims, values, {"long_name": "x", "units": units}

    hlr = rng.normal(-2, 1, (n, 3))
    hlr[0, 1:] = np.nan
    hlr[[0, 1, 3], 2] = np.nan
    data = {
        "hlr": v(("op", "level"), hlr),
        "hlr_se": v(("op", "level"), np.full((n, 3), 0.1)),
        "gain": v(("op", "level", "band"), rng.normal(0, 1, (n, 3, 5))),
        "gain_se": v(("op", "level", "band"), np.full((n, 3, 5), 0.1)),
        "head_hlr": v(("attention", "head"), rng.normal(-5, 1, (2, 3))),
        "head_hlr_se": v(("attention", "head"), np.full((2, 3), 0.1)),
        "head_gain": v(("attention", "head", "band"), rng.normal(0, 1, (2, 3, 5))),
        "head_gain_se": v(("attention", "head", "band"), np.full((2, 3, 5), 0.1)),
        "kernel_hlr": v("kernel", [-1.0]),
        "kernel_gain": v(("kernel", "band"), rng.normal(0, 1, (1, 5))),
    }
    if control:
        data["control_hlr"] = v(("control", "op", "level"), hlr[None] - 1)
        data["control_hlr_se"] = v(("control", "op", "level"), np.full((1, n, 3), 0.2))
    true = [0.25, 0.35, 0.6, 0.8, 1.1]
    coords = {
        "op": v("op", [f"{i}:{k}" for i, k in enumerate(KINDS)], "1"),
        "level": v("level", levels, "1"),
        "kind": v("op", KINDS, "1"),
        "block_kind": v("op", ["", "", "msa+mlp", "", "msa+mlp"], "1"),
        "depth": v("op", np.linspace(0, 1, n), "1"),
        "grid": v("op", GRIDS, "1"),
        "frequency": v(("op", "band"), np.tile(true, (n, 1)), "π rad/sample"),
        "attention": v("attention", ["a", "b"], "1"),
        "attention_kind": v("attention", ["msa", "msa"], "1"),
        "attention_depth": v("attention", [0.25, 0.75], "1"),
        "attention_frequency": v(("attention", "band"), np.tile(true, (2, 1)), "π rad/sample"),
        "kernel": v("kernel", ["stem"], "1"),
        "kernel_kind": v("kernel", ["conv"], "1"),
        "kernel_depth": v("kernel", [0.0], "1"),
        "kernel_frequency": v(("kernel", "band"), [true], "π rad/sample"),
    }
    if control:
        coords["control"] = v("control", ["untrained"], "1")
    attrs = {"analyzer": "transfer", "settings": "{}", "facts": "{}", "model": "vit_s"}
    return xr.Dataset(data, coords, attrs | {"family": "msa", "data": "deadleaves"})


def new():
    return Figure().subplots()


@pytest.mark.parametrize("level", ["branch", "skip"])
def test_ratios_are_the_result_with_95_percent_intervals(level):
    result = response()
    ax = transfer.plot(result, ax=new(), levels=[level])
    found = [c.lines[0] for c in ax.containers]
    want = result.hlr.sel(level=level)
    for kind in set(KINDS) if level == "branch" else {"msa", "mlp"}:
        at = np.array(KINDS) == kind
        (line,) = [c for c in found if to_hex(c.get_color()) == to_hex(style.KIND_COLOURS[kind])]
        np.testing.assert_array_equal(line.get_ydata(), want.values[at])
        np.testing.assert_array_equal(line.get_xdata(), result.depth.values[at])
    (segment, *_) = ax.containers[0].lines[2][0].get_segments()
    assert np.ptp(segment[:, 1]) == pytest.approx(2 * 1.96 * 0.1)


def test_heads_are_marks_of_their_own():
    result = response()
    ax = transfer.plot(result, ax=new(), levels=["head"])
    drawn = [line.get_ydata() for line in ax.lines if line.get_gid() == "head msa"]
    np.testing.assert_array_equal(np.transpose(drawn), result.head_hlr)


def test_gains_are_relative_to_their_lowest_band():
    result = response()
    ax = transfer.plot(result, ax=new(), view="frequency", colorbar=False)
    drawn = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 5]
    gain = result.gain.sel(level="branch").values
    want = gain - gain[:, :1]
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, want))


def test_twins_are_grey_and_told():
    ax = transfer.plot(response(control=True), ax=new(), levels=["branch"])
    grey = [c.lines[0] for c in ax.containers if to_hex(c.lines[0].get_color()) == "#999999"]
    assert len(grey) == 3
    assert "untrained" in ax.get_legend_handles_labels()[1]


def test_an_infinite_ratio_is_told():
    result = response()
    result.head_hlr[0, 0] = -np.inf
    ax = transfer.plot(result, ax=new(), levels=["head"])
    assert "1 of 6 ratios not finite" in ax.get_title()


def test_parts_that_were_not_measured():
    some = response().drop_vars(["hlr", "hlr_se", "gain", "gain_se"])
    ax = transfer.plot(some, ax=new())
    assert ax.get_ylabel() == "high-low ratio [dB]"
    with pytest.raises(
        ValueError, match=r"no level 'branch' in this result. Choices: kernel, head"
    ):
        transfer.plot(some, ax=new(), levels=["branch"])
    with pytest.raises(ValueError, match=r"unknown view 'time'. Choices: depth, frequency"):
        transfer.plot(some, ax=new(), view="time")
    with pytest.raises(ValueError, match="no part to draw"):
        transfer.plot(some.drop_vars(["head_hlr", "kernel_hlr"]), ax=new())


def test_a_figure_of_several_models():
    fig = figure([response(), response()])
    assert len([ax for ax in fig.axes if ax.get_ylabel() or ax.get_title()]) >= 3
