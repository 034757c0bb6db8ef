import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, hessian, style


def spectra(model="vit_s", family="msa", scale=40.0, negative=0.2, batches=24, ranks=5, seed=0):
    """Top eigenvalues of mini-batches: positive, some negative, sorted by size."""
    rng = np.random.default_rng(seed)
    sizes = scale * np.exp(0.4 * rng.standard_normal((batches, 1))) / np.arange(1, ranks + 1)
    sizes = -np.sort(-sizes * np.exp(0.1 * rng.standard_normal((batches, ranks))), axis=1)
    signs = np.where(rng.random((batches, ranks)) < negative, -1.0, 1.0)
    signs[:, 0] = 1
    whole = 0.6 * scale / np.arange(1, ranks + 1)
    variables = {
        "eigenvalue": (("batch", "rank"), sizes * signs, "eigenvalue of the Hessian", "nats"),
        "residual": (("batch", "rank"), 1e-4 * sizes, "residual", "nats"),
        "converged": (("batch", "rank"), np.ones((batches, ranks), bool), "converged", "1"),
        "products": ("batch", np.full(batches, 30), "Hessian-vector products", "1"),
        "examples": ("batch", np.full(batches, 16), "examples", "1"),
        "set_eigenvalue": ("rank", whole, "eigenvalue of the whole set", "nats"),
        "set_residual": ("rank", 1e-4 * whole, "residual", "nats"),
        "set_converged": ("rank", np.ones(ranks, bool), "converged", "1"),
        "set_products": ((), 40, "Hessian-vector products", "1"),
    }
    coords = {
        "batch": ("batch", np.arange(batches), "mini-batch", "1"),
        "rank": ("rank", np.arange(1, ranks + 1), "rank", "1"),
    }

    def labelled(parts):
        attrs = {k: {"long_name": p[2], "units": p[3]} for k, p in parts.items()}
        return {k: (p[0], p[1], attrs[k]) for k, p in parts.items()}

    attrs = {"analyzer": "hessian", "settings": '{"weight_decay": 0.05}', "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(labelled(variables), labelled(coords), attrs)


def new():
    return Figure().subplots()


def marks(ax, lane, part):
    """The eigenvalues that a lane shows."""
    (line,) = [line for line in ax.lines if line.get_gid() == f"lane {lane} {part}"]
    return line


def heights(patch):
    """Edges and heights of a filled step histogram."""
    x, y = patch.get_xy()[:, 0], patch.get_xy()[:, 1]
    bins = len(x) // 4
    return x[: 2 * bins + 1 : 2], y[1 : 2 * bins : 2]


def test_histogram_is_the_share_of_the_eigenvalues_in_bins_parted_at_zero():
    result = spectra()
    ax = hessian.plot(result, ax=new())
    edges, shares = heights(ax.patches[0])
    values = result["eigenvalue"].values.ravel()
    assert 0 in edges
    np.testing.assert_allclose(shares, np.histogram(values, edges)[0] / values.size)
    assert shares.sum() == pytest.approx(1)
    assert shares[edges[:-1] < 0].sum() == pytest.approx(np.mean(values < 0))


def test_every_eigenvalue_is_in_the_rug_and_negatives_are_in_sight():
    result = spectra()
    ax = hessian.plot(result, ax=new())
    values = result["eigenvalue"].values.ravel()
    np.testing.assert_array_equal(marks(ax, 0, "rug").get_xdata(), values)
    np.testing.assert_array_equal(marks(ax, 0, "set").get_xdata(), result["set_eigenvalue"])
    low, high = ax.get_xlim()
    assert low < values.min() < 0 < values.max() < high
    (zero,) = [line for line in ax.lines if line.get_gid() == "zero"]
    assert set(zero.get_xdata()) == {0}


def test_legend_tells_counts_and_negatives():
    result = spectra()
    ax = hessian.plot(result, ax=new())
    text = ax.get_legend().get_texts()[0].get_text()
    share = np.mean(result["eigenvalue"].values < 0)
    assert text == f"vit_s: 24 batches × 5, {share:.1%} negative"


def test_unconverged_are_hollow_and_counted():
    result = spectra()
    result["converged"][3, 1] = False
    result["converged"][4, 4] = False
    result["set_converged"][2] = False
    ax = hessian.plot(result, ax=new())
    hollow = marks(ax, 0, "rug unconverged")
    assert set(hollow.get_xdata()) == {float(result["eigenvalue"][i]) for i in ((3, 1), (4, 4))}
    assert hollow.get_markerfacecolor() == "white"
    assert len(marks(ax, 0, "rug").get_xdata()) == 24 * 5 - 2
    assert marks(ax, 0, "set unconverged").get_xdata() == [result["set_eigenvalue"][2]]
    assert marks(ax, 0, "set unconverged").get_markerfacecolor() == "white"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts[0].endswith(", 2 unconverged")
    assert "unconverged (hollow)" in texts
    converged = hessian.plot(spectra(), ax=new()).get_legend().get_texts()
    assert not any("unconverged" in text.get_text() for text in converged)


def test_missing_eigenvalues_are_counted_and_take_no_share():
    result = spectra()
    result["eigenvalue"][0, 3:] = np.nan
    ax = hessian.plot(result, ax=new())
    assert ax.get_legend().get_texts()[0].get_text().endswith(", 2 missing")
    assert heights(ax.patches[0])[1].sum() == pytest.approx(1)


def test_a_result_without_any_eigenvalue_says_so():
    result = spectra()
    result["eigenvalue"][:], result["set_eigenvalue"][:] = np.nan, np.nan
    ax = hessian.plot(result, ax=new())
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_texts()[0].get_text() == "vit_s: 24 batches × 5, 120 missing"


def test_the_whole_set_is_optional():
    result = spectra()
    ax = hessian.plot(result.drop_vars([v for v in result if v.startswith("set_")]), ax=new())
    assert len(marks(ax, 0, "rug").get_xdata()) == 24 * 5
    assert len(marks(ax, 0, "set").get_xdata()) == 0
    assert "whole set" not in [text.get_text() for text in ax.get_legend().get_texts()]


def test_labels_come_from_the_result():
    result = spectra()
    result["eigenvalue"].attrs = {"long_name": "curvature", "units": "bananas"}
    assert hessian.plot(result, ax=new()).get_xlabel() == "curvature [bananas]"


def test_axis_is_logarithmic_only_if_the_range_demands_it():
    assert hessian.plot(spectra(), ax=new()).get_xscale() == "linear"
    fig = figure([spectra(), spectra("resnet_s", "conv", scale=4000, negative=0)])
    assert fig.axes[0].get_xscale() == "symlog"
    linear = figure([spectra(), spectra("resnet_s", "conv", 4000)], linthresh=np.inf)
    assert linear.axes[0].get_xscale() == "linear"
    wide = spectra(scale=1e-9)
    wide["eigenvalue"][0, 0] = 1e3  # rounding errors beside a real one
    edges, shares = heights(hessian.plot(wide, ax=new()).patches[0])
    assert len(edges) < 60
    assert shares.sum() == pytest.approx(1)


def test_figure_lays_models_over_each_other_with_common_bins_and_a_lane_each():
    results = [spectra(), spectra("resnet_s", "conv", 60, 0), spectra("vit_m", "msa", 50, seed=1)]
    fig = figure(results)
    fig.draw_without_rendering()
    (ax,) = fig.axes
    edges = [heights(patch)[0] for patch in ax.patches]
    assert np.array_equal(edges[0], edges[1])
    assert np.array_equal(edges[0], edges[2])
    colours = [to_hex(patch.get_edgecolor()).upper() for patch in ax.patches]
    families = style.FAMILY_COLOURS
    assert colours == [families["msa"], families["conv"], families["msa"]]
    assert ax.patches[0].get_linestyle() != ax.patches[2].get_linestyle()
    assert marks(ax, 0, "set").get_marker() != marks(ax, 2, "set").get_marker()
    floor = ax.transAxes.inverted().transform(ax.transData.transform((0, 0)))[1]
    rows = [marks(ax, lane, "rug").get_ydata()[0] for lane in range(3)]
    assert floor > rows[0] > rows[1] > rows[2] > 0
    above = [text.get_text() for text in fig.legends[0].get_texts()]
    assert [text.split(":")[0] for text in above] == ["vit_s", "resnet_s", "vit_m"]


def test_keywords_reach_the_histogram_and_bins_are_edges():
    ax = hessian.plot(spectra(), ax=new(), bins=[-100, 0, 200], linewidth=3, color="#000000")
    assert ax.patches[0].get_linewidth() == 3
    assert to_hex(ax.patches[0].get_edgecolor()) == "#000000"
    np.testing.assert_array_equal(heights(ax.patches[0])[0], [-100, 0, 200])
    with pytest.raises(ValueError, match="edges"):
        hessian.plot(spectra(), bins=20)
