import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, fourier, style

TAPS = {
    "conv": [("stem", 16), ("conv", 16), ("conv", 8), ("conv", 8), ("pool", 4), ("conv", 4)],
    "msa": [("stem", 8), ("msa", 8), ("mlp", 8), ("msa", 8), ("mlp", 8)],
}


def amplitudes(model="resnet_s", family="conv", *, reach=1.0):
    """Spectra that fall with frequency, on grids that shrink; padded with nan as measured."""
    kinds, sides = zip(*TAPS[family], strict=True)
    taps, bins = len(kinds), max(sides) // 2
    frequency = np.full((taps, bins), np.nan)
    for i, side in enumerate(sides):
        frequency[i, : side // 2] = reach * 2 * np.arange(side // 2) / side
    relative = -frequency * np.linspace(6, 2, taps)[:, None]
    error = 0.02 + 0.01 * frequency

    def part(values, name, units="1", dims=("tap", "bin")):
        return (dims, values, {"long_name": name, "units": units})

    variables = {
        "log_amplitude": part(3 + relative, "log amplitude", "nats"),
        "log_amplitude_se": part(error, "standard error", "nats"),
        "relative_log_amplitude": part(relative, "relative log amplitude", "nats"),
        "relative_log_amplitude_se": part(error, "standard error", "nats"),
    }
    coords = {
        "tap": part([f"stages.{i}:out" for i in range(taps)], "tap", dims="tap"),
        "depth": part(np.linspace(0, 1, taps), "depth", dims="tap"),
        "kind": part(list(kinds), "kind of operation", dims="tap"),
        "module": part([f"stages.{i}" for i in range(taps)], "module", dims="tap"),
        "side": part(["out"] * taps, "side", dims="tap"),
        "grid": part([f"{s}x{s}" for s in sides], "grid", dims="tap"),
        "frequency": part(frequency, "frequency", "π rad/sample"),
    }
    attrs = {"analyzer": "fourier", "settings": '{"axis": "diagonal"}', "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(variables, coords, attrs)


def new():
    return Figure().subplots()


def test_a_spectrum_for_each_tap_without_its_padding():
    result = amplitudes()
    ax = fourier.plot(result, ax=new())
    assert len(ax.lines) == result.sizes["tap"]
    for line, side, i in zip(ax.lines, [16, 16, 8, 8, 4, 4], range(6), strict=True):
        assert len(line.get_xdata()) == side // 2
        one = result.isel(tap=i, bin=slice(side // 2))
        np.testing.assert_array_equal(line.get_xdata(), one["frequency"])
        np.testing.assert_array_equal(line.get_ydata(), one["relative_log_amplitude"])
    assert ax.get_xlabel() == "frequency [π rad/sample]"
    assert ax.get_ylabel() == "relative log amplitude [nats]"


def test_colour_is_depth_and_the_bar_says_so():
    ax = fourier.plot(amplitudes(), ax=new())
    light = [np.dot(line.get_color()[:3], [0.3, 0.6, 0.1]) for line in ax.lines]
    assert (np.diff(light) > 0).all()
    bar = ax.figure.axes[1]
    assert bar.get_ylabel() == "depth"
    assert bar.get_ylim() == (0, 1)
    again = fourier.plot(amplitudes("other", "msa"), ax=new())
    assert again.lines[0].get_color() == ax.lines[0].get_color()


def test_no_bar_if_none_is_wanted():
    assert len(fourier.plot(amplitudes(), ax=new(), colorbar=False).figure.axes) == 1


@pytest.mark.parametrize("family", ["conv", "msa"])
def test_depth_view_has_the_highest_frequency_with_its_error(family):
    result = amplitudes(family=family)
    ax = fourier.plot(result, ax=new(), view="depth")
    last = [side // 2 - 1 for _, side in TAPS[family]]
    at = {"tap": xr.DataArray(range(len(last)), dims="t"), "bin": xr.DataArray(last, dims="t")}
    values = result["relative_log_amplitude"].isel(at).values
    errors = result["relative_log_amplitude_se"].isel(at).values
    (bars,) = ax.containers
    line, _, (segments,) = bars
    np.testing.assert_array_equal(line.get_xdata(), result["depth"])
    np.testing.assert_array_equal(line.get_ydata(), values)
    ends = np.array([segment[:, 1] for segment in segments.get_segments()])
    np.testing.assert_allclose(ends, np.stack([values - errors, values + errors], axis=1))
    assert to_hex(line.get_color()).upper() == style.FAMILY_COLOURS[family]
    assert ax.get_xlabel() == "depth"
    label = ax.get_ylabel().replace("\n", " ")
    assert label == "relative log amplitude at the highest frequency [nats]"


def test_depth_view_marks_every_change_of_the_grid():
    ax = fourier.plot(amplitudes(), ax=new(), view="depth")
    places = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "grid change"]
    assert places == pytest.approx([0.3, 0.7])
    (top,) = ax.child_axes
    texts = [text.get_text() for text in top.get_xticklabels()]
    assert texts == ["16×16\n0.875π", "8×8\n0.75π", "4×4\n0.5π"]
    still = fourier.plot(amplitudes("vit_s", "msa"), ax=new(), view="depth")
    assert not [line for line in still.lines if line.get_gid() == "grid change"]


def test_depth_view_colours_markers_and_spans_by_kind():
    ax = fourier.plot(amplitudes("vit_s", "msa"), ax=new(), view="depth")
    marks = {
        c.get_label(): to_hex(c.get_facecolor()[0]).upper()
        for c in ax.collections
        if c.get_label()[0] != "_"
    }
    kinds = style.KIND_COLOURS
    assert marks == {"stem": kinds["stem"], "MSA": kinds["msa"], "MLP": kinds["mlp"]}
    spans = [to_hex(patch.get_facecolor()).upper() for patch in ax.patches]
    assert spans == [kinds["msa"], kinds["mlp"]] * 2
    assert [patch.get_x() for patch in ax.patches] == pytest.approx([0, 0.25, 0.5, 0.75])
    plain = fourier.plot(amplitudes("vit_s", "msa"), ax=new(), view="depth", spans=False)
    assert not plain.patches
    assert not plain.child_axes


def test_frequencies_beyond_the_axes_of_the_grid_are_not_cut_off():
    ax = fourier.plot(amplitudes(reach=1.5), ax=new())
    assert ax.get_xlim()[1] > 1.5 * 0.875
    fig = figure([amplitudes(reach=1.5), amplitudes("vit_s", "msa")])
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()
    assert fig.axes[0].get_xlim()[1] > 1.5 * 0.875
    assert fourier.plot(amplitudes(), ax=new()).get_xlim()[1] == pytest.approx(1.03)


@pytest.mark.parametrize("view", ["spectra", "depth"])
def test_taps_that_are_not_finite_are_counted(view):
    result = amplitudes()
    result["relative_log_amplitude"][2, 1:] = -np.inf
    ax = fourier.plot(result, ax=new(), view=view)
    ax.figure.draw_without_rendering()
    assert ax.get_title() == "resnet_s\n1 of 6 taps not finite (×)"


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"unknown view 'phase'\. Choices: spectra, depth"):
        fourier.plot(amplitudes(), view="phase")
    empty = amplitudes()
    empty["frequency"][3] = np.nan
    with pytest.raises(ValueError, match=r"tap stages.3:out has no frequencies"):
        fourier.plot(empty, view="depth")
    with pytest.raises(ValueError, match="fourier result has no kind"):
        fourier.plot(amplitudes().drop_vars("kind"))


def test_figure_has_spectra_above_depth_for_each_model():
    fig = figure([amplitudes(), amplitudes("vit_s", "msa")])
    fig.draw_without_rendering()
    spectra, depth, bar = fig.axes[:2], fig.axes[2:4], fig.axes[4]
    assert [ax.get_title() for ax in fig.axes[:4]] == ["resnet_s", "vit_s", "", ""]
    assert [len(ax.lines) for ax in spectra] == [6, 5]
    assert all(ax.containers for ax in depth)
    assert spectra[0].get_ylim() == spectra[1].get_ylim()
    assert depth[0].get_ylim() != depth[1].get_ylim()
    assert bar.get_ylabel() == "depth"
    assert len(fig.axes) == 5
    one = figure([amplitudes(), amplitudes("vit_s", "msa")], view="depth")
    assert len(one.axes) == 2
    assert one.axes[0].get_ylim() != one.axes[1].get_ylim()
    with pytest.raises(ValueError, match="unknown view"):
        figure(amplitudes(), view="phase")


def test_keywords_reach_the_lines():
    ax = fourier.plot(amplitudes(), ax=new(), linewidth=4, linestyle="--")
    assert {line.get_linewidth() for line in ax.lines} == {4}
    bars = fourier.plot(amplitudes(), ax=new(), view="depth", linewidth=4).containers[0]
    assert bars[0].get_linewidth() == 4
