import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, style, variance

KINDS = ["stem", "conv", "msa", "conv", "msa", "pool", "mlp"]
GRIDS = ["32x32"] * 3 + ["16x16"] * 2 + ["8x8"] * 2


def variances(model="alternet_s", family="hybrid", growth=1.2):
    """Variances that convolutions raise and self-attention lowers."""
    taps = len(KINDS)
    steps = [0.8 if kind == "msa" else growth for kind in KINDS]
    values = 0.1 * np.cumprod(steps)

    def part(values, name):
        return ("tap", values, {"long_name": name, "units": "1"})

    variables = {
        "variance": part(values, "spatial variance"),
        "variance_se": part(0.05 * values, "standard error"),
        "normalised_variance": part(values / (1 + values), "share of the second moment"),
        "normalised_variance_se": part(0.02 * values, "standard error"),
    }
    coords = {
        "tap": part([f"blocks.{i}:out" for i in range(taps)], "tap"),
        "depth": part(np.linspace(0, 1, taps), "depth"),
        "kind": part(KINDS, "kind of operation"),
        "grid": part(GRIDS, "grid"),
    }
    attrs = {"analyzer": "variance", "settings": "{}", "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(variables, coords, attrs)


def new():
    return Figure().subplots()


@pytest.mark.parametrize("quantity", variance.QUANTITIES)
def test_line_and_bars_are_the_result(quantity):
    result = variances()
    ax = variance.plot(result, ax=new(), quantity=quantity)
    line, _, (bars,) = ax.containers[0]
    np.testing.assert_array_equal(line.get_xdata(), result["depth"])
    np.testing.assert_array_equal(line.get_ydata(), result[quantity])
    size = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    np.testing.assert_allclose(size, result[f"{quantity}_se"])
    assert ax.get_ylabel() == result[quantity].attrs["long_name"]
    assert ax.get_xlabel() == "depth"
    assert ax.get_title() == "alternet_s"


@pytest.mark.parametrize("family", [*style.FAMILY_COLOURS, "", "spiking"])
def test_colour_is_that_of_the_family(family):
    ax = variance.plot(variances(family=family), ax=new())
    expected = style.FAMILY_COLOURS.get(family, style.NEUTRAL)
    assert to_hex(ax.containers[0][0].get_color()) == expected.lower()


def test_markers_and_spans_are_those_of_the_kinds():
    result = variances()
    ax = variance.plot(result, ax=new())
    dots = {c.get_label(): c for c in ax.collections if not c.get_label().startswith("_")}
    assert set(dots) == {"stem", "conv", "MSA", "MLP", "pool"}
    where = result["kind"].values == "msa"
    expected = np.stack([result["depth"][where], result["variance"][where]], axis=1)
    np.testing.assert_allclose(dots["MSA"].get_offsets(), expected)
    spans = [to_hex(patch.get_facecolor()).upper() for patch in ax.patches]
    assert spans == [style.KIND_COLOURS[kind] for kind in KINDS[1:]]
    np.testing.assert_allclose([p.get_x() for p in ax.patches], result["depth"][:-1])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(texts) == sorted(dots)


def test_changes_of_the_grid_are_marked_between_the_taps():
    ax = variance.plot(variances(), ax=new())
    places = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "grid change"]
    assert places == pytest.approx([2.5 / 6, 4.5 / 6])
    texts = [text.get_text() for text in ax.child_axes[0].get_xticklabels()]
    assert texts == ["32×32", "16×16", "8×8"]


def test_taps_are_joined_in_order_of_depth():
    result = variances().isel(tap=[3, 0, 6, 1, 5, 2, 4])
    ax = variance.plot(result, ax=new())
    np.testing.assert_array_equal(ax.containers[0][0].get_ydata(), variances()["variance"])


def test_axis_is_logarithmic_beyond_two_decades():
    assert variance.plot(variances(), ax=new()).get_yscale() == "linear"
    wide = variances(growth=6)
    assert variance.plot(wide, ax=new()).get_yscale() == "log"
    assert variance.plot(wide, ax=new(), log=False).get_yscale() == "linear"
    assert variance.plot(variances(), ax=new(), log=True).get_yscale() == "log"
    wide["variance"][0] = 0.0  # has no place on a logarithmic axis
    assert variance.plot(wide, ax=new()).get_yscale() == "linear"


def test_taps_that_are_not_finite_are_marked_and_counted():
    result = variances()
    result["variance"][2], result["variance"][5] = np.nan, np.inf
    ax = variance.plot(result, ax=new())
    ax.figure.draw_without_rendering()
    (crosses,) = [line for line in ax.lines if line.get_gid() == "lost taps"]
    np.testing.assert_array_equal(crosses.get_xdata(), result["depth"][[2, 5]])
    assert ax.get_title().endswith("\n2 of 7 taps not finite (×)")


def test_figure_has_a_panel_for_each_model_with_one_kind_of_axis():
    fig = figure([variances(), variances("resnet_s", "conv", growth=6)])
    fig.draw_without_rendering()
    assert [ax.get_title() for ax in fig.axes] == ["alternet_s", "resnet_s"]
    assert [ax.get_yscale() for ax in fig.axes] == ["log", "log"]
    assert fig.axes[0].get_ylim() != fig.axes[1].get_ylim()
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()
    share = figure([variances()], quantity="normalised_variance")
    assert share.axes[0].get_ylabel() == "share of the second moment"


def test_a_single_tap_and_an_unknown_kind_are_drawn():
    one = variances().isel(tap=[0])
    one["kind"] = one["kind"].copy(data=["recurrent"])
    ax = variance.plot(one, ax=new())
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_texts()[0].get_text() == "recurrent"


def test_bad_input_is_refused():
    for draw in (variance.plot, figure):
        with pytest.raises(ValueError, match=r"unknown quantity 'mean'\. Choices: variance, norm"):
            draw(variances(), quantity="mean")


def test_keywords_reach_the_error_bars_and_two_results_can_share_axes():
    ax = variance.plot(variances(), ax=new())
    variance.plot(variances("b"), ax=ax, spans=False, linestyle="--", linewidth=3)
    line = ax.containers[1][0]
    assert (line.get_linestyle(), line.get_linewidth()) == ("--", 3)
    assert len(ax.child_axes) == 1
