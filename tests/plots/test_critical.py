import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import critical, figure, style


def point(model="vit_s", family="msa", curvature=-2.0, slope=0.0, verdict="saddle"):
    """What the analyzer finds at a quadratic with a slope along -g."""
    step = 10.0 ** (np.arange(21) / 4 - 5)
    change = np.stack([5 * step**2 - slope * step, curvature * step**2, curvature * step**2])
    variables = {
        "change": (("side", "step"), change, "change of the loss"),
        "decrease": ("side", np.maximum(-change, 0).max(1), "largest decrease"),
        "eigenvalue": ("end", np.array([10.0, 2 * curvature]), "Hessian eigenvalue"),
        "residual": ("end", np.array([0.1, 0.02]), "residual"),
        "rounding": ((), 1e-7, "rounding noise"),
        "risk": ((), 0.5, "risk"),
    }
    coords = {
        "side": ("side", ["-g", "+v", "-v"], "direction"),
        "step": ("step", step, "step over the norm of weights"),
        "end": ("end", ["largest", "smallest"], "end of the spectrum"),
    }

    def labelled(parts):
        return {k: (d, v, {"long_name": n, "units": "1"}) for k, (d, v, n) in parts.items()}

    attrs = {"analyzer": "critical", "settings": "{}", "facts": "{}", "verdict": verdict}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(labelled(variables), labelled(coords), attrs)


def new():
    return Figure().subplots()


def line(ax, gid):
    (found,) = [line for line in ax.lines if line.get_gid() == gid]
    return found


def test_lines_are_the_changes_and_dots_the_largest_decreases():
    result = point(slope=0.1)
    ax = critical.plot(result, ax=new())
    for i, side in enumerate(result["side"].values):
        np.testing.assert_array_equal(line(ax, side).get_ydata(), result["change"][i])
        np.testing.assert_array_equal(line(ax, side).get_xdata(), result["step"])
        dot = line(ax, f"lowest {side}")
        assert dot.get_ydata() == [-float(result["decrease"][i])]
        best = result["step"].values[result["change"].values[i].argmin()]
        assert dot.get_xdata() == [best]
    low, high = ax.get_ylim()
    assert low < float(result["change"].min())
    assert high > 0


def test_verdict_and_interval_are_in_the_title_and_rounding_is_shaded():
    ax = critical.plot(point(), ax=new())
    name, verdict, value = ax.get_title().split("\n")
    assert (name, verdict) == ("vit_s", "saddle")
    assert value.endswith("= −4 ± 0.02")
    (band,) = [patch for patch in ax.patches if patch.get_gid() == "rounding"]
    assert band.get_bbox().ymin == -1e-7
    assert band.get_bbox().ymax == 1e-7
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["rounding", "−g", "+v", "−v"]
    assert ax.get_yscale() == "symlog"
    assert ax.get_xscale() == "log"


def test_a_gradient_of_zero_has_no_line():
    result = point()
    result["change"][0] = 0.0
    ax = critical.plot(result, ax=new())
    assert {"+v", "-v"} <= {line.get_gid() for line in ax.lines}
    assert "-g" not in {line.get_gid() for line in ax.lines}


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e30])
def test_flat_and_exploding_lines_are_drawn(value):
    result = point(curvature=3.0, verdict="undecided")
    result["change"][:, 15:] = value
    for rounding in (0.0, 1e-7):
        result["rounding"][()] = rounding
        ax = critical.plot(result, ax=new())
        ax.figure.draw_without_rendering()
        assert np.isfinite(ax.get_ylim()).all()
    result["change"][:], result["rounding"][()] = value, 0.0
    critical.plot(result, ax=new()).figure.draw_without_rendering()


def test_figure_has_a_panel_each_and_the_colours_of_families():
    fig = figure([point(), point("resnet_s", "conv", 3.0, 0.5, "not a critical point")])
    fig.draw_without_rendering()
    colours = [to_hex(line(ax, "+v").get_color()).upper() for ax in fig.axes]
    assert colours == [style.FAMILY_COLOURS["msa"], style.FAMILY_COLOURS["conv"]]
    titles = [ax.get_title().split("\n")[:2] for ax in fig.axes]
    assert titles == [["vit_s", "saddle"], ["resnet_s", "not a critical point"]]
    (legend,) = fig.legends
    assert {text.get_text() for text in legend.get_texts()} == {"rounding", "−g", "+v", "−v"}
    assert "NLL" in legend.get_title().get_text()


def test_ticks_are_few_and_the_legend_of_one_column_fits():
    fig = figure(point())
    fig.draw_without_rendering()
    (ax,) = fig.axes
    low, high = ax.get_ylim()
    assert 3 <= sum(low <= tick <= high for tick in ax.get_yticks()) <= 9
    box = fig.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= fig.bbox.width


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="linthresh must be positive, got 0"):
        critical.plot(point(), ax=new(), linthresh=0)
    with pytest.raises(ValueError, match="has no risk"):
        critical.plot(point().drop_vars("risk"), ax=new())
