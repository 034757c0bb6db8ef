"""Views of the power of feature maps: heat map over depth, steps of the operations."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import figure, fourier, style, variance
from landscape.plots._power import NONE
from landscape.plots._twin import LOOKS

KINDS = ["stem", "conv", "msa", "conv", "msa", "mlp"]
SIDES = [32, 32, 16, 16, 8, 8]
RINGS = 23


def powers(model="alternet_s", family="hybrid", *, window="none", controls=()):
    """Power that falls with frequency; steps where two taps have one grid."""
    taps = len(KINDS)
    own = np.full((taps, RINGS), np.nan)
    for i, side in enumerate(SIDES):
        count = int(side * 0.72)
        own[i, :count] = np.arange(1, count + 1) / side
    power = 1 / own**2 * np.arange(1, taps + 1)[:, None]
    same = np.array([False] + [a == b for a, b in zip(SIDES[1:], SIDES[:-1], strict=True)])
    step = np.where(same, [0, -2.0, 0, 0.1, 0, 1.5], np.nan)

    def part(values, name, units="1", dims=("tap",)):
        return (dims, np.asarray(values), {"long_name": name, "units": units})

    both = ("tap", "ring")
    variables = {
        "power": part(power, "AC power", dims=both),
        "ac": part(np.nanmean(power, 1), "mean AC power"),
        "step": part(step, "step of high / low power", "dB"),
        "step_se": part(np.where(same, 0.25, np.nan), "standard error", "dB"),
    }
    coords = {
        "tap": part([f"blocks.{i}:out" for i in range(taps)], "tap"),
        "depth": part(np.linspace(0, 1, taps), "normalised depth"),
        "kind": part(KINDS, "kind of operation"),
        "grid": part([f"{s}x{s}" for s in SIDES], "grid"),
        "ring": part(np.arange(1, RINGS + 1), "ring", dims=("ring",)),
        "frequency_sample": part(own, "frequency", "cycles/sample", both),
        "frequency_pixel": part(own * np.array(SIDES)[:, None] / 32, "f", "cycles/pixel", both),
    }
    if controls:
        coords["control"] = part(list(controls), "control", dims=("control",))
        shifted = np.stack([step + 1 + i for i, _ in enumerate(controls)])
        variables["control_step"] = part(shifted, "step", "dB", ("control", "tap"))
        lone = np.full_like(shifted, np.nan)  # one twin has no spread
        variables["control_step_se"] = part(lone, "se", "dB", ("control", "tap"))
    attrs = {"analyzer": "fourier", "settings": f'{{"window": "{window}"}}', "facts": "{}"}
    return xr.Dataset(variables, coords, attrs | {"model": model, "family": family, "data": "x"})


def new():
    return Figure().subplots()


def cells(ax):
    return [c for c in ax.collections if c.get_array() is not None]


def test_a_heat_map_has_a_column_a_tap_up_to_its_nyquist_frequency():
    result = powers()
    ax = fourier.plot(result, ax=new(), view="heat")
    columns = cells(ax)
    assert len(columns) == len(SIDES)
    for i, (column, side) in enumerate(zip(columns, SIDES, strict=True)):
        want = 10 * np.log10(result.power[i, : side // 2] / result.ac[i])
        np.testing.assert_allclose(column.get_array().ravel(), want)
        corners = column.get_coordinates()
        assert corners[..., 0].min() == pytest.approx(0.2 * i - 0.1)
        assert corners[..., 1].max() == pytest.approx((side // 2 + 0.5) / 32)
        assert (corners[..., 1] > 0).all()
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "f [cycles/pixel]"
    assert {column.get_clim() for column in columns} == {columns[0].get_clim()}
    (bar,) = ax.figure.axes[1:]
    assert "[dB]" in bar.get_ylabel()
    changes = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "grid change"]
    assert changes == pytest.approx([0.3, 0.7])


def test_rings_of_a_dct_are_half_as_wide():
    result = powers(window="dct")
    ax = fourier.plot(result, ax=new(), view="heat", colorbar=False)
    assert [c.get_array().size for c in cells(ax)] == [23, 23, 11, 11, 5, 5]
    assert len(ax.figure.axes) == 1


def test_heat_maps_of_several_networks_share_colours_and_frequencies():
    one, two = powers(), powers("vit_s", "msa")
    two["power"] = two["power"] ** 2
    fig = figure([one, two], view="heat")
    fig.draw_without_rendering()
    a, b, bar = fig.axes
    assert cells(a)[0].get_clim() == cells(b)[0].get_clim()
    assert a.get_ylim() == b.get_ylim()
    assert bar.get_ylim() == cells(a)[0].get_clim()
    assert [ax.get_title() for ax in (a, b)] == ["alternet_s", "vit_s"]


def test_taps_without_power_are_left_out_and_counted():
    result = powers()
    result["power"][2] = np.nan
    result["ac"][3] = 0.0
    ax = fourier.plot(result, ax=new(), view="heat")
    assert len(cells(ax)) == 4
    assert ax.get_title() == "alternet_s\n2 of 6 taps not finite (×)"


def test_steps_stand_at_their_taps_with_95_percent_intervals_and_gaps_at_new_grids():
    result = powers()
    ax = fourier.plot(result, ax=new(), view="steps")
    dots = {bars.get_label(): bars for bars in ax.containers}
    assert set(dots) == {"conv", "MLP"}  # one msa is on a new grid, as is the other
    line, _, (segments,) = dots["conv"]
    np.testing.assert_allclose(line.get_xdata(), [0.2, 0.6])
    np.testing.assert_allclose(line.get_ydata(), [-2, 0.1])
    ends = segments.get_segments()[0][:, 1]
    np.testing.assert_allclose(ends, [-2 - 1.96 * 0.25, -2 + 1.96 * 0.25])
    assert to_hex(line.get_color()).upper() == style.KIND_COLOURS["conv"]
    assert ax.get_ylabel() == "step of high / low power [dB]\n(95 % intervals)"
    changes = [line.get_xdata()[0] for line in ax.lines if line.get_gid() == "grid change"]
    assert changes == pytest.approx([0.3, 0.7])
    assert ax.get_title() == "alternet_s"  # no step at a new grid is no loss
    (band,) = [p for p in ax.patches if p.get_gid() == "practically none"]
    assert (band.get_y(), band.get_height()) == (-NONE, 2 * NONE)
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["conv", "MLP"]


def test_a_step_that_is_lost_on_one_grid_is_counted():
    result = powers()
    result["step"][5] = np.nan
    ax = fourier.plot(result, ax=new(), view="steps")
    assert ax.get_title() == "alternet_s\n1 of 6 steps not finite (×)"


def test_twins_are_grey_beside_the_steps():
    result = powers(controls=("untrained", "phase"))
    ax = fourier.plot(result, ax=new(), view="steps")
    grey = {bars.get_label(): bars[0] for bars in ax.containers if bars[0].get_gid()}
    assert list(grey) == [LOOKS["untrained"][0], LOOKS["phase"][0]]
    values = grey[LOOKS["phase"][0]].get_ydata()
    np.testing.assert_allclose(values, result["step"] + 2)
    offsets = [line.get_xdata() - result["depth"].values for line in grey.values()]
    assert 0 < offsets[0][1] < offsets[1][1] < 0.2
    for line in grey.values():
        assert len(set(to_hex(line.get_color())[i : i + 2] for i in (1, 3, 5))) == 1
    none = fourier.plot(result, ax=new(), view="steps", controls=[])
    assert not [bars for bars in none.containers if bars[0].get_gid()]
    with pytest.raises(ValueError, match="not measured under the control 'noise'"):
        fourier.plot(result, ax=new(), view="steps", controls=["noise"])


def test_a_figure_has_these_views_only_on_request():
    fig = figure([powers(), powers("b")], view="steps")
    fig.draw_without_rendering()
    assert len(fig.axes) == 2
    assert fig.legends[0].get_texts()
    with pytest.raises(ValueError, match="has no relative_log_amplitude"):
        figure(powers())
    old = powers().drop_vars("power")
    with pytest.raises(ValueError, match="fourier result has no power; compute it with this"):
        figure([old], view="heat")


def test_steps_of_the_variance_are_drawn_likewise():
    result = powers(controls=("untrained",)).assign_attrs(analyzer="variance")
    result["step"].attrs["long_name"] = "step of the variance"
    ax = variance.plot(result, ax=new(), quantity="step")
    assert {b.get_label() for b in ax.containers} == {"conv", "MLP", LOOKS["untrained"][0]}
    assert ax.get_ylabel() == "step of the variance [dB]\n(95 % intervals)"
    fig = figure([result, result], quantity="step")
    assert len(fig.axes) == 2
