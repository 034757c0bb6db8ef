"""Points where the numbers are, what cannot be drawn is told, colours are of families."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from landscape.plots import figure, plot, style

RADII = np.array([0.1, 0.5, 1.0])


def result(model="resnet_s", family="conv", scale=1.0, layers=3, **settings):
    rises = scale * np.outer([1.0, 2.0, 3.0], RADII**2)
    field = ("geometry", "radius")
    measures = ["average, ball", "average, filter", "average, adaptive", "worst, ball", "worst, a"]
    moved = np.array([0.1, 1.0, 1.0, 0.25, 1.0]) if layers else np.full(5, np.nan)
    data = {
        "increase": (field, rises, "increase of the NLL", "nats"),
        "increase_se": (field, 0.1 * np.abs(rises), "standard error", "nats"),
        "worst": ("norm", np.array([0.3, 0.4]), "worst", "nats"),
        "worst_se": ("norm", np.array([0.02, np.nan]), "standard error", "nats"),
        "reach": ("norm", np.array([1e-3, 2e-3]), "radius", "1"),
        "moved": ("measure", moved, "factor of a measure when the network is rescaled", "1"),
        "moved_se": ("measure", 0.1 * moved, "standard error", "1"),
        "rescaled": ((), layers, "rescaled layers", "1"),
    }
    coords = {
        "radius": ("radius", RADII, "radius", "norms of the weights"),
        "geometry": ("geometry", ["ball", "filter", "adaptive"], "geometry", "1"),
        "norm": ("norm", ["ball", "adaptive"], "norm", "1"),
        "measure": ("measure", measures, "measure", "1"),
    }

    def labelled(parts):
        return {k: (d, v, {"long_name": n, "units": u}) for k, (d, v, n, u) in parts.items()}

    attrs = {"analyzer": "sharpness", "model": model, "family": family, "facts": "{}"}
    known = {"rise": 0.1, "rescale": 4.0} | settings
    return xr.Dataset(
        labelled(data), labelled(coords), attrs | {"settings": json.dumps(known), "data": "d"}
    )


def new():
    return Figure().subplots()


def bars(ax):
    """Places and ends of the bars of each group of points, by what it is of."""
    found = {}
    for container in ax.containers:
        line, _, bars = container
        ends = np.array(bars[0].get_segments())
        found[line.get_gid()] = (line.get_xdata(), line.get_ydata(), ends)
    return found


def test_means_and_their_errors_stand_where_they_belong():
    ax = plot(result(), ax=new())
    found = bars(ax)
    assert list(found) == ["ball", "filter", "adaptive", "worst ball", "worst adaptive"]
    for factor, kind in enumerate(("ball", "filter", "adaptive"), 1):
        x, y, ends = found[kind]
        np.testing.assert_allclose(x, RADII)
        np.testing.assert_allclose(y, factor * RADII**2)
        np.testing.assert_allclose(ends[:, :, 1], np.outer(y, [0.9, 1.1]))
    assert found["worst ball"][0] == [1e-3]
    assert found["worst ball"][1] == [0.3]
    assert np.ptp(found["worst adaptive"][2][:, :, 1]) == 0  # its error is not known
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "radius [norms of the weights]"
    assert ax.get_title() == "resnet_s"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["ball", "filter", "adaptive", "worst, ball", "worst, adaptive", "0.1 nats"]


def test_what_a_logarithmic_axis_cannot_show_is_told():
    bad = result()
    bad["increase"][0, 0] = -0.1
    bad["increase"][1, 2] = np.inf
    ax = plot(bad, ax=new())
    assert ax.get_title() == "resnet_s\n2 of 11 points not above 0 or not finite"
    assert np.isnan(ax.containers[0].lines[0].get_ydata()).tolist() == [True, False, False]
    ax.figure.draw_without_rendering()


def test_an_error_larger_than_the_mean_ends_above_zero():
    wide = result()
    wide["increase_se"] = 5 * wide["increase"]
    _, y, ends = bars(plot(wide, ax=new()))["ball"]
    np.testing.assert_allclose(ends[:, :, 1], np.outer(y, [0.1, 6]))


def test_factors_and_how_many_layers():
    ax = plot(result(), ax=new(), view="moved")
    x, y, ends = bars(ax)["moved"]
    np.testing.assert_allclose(x, [0.1, 1, 1, 0.25, 1])
    np.testing.assert_allclose(y, [4, 3, 2, 1, 0])
    np.testing.assert_allclose(ends[:, :, 0], np.outer(x, [0.9, 1.1]))
    assert [text.get_text() for text in ax.texts] == ["0.1", "1", "1", "0.25", "1"]
    assert next(text.get_text() for text in ax.get_yticklabels()) == "average, ball"
    assert ax.get_title().endswith("3 layers rescaled by 4")
    bare = plot(result(layers=0), ax=new(), view="moved")
    assert bare.get_title().endswith("nothing that can be rescaled")
    assert not bare.texts
    bare.figure.draw_without_rendering()


def test_families_have_their_colours_and_rows_their_scale():
    fig = figure([result(), result("vit_s", "msa", 10.0)])
    fig.draw_without_rendering()
    assert len(fig.axes) == 4
    colours = [ax.containers[0].lines[0].get_color() for ax in fig.axes]
    families = style.FAMILY_COLOURS
    assert colours == [families["conv"], families["msa"], families["conv"], families["msa"]]
    assert fig.axes[0].get_ylim() == fig.axes[1].get_ylim()
    assert fig.axes[2].get_xlim() == fig.axes[3].get_xlim() == pytest.approx((0.1 / 1.8, 5.0))
    (legend,) = fig.legends
    assert legend.get_title().get_text().startswith("NLL")
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= fig.bbox.width
    alone = figure(result())
    alone.draw_without_rendering()
    box = alone.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= alone.bbox.width


def test_bad_views_and_other_results_are_refused():
    with pytest.raises(ValueError, match=r"unknown view 'flat'.*increase, moved"):
        plot(result(), ax=new(), view="flat")
    with pytest.raises(ValueError, match="sharpness result has no worst_se"):
        plot(result().drop_vars("worst_se"), ax=new())
