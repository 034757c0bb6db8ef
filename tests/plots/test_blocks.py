import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import blocks, figure, style


def spectra(
    model="vit_s", family="msa", names=("stem", "norm", "msa", "head"), by="kind", low=-2.0
):
    """Blocks whose second eigenvalue is ``low``; the last has no third."""
    count = len(names)
    values = np.outer(10.0 ** np.arange(count), [5.0, 0.0, 0.4])
    values[:, 1] = low
    values[-1, 2] = np.nan
    trace = values[:, 0] / 1000 + 0.01
    variables = {
        "eigenvalue": (("block", "rank"), values, "Hessian eigenvalue"),
        "converged": (("block", "rank"), np.isfinite(values), "converged"),
        "trace_per_parameter": ("block", trace, "trace per parameter"),
        "trace_per_parameter_se": ("block", 0.1 * trace, "standard error"),
        "network_eigenvalue": ("rank", [6000.0, -3.0, 1.0], "whole network"),
        "network_trace_per_parameter": ((), 0.5, "whole network"),
    }
    coords = {
        "block": ("block", np.array(names), f"block, by {by}"),
        "depth": ("block", np.linspace(0, 1, count), "depth"),
        "rank": ("rank", [1, 2, 3], "rank"),
    }

    def labelled(parts):
        return {k: (d, v, {"long_name": n, "units": "1"}) for k, (d, v, n) in parts.items()}

    attrs = {"analyzer": "blocks", "settings": "{}", "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(labelled(variables), labelled(coords), attrs)


def new():
    return Figure().subplots()


def drawn(ax, gid):
    (line,) = [line for line in ax.lines if line.get_gid() == gid]
    return line


def levels(ax):
    return [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "network"]


def test_every_eigenvalue_of_every_block_is_drawn():
    result = spectra()
    ax = blocks.plot(result, ax=new())
    values = result["eigenvalue"].values
    np.testing.assert_array_equal(drawn(ax, "top").get_xdata(), [0, 1, 2, 3])
    np.testing.assert_array_equal(drawn(ax, "top").get_ydata(), values[:, 0])
    rest = values[:, 1:]
    np.testing.assert_array_equal(drawn(ax, "rest").get_ydata(), rest[np.isfinite(rest)])
    assert levels(ax) == [6000, -3]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["stem", "norm", "msa", "head"]


def test_negatives_are_in_sight_and_apart_from_zero():
    ax = blocks.plot(spectra(), ax=new())
    assert ax.get_yscale() == "symlog"
    bottom, top = ax.get_ylim()
    assert bottom < -2 < 0 < 6000 < top
    assert set(drawn(ax, "zero").get_ydata()) == {0}
    where = ax.transAxes.inverted().transform(ax.transData.transform([(0, -2), (0, 0)]))[:, 1]
    assert where[1] - where[0] > 0.05
    for low in (1.0, -1e-8):  # rounding is no negative
        assert blocks.plot(spectra(low=low), ax=new()).get_yscale() == "log"
    plain = blocks.plot(spectra(low=1.0), ax=new())
    assert not [line for line in plain.lines if line.get_gid() == "zero"]


def test_unconverged_are_hollow():
    result = spectra()
    result["converged"][1, 0] = False
    ax = blocks.plot(result, ax=new())
    assert drawn(ax, "unconverged").get_markerfacecolor() == "white"
    np.testing.assert_array_equal(drawn(ax, "unconverged").get_ydata(), [50])
    assert "unconverged (hollow)" in [t.get_text() for t in ax.get_legend().get_texts()]
    assert "unconverged (hollow)" not in [
        t.get_text() for t in blocks.plot(spectra(), ax=new()).get_legend().get_texts()
    ]


def test_the_trace_has_its_errors():
    result = spectra()
    ax = blocks.plot(result, ax=new(), view="trace")
    (bars,) = [c for c in ax.containers if len(c) == 3]
    np.testing.assert_array_equal(bars[0].get_ydata(), result["trace_per_parameter"])
    ends = bars[2][0].get_segments()[1][:, 1]
    np.testing.assert_allclose(ends, result["trace_per_parameter"].values[1] * np.array([0.9, 1.1]))
    assert levels(ax) == [0.5]


def test_kinds_stand_at_the_same_places_for_every_model():
    other = spectra("resnet_s", "conv", ("stem", "conv", "norm", "head"))
    fig = figure([spectra(), other])
    fig.draw_without_rendering()
    assert len(fig.axes) == 4
    labels = [[t.get_text() for t in ax.get_xticklabels()] for ax in fig.axes]
    assert labels == [["stem", "conv", "msa", "norm", "head"]] * 4
    top = drawn(fig.axes[1], "top")
    np.testing.assert_array_equal(top.get_xdata(), [0, 1, 3, 4])
    assert to_hex(top.get_color()).upper() == style.FAMILY_COLOURS["conv"]
    assert fig.axes[0].get_ylim() == fig.axes[1].get_ylim()
    assert fig.axes[0].get_yscale() == fig.axes[1].get_yscale() == "symlog"
    assert fig.axes[2].get_yscale() == "log"


def test_modules_of_different_networks_stand_at_their_depth():
    one = spectra(names=("patch", "blocks.0", "blocks.1", "norm"), by="module")
    other = spectra("resnet_s", "conv", ("stem", "stages.0", "stages.1", "head"), by="module")
    fig = figure([one, other])
    fig.draw_without_rendering()
    np.testing.assert_allclose(drawn(fig.axes[0], "top").get_xdata(), np.linspace(0, 1, 4))
    assert fig.axes[2].get_xlabel() == "depth"
    alone = figure(one)
    alone.draw_without_rendering()
    texts = [t.get_text() for t in alone.axes[0].get_xticklabels()]
    assert texts == ["patch", "blocks.0", "blocks.1", "norm"]


def test_choices_and_results_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"unknown view 'sum'\. Choices: eigenvalue, trace"):
        blocks.plot(spectra(), ax=new(), view="sum")
    with pytest.raises(ValueError, match="has no trace_per_parameter"):
        blocks.plot(spectra().drop_vars("trace_per_parameter"), ax=new())
