"""What is drawn is what was measured; networks stand beside each other."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, plot, style


def result(model="resnet_s", family="conv", pairs=(("phase", "amplitude"), ("shape", "texture"))):
    def part(dims, values, name):
        return dims, values, {"long_name": name, "units": "1"}

    values = np.linspace(0.3, 0.9, len(pairs))
    data = {"clean_accuracy": part((), 0.75, "accuracy")}
    for name, of in (("share", values), ("either", 1 - values)):
        data[name] = part("conflict", of, name)
        data[f"{name}_se"] = part("conflict", 0.1 * of, "standard error")
    coords = {"conflict": part("conflict", ["/".join(p) for p in pairs], "conflict")}
    for i, name in enumerate(("first_cue", "second_cue")):
        coords[name] = part("conflict", [p[i] for p in pairs], name)
    attrs = {"analyzer": "cues", "settings": "{}", "facts": "{}", "data": "d"}
    return xr.Dataset(data, coords, attrs | {"model": model, "family": family})


@pytest.mark.parametrize(("view", "over"), [("share", "over"), ("either", "or")])
def test_values_and_their_intervals(view, over):
    one = result()
    ax = plot(one, ax=Figure().subplots(), view=view)
    (bars,) = ax.containers
    line, _, (segments,) = bars
    np.testing.assert_array_equal(line.get_ydata(), one[view])
    np.testing.assert_array_equal(line.get_xdata(), [0, 1])
    ends = np.array([segment[:, 1] for segment in segments.get_segments()])
    low, high = (one[view].values + side * 1.96 * one[f"{view}_se"] for side in (-1, 1))
    np.testing.assert_allclose(ends, np.stack([low, high], 1))
    names = [text.get_text() for text in ax.get_xticklabels()]
    assert names == [f"phase\n{over}\namplitude", f"shape\n{over}\ntexture"]
    assert ax.get_title() == "resnet_s"
    assert ax.get_legend().get_texts()[0].get_text() == "resnet_s (75.0% on images as they are)"
    assert bool([x for x in ax.lines if x.get_gid() == "half"]) == (view == "share")


def test_networks_stand_beside_each_other_in_their_colours():
    fig = figure([result(), result("vit_s", "msa"), result("alternet_s", "hybrid")])
    fig.draw_without_rendering()
    (ax,) = fig.axes
    colours = [to_hex(c.lines[0].get_color()).upper() for c in ax.containers]
    assert colours == [style.FAMILY_COLOURS[f] for f in ("conv", "msa", "hybrid")]
    places = np.array([c.lines[0].get_xdata() for c in ax.containers])
    np.testing.assert_allclose(places[:, 0], [-0.2, 0, 0.2])
    np.testing.assert_allclose(places[:, 1], [0.8, 1, 1.2])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"unknown view 'x'.*share, either"):
        plot(result(), ax=Figure().subplots(), view="x")
    with pytest.raises(ValueError, match="the same pairs of cues, not phase/amplitude and phase/a"):
        figure([result(), result(pairs=[("phase", "amplitude")])])
    with pytest.raises(ValueError, match="has no share_se"):
        plot(result().drop_vars("share_se"), ax=Figure().subplots())
