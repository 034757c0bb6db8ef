"""What is drawn is what was measured, of what was changed; networks stand beside each other."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, plot, style


def result(model="vit_s", family="msa", conditions=("whole", "frozen", "places frozen", "5x5")):
    def part(dims, values, name, units="1"):
        return dims, values, {"long_name": name, "units": units}

    values = np.linspace(0, 0.6, len(conditions))
    data = {}
    for name, of, units in (
        ("accuracy", 0.8 - values, "1"),
        ("accuracy_drop", values, "1"),
        ("nll", 0.5 + values, "nats"),
        ("nll_increase", 2 * values, "nats"),
        ("moved", values / 2, "1"),
    ):
        data[name] = part("condition", of, name.replace("_", " "), units)
        data[f"{name}_se"] = part("condition", 0.01 + 0.1 * of, "standard error", units)
    coords = {"condition": part("condition", list(conditions), "attention")}
    attrs = {"analyzer": "ablation", "settings": "{}", "facts": "{}", "data": "d"}
    return xr.Dataset(data, coords, attrs | {"model": model, "family": family})


@pytest.mark.parametrize("view", ["accuracy_drop", "nll_increase", "moved"])
def test_values_and_their_intervals(view):
    one = result()
    ax = plot(one, ax=Figure().subplots(), view=view)
    (bars,) = ax.containers
    line, _, (segments,) = bars
    np.testing.assert_array_equal(line.get_ydata(), one[view][1:])
    ends = np.array([segment[:, 1] for segment in segments.get_segments()])
    low, high = (one[view].values + side * 1.96 * one[f"{view}_se"].values for side in (-1, 1))
    np.testing.assert_allclose(ends, np.stack([low, high], 1)[1:])
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == ["frozen", "places\nfrozen", "5×5\nplaces"]
    assert ax.get_title() == "vit_s"
    assert ax.get_legend().get_texts()[0].get_text() == "vit_s (80.0%, 0.50 nats)"
    units = " [nats]" if view == "nll_increase" else ""
    assert ax.get_ylabel() == f"{view.replace('_', ' ')}{units}\n(95 % intervals)"


def test_networks_stand_beside_each_other_in_their_colours():
    fig = figure([result(), result("alternet_s", "hybrid")])
    fig.draw_without_rendering()
    (ax,) = fig.axes
    colours = [to_hex(c.lines[0].get_color()).upper() for c in ax.containers]
    assert colours == [style.FAMILY_COLOURS[f] for f in ("msa", "hybrid")]
    places = np.array([c.lines[0].get_xdata() for c in ax.containers])
    np.testing.assert_allclose(places[:, 0], [-0.15, 0.15])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"unknown view 'x'.*accuracy_drop, nll_increase"):
        plot(result(), ax=Figure().subplots(), view="x")
    with pytest.raises(ValueError, match="the same changes of attention, not whole, frozen and wh"):
        figure([result(), result(conditions=["whole", "frozen"])])
    with pytest.raises(ValueError, match="has no moved_se"):
        plot(result().drop_vars("moved_se"), ax=Figure().subplots(), view="moved")
