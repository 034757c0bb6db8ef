"""Lines are what was measured, heads are points, maps are maps; no attention is said."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, plot, style

TAPS = 5


def result(model="vit_s", family="msa", attention=True, scale=1.0):
    def part(dims, values, name="x", units="1"):
        return dims, values, {"long_name": name, "units": units}

    radius = scale * np.stack([np.linspace(1, 3, TAPS), np.linspace(2, 9, TAPS)], 1)
    field = np.zeros((TAPS, 16, 16))
    for tap in range(TAPS):
        field[tap, 8 : 9 + tap, 8 : 9 + tap] = 1 / (1 + tap) ** 2
    data = {
        "radius": part(("tap", "share"), radius, "radius", "input pixels"),
        "radius_se": part(("tap", "share"), 0.1 * radius, "standard error", "input pixels"),
        "support_side": part("tap", np.array([4.0, 16, 16, 16, 16]), "side", "input pixels"),
        "support_cut": part("tap", np.array([0.0, 1, 1, 1, 1])),
        "field": part(("tap", "row", "column"), field),
    }
    coords = {
        "share": part("share", np.array([0.5, 0.9])),
        "depth": part("tap", np.linspace(0, 1, TAPS), "normalised depth"),
        "kind": part("tap", ["stem", "msa", "mlp", "msa", "mlp"]),
        "grid": part("tap", ["8x8"] * TAPS),
    }
    if attention:
        far = scale * np.array([[3.0, 5.0, 7.0], [2.0, 4.0, np.nan]])
        data["attention_pixels"] = part(("layer", "head"), far, "distance", "input pixels")
        data["uniform_pixels"] = part(("layer", "head"), np.full((2, 3), 6.0), "u", "input pixels")
        coords["layer_depth"] = part("layer", np.array([0.25, 0.75]))
    attrs = {"analyzer": "receptive", "settings": "{}", "facts": "{}", "data": "d"}
    return xr.Dataset(data, coords, attrs | {"model": model, "family": family})


def new():
    return Figure().subplots()


def line(ax, gid):
    (found,) = [one for one in ax.lines if one.get_gid() == gid]
    return found


def test_radii_with_their_errors_and_the_support():
    one = result()
    ax = plot(one, ax=new())
    inner, outer = ax.containers
    for bars, share in ((inner, 0.5), (outer, 0.9)):
        at = one.sel(share=share)
        np.testing.assert_array_equal(bars.lines[0].get_ydata(), at.radius)
        ends = np.array([s[:, 1] for s in bars.lines[2][0].get_segments()])
        np.testing.assert_allclose(ends, np.outer(at.radius, [0.9, 1.1]))
    assert line(ax, "support").get_ydata().tolist() == [2, 8, 8, 8, 8]
    assert line(ax, "cut").get_xdata().tolist() == [0.25, 0.5, 0.75, 1]
    assert -1 < ax.get_ylim()[0] <= 0
    assert ax.get_ylabel() == "radius [input pixels]"
    assert to_hex(outer.lines[0].get_color()).upper() == style.FAMILY_COLOURS["msa"]


def test_heads_are_points_and_their_mean_is_a_line():
    ax = plot(result(), ax=new(), view="distance")
    heads = line(ax, "heads")
    there = np.isfinite(heads.get_ydata())
    assert heads.get_ydata()[there].tolist() == [3, 5, 7, 2, 4]
    assert heads.get_xdata()[there].tolist() == [0.25] * 3 + [0.75] * 2
    assert line(ax, "mean").get_ydata().tolist() == [5, 3]
    assert line(ax, "uniform").get_ydata().tolist() == [6, 6]
    assert ax.get_ylabel() == "mean attention distance\n[input pixels]"


def test_fields_of_four_depths():
    one = result()
    ax = plot(one, ax=new(), view="field")
    assert [image.get_gid() for image in ax.images] == [f"field {t}" for t in (0, 1, 3, 4)]
    for image, tap in zip(ax.images, (0, 1, 3, 4), strict=True):
        field = one.field.values[tap]
        np.testing.assert_allclose(image.get_array(), np.sqrt(field / field.max()))
    circles = [patch for patch in ax.patches if hasattr(patch, "radius")]
    assert [c.radius for c in circles] == one.radius.sel(share=0.9).values[[0, 1, 3, 4]].tolist()
    assert circles[0].center == (9, 9)  # position 4 of 8 on 16 pixels
    ax.figure.draw_without_rendering()


def test_a_figure_of_three_networks_has_three_rows_on_one_scale():
    many = [result("resnet_s", "conv", attention=False), result(), result("x", "hybrid", scale=2.0)]
    fig = figure(many)
    fig.draw_without_rendering()
    assert len(fig.axes) == 9
    assert [ax.get_title() for ax in fig.axes[:3]] == ["resnet_s", "vit_s", "x"]
    assert fig.axes[0].get_ylim() == fig.axes[2].get_ylim()
    assert fig.axes[3].texts[0].get_text() == "no attention"
    assert fig.axes[3].get_ylim() == fig.axes[5].get_ylim()
    assert fig.axes[5].get_ylim()[1] > 14
    (legend,) = fig.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= fig.bbox.width


def test_without_any_attention_there_is_one_row():
    plain = result("resnet_s", "conv", attention=False)
    assert len(figure([plain, plain]).axes) == 2
    assert len(figure([plain], view="field").axes) == 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"unknown view 'x'.*radius, distance, field"):
        plot(result(), ax=new(), view="x")
    with pytest.raises(ValueError, match="receptive result has no support_cut"):
        plot(result().drop_vars("support_cut"), ax=new())
    with pytest.raises(ValueError, match="has no uniform_pixels"):
        plot(result().drop_vars("uniform_pixels"), ax=new(), view="distance")
