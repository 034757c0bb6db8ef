"""What is drawn is what was measured; networks share axes, noise and colours."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, plot, style

FREQUENCY = np.array([0.1, 0.5, 0.9, 1.1])
STRENGTH = np.array([0.05, 0.1, 0.2])


def result(model="resnet_s", family="conv", scale=1.0, heat=True, norm="energy"):
    drop = scale * np.outer(STRENGTH, 1.2 - FREQUENCY)
    field = ("strength", "band")

    def part(dims, values, name, units="1"):
        return dims, values, {"long_name": name, "units": units}

    data = {}
    for name, values in (("accuracy_drop", drop), ("accuracy", 0.9 - drop)):
        data[name] = part(field, values, name.replace("_", " "))
        data[f"{name}_se"] = part(field, 0.01 + 0.1 * drop, "standard error")
    data["clean_accuracy"] = part((), 0.9, "accuracy on clean images")
    coords = {
        "strength": part("strength", STRENGTH, "RMS of the noise", "pixel range"),
        "frequency": part("band", FREQUENCY, "frequency", "π rad/sample"),
    }
    if heat:
        at = np.array([-1, -0.5, 0, 0.5, 1.0])
        error = scale * np.exp(-np.hypot(at[:, None], 2 * at))
        data["heat_error"] = part(("vertical", "horizontal"), error, "error")
        for axis in ("vertical", "horizontal"):
            coords[axis] = part(axis, at, f"{axis} frequency", "π rad/sample")
    settings = json.dumps({"norm": norm, "heat_strength": 0.1})
    attrs = {"analyzer": "robustness", "settings": settings, "facts": "{}"}
    return xr.Dataset(data, coords, attrs | {"model": model, "family": family, "data": "d"})


def new():
    return Figure().subplots()


def test_drops_and_their_intervals_at_the_middle_strength():
    one = result()
    ax = plot(one, ax=new())
    (bars,) = ax.containers
    line, _, (segments,) = bars
    np.testing.assert_array_equal(line.get_xdata(), FREQUENCY)
    at = one.sel(strength=0.1)
    np.testing.assert_array_equal(line.get_ydata(), at.accuracy_drop)
    ends = np.array([segment[:, 1] for segment in segments.get_segments()])
    low, high = (at.accuracy_drop.values + side * 1.96 * at.accuracy_drop_se for side in (-1, 1))
    np.testing.assert_allclose(ends, np.stack([low, high], 1))
    told = ax.get_xlabel()
    assert told == "frequency of the noise [π rad/sample]\nRMS of the noise: 0.1 of the pixel range"
    assert ax.get_title() == "resnet_s"
    assert ax.get_legend().get_texts()[0].get_text() == "resnet_s (90.0% on clean images)"
    (top,) = ax.child_axes
    assert top.get_xlabel() == "cycles/pixel"
    ax.figure.draw_without_rendering()
    assert top.get_xlim() == pytest.approx(np.array(ax.get_xlim()) / 2)


def test_another_strength_and_quantity():
    ax = plot(result(), ax=new(), strength=0.2, quantity="accuracy")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 0.9 - 0.2 * (1.2 - FREQUENCY))
    assert ax.get_ylabel() == "accuracy\n(95 % intervals)"


def test_networks_are_on_one_axes_in_their_colours():
    fig = figure([result(), result("vit_s", "msa", 2.0), result("alternet_s", "hybrid", 3.0)])
    fig.draw_without_rendering()
    (ax,) = fig.axes
    colours = [to_hex(c.lines[0].get_color()).upper() for c in ax.containers]
    assert colours == [style.FAMILY_COLOURS[f] for f in ("conv", "msa", "hybrid")]
    (legend,) = fig.legends
    assert [t.get_text().split()[0] for t in legend.get_texts()] == [
        "resnet_s",
        "vit_s",
        "alternet_s",
    ]
    assert ax.get_title() == ""
    assert len(ax.child_axes) == 1


def test_bands_that_are_not_finite_are_told():
    bad = result()
    bad["accuracy_drop"][1, 2] = np.nan
    assert plot(bad, ax=new()).get_title() == "resnet_s\n1 of 4 bands not finite (×)"
    fig = figure([bad, result("vit_s", "msa")])
    assert "1 bands not finite" in fig.legends[0].get_texts()[0].get_text()


def test_the_heat_map_has_its_own_figure_on_one_scale():
    fig = figure([result(), result("vit_s", "msa", 2.0)], view="heat")
    fig.draw_without_rendering()
    assert len(fig.axes) == 3
    for ax, scale in zip(fig.axes[:2], (1.0, 2.0), strict=True):
        (mesh,) = ax.collections
        values = mesh.get_array().reshape(5, 5)
        assert values[2, 2] == scale
        assert values[4, 2] == pytest.approx(scale * np.exp(-1))  # vertical runs up
        assert mesh.get_clim() == (0, 2)
        assert ax.get_xlim() == (-1.25, 1.25)
        assert ax.get_aspect() == 1
    assert fig.axes[0].get_xlabel() == "horizontal frequency\n[π rad/sample]"
    assert fig.axes[2].get_ylabel() == "error under one wave at RMS 0.1"
    assert fig.axes[0].get_title() == "resnet_s\nclean error 10.0%"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"unknown view 'x'.*noise, heat"):
        plot(result(), ax=new(), view="x")
    with pytest.raises(ValueError, match="unknown quantity 'x'"):
        plot(result(), ax=new(), quantity="x")
    with pytest.raises(ValueError, match=r"no noise of strength 1 .*0\.05, 0\.1, 0\.2"):
        plot(result(), ax=new(), strength=1.0)
    with pytest.raises(ValueError, match="no heat map; compute it with heat=15"):
        figure([result(), result(heat=False)], view="heat")
    with pytest.raises(ValueError, match="one norm of the noise, not energy, snr"):
        figure([result(), result(norm="snr")])
    with pytest.raises(ValueError, match="has no clean_accuracy"):
        plot(result().drop_vars("clean_accuracy"), ax=new())
