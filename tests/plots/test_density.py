"""The curves are the numbers, negatives are seen, and one axis serves all networks."""

import json
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape.plots import figure, plot, style


def spectrum(model="vit_s", family="msa", threshold=0.1, reach=50.0, parts=False, se=0.05):
    """A peak at zero and a tail to either side, per decade of the axis with this threshold."""
    u = np.linspace(-3, 3, 301)
    x = 2 * threshold * np.sinh(u * np.log(10))
    value = np.exp(-(u**2) * 8) + 1e-2 * np.exp(-np.abs(x) / reach * 10)

    def row(scale, negative):
        return {
            "density": (("eigenvalue",), scale * value, "eigenvalue density", "1/decade"),
            "density_se": (("eigenvalue",), scale * se * value, "standard error", "1/decade"),
            "negative_mass": ((), negative, "negative mass", "1"),
            "negative_mass_se": ((), 0.01, "standard error", "1"),
        }

    variables = row(1.0, 0.25)
    for name, told in (("resolution", 0.2), ("threshold", threshold), ("size", 1e5)):
        variables[name] = ((), told, name, "1")
    coords = {"eigenvalue": ("eigenvalue", x, "Hessian eigenvalue", "1")}
    if parts:
        coords["part"] = ("part", ["ggn", "residual"], "part of the Hessian", "1")
        for name, (dims, _, *about) in row(1.0, 0.0).items():
            both = [row(0.5, 0.0)[name][1], row(0.25, 0.5)[name][1]]
            variables[f"part_{name}"] = (("part", *dims), np.stack(both), *about)

    def labelled(some):
        return {k: (d, v, {"long_name": n, "units": e}) for k, (d, v, n, e) in some.items()}

    settings = {"batchnorm": "eval", "matrix": "hessian", "weight_decay": 0.0}
    attrs = {"analyzer": "density", "settings": json.dumps(settings), "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(labelled(variables), labelled(coords), attrs)


def lines(ax):
    return {line.get_gid(): line for line in ax.lines if line.get_gid()}


def words(ax, gid):
    return next(t.get_text() for t in ax.findobj(Text) if t.get_gid() == gid)


def test_the_curve_is_the_density_and_the_band_two_standard_errors():
    found = spectrum()
    ax = plot(found, ax=Figure().subplots())
    line = lines(ax)["hessian"]
    np.testing.assert_allclose(line.get_ydata(), found.density)
    assert to_hex(line.get_color()) == style.FAMILY_COLOURS["msa"].lower()
    (band,) = [c for c in ax.collections if c.get_gid() == "hessian band"]
    corners = band.get_paths()[0].vertices
    at = np.isclose(corners[:, 0], 0) & (corners[:, 1] > 0.5)
    assert sorted({round(y, 3) for y in corners[at, 1]}) == [0.909, 1.111]
    assert words(ax, "negative mass") == "negative mass\n25.0 ± 1.0%"
    assert words(ax, "resolution") == "resolution\n0.20 decades"
    assert (ax.get_xscale(), ax.get_yscale()) == ("asinh", "log")


def test_another_threshold_keeps_the_mass():
    found = spectrum()
    line = lines(plot(found, ax=Figure().subplots(), threshold=1.0))["hessian"]
    place = np.arcsinh(found.eigenvalue.values / 2.0) / np.log(10)
    own = np.arcsinh(found.eigenvalue.values / 0.2) / np.log(10)
    mass = np.trapezoid(found.density.values, own)
    assert np.trapezoid(line.get_ydata(), place) == pytest.approx(mass, rel=1e-3)


def test_parts_differ_by_line_and_have_their_negative_masses():
    found = spectrum(parts=True)
    ax = plot(found, ax=Figure().subplots())
    drawn = lines(ax)
    for part, style_ in (("ggn", "--"), ("residual", ":")):
        np.testing.assert_allclose(drawn[part].get_ydata(), found.part_density.sel(part=part))
        assert drawn[part].get_linestyle() == style_
        assert any(c.get_gid() == f"{part} band" for c in ax.collections)
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert told == ["Hessian H", "Gauss-Newton G", "residual R"]
    assert words(ax, "negative mass").split("\n")[1:] == [
        "H 25.0 ± 1.0%",
        "G 0.0 ± 1.0%",
        "R 50.0 ± 1.0%",
    ]
    assert not lines(plot(spectrum(), ax=Figure().subplots())).keys() & {"ggn", "residual"}


def test_panels_share_axes_that_hold_all_and_show_negatives():
    every = [spectrum("a", "conv", 0.1), spectrum("b", "msa", 0.3, 400.0), spectrum("c", "hybrid")]
    fig = figure(every)
    fig.draw_without_rendering()
    assert len(fig.axes) == 3
    assert len({(*ax.get_xlim(), *ax.get_ylim()) for ax in fig.axes}) == 1
    first = fig.axes[0]
    alone = [figure(one).axes[0].get_xlim() for one in every]
    assert first.get_xlim()[0] <= min(low for low, _ in alone) < 0
    assert first.get_xlim()[1] >= max(high for _, high in alone)
    shown = [tick for tick in first.get_xticks() if first.get_xlim()[0] < tick < 0]
    assert shown
    assert [to_hex(lines(ax)["hessian"].get_color()) for ax in fig.axes] == [
        style.FAMILY_COLOURS[name].lower() for name in ("conv", "msa", "hybrid")
    ]
    assert "BatchNorm eval" in fig.get_supxlabel()


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_words_keep_clear_of_each_other_and_of_the_peak(parts, count):
    fig = figure([spectrum(f"net{i}", parts=parts) for i in range(count)])
    fig.draw_without_rendering()
    for ax in fig.axes:
        mass, width = (
            next(t for t in ax.findobj(Text) if t.get_gid() == gid).get_window_extent()
            for gid in ("negative mass", "resolution")
        )
        assert mass.x1 < width.x0
        line = lines(ax)["hessian"]
        points = ax.transData.transform(np.column_stack(line.get_data()))
        assert not mass.count_contains(points)
        assert not width.count_contains(points)
        ticks = [t.get_window_extent() for t in ax.get_xticklabels() if t.get_text()]
        inside = [t for t in ticks if ax.bbox.x0 <= (t.x0 + t.x1) / 2 <= ax.bbox.x1]
        inside.sort(key=lambda box: box.x0)
        assert all(a.x1 < b.x0 for a, b in pairwise(inside))


def test_two_by_hand_on_one_axes_are_joined():
    ax = Figure().subplots()
    plot(spectrum("a", reach=5.0), ax=ax, label="a")
    before = ax.get_xlim()
    plot(spectrum("b", "conv", reach=500.0), ax=ax, label="b")
    assert ax.get_xlim()[0] < before[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert len([t for t in ax.texts if t.get_gid() == "negative mass"]) == 1


def test_one_probe_has_no_error_and_says_none():
    found = spectrum()
    found["density_se"][:] = found["negative_mass_se"][...] = np.nan
    ax = plot(found, ax=Figure().subplots())
    assert words(ax, "negative mass") == "negative mass\n25.0%"


def test_bad_thresholds_and_results_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="threshold must be positive, got -1"):
        plot(spectrum(), ax=Figure().subplots(), threshold=-1)
    with pytest.raises(ValueError, match="density result has no resolution"):
        figure(spectrum().drop_vars("resolution"))
    with pytest.raises(ValueError, match="density result has no part_density"):
        figure(spectrum(parts=True).drop_vars("part_density"))
