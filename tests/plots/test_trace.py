"""A point where the numbers are, bars as long as the intervals, words that are true."""

import json

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import landscape
from landscape.plots import figure, plot


def result(trace=30.0, norm=200.0, model="a", family="conv", half=(2.0, 10.0), **settings):
    data = {}
    for name, about, value, reach in (
        ("trace", "trace", trace, half[0]),
        ("frobenius", "squared Frobenius norm", norm, half[1]),
    ):
        for end, place in (("", value), ("_low", value - reach), ("_high", value + reach)):
            data[f"{name}{end}"] = ((), place, {"long_name": about, "units": "1"})
    attrs = {"analyzer": "trace", "model": model, "family": family, "facts": "{}"}
    return xr.Dataset(data, attrs=attrs | {"settings": json.dumps(settings)})


def bars(ax):
    """Centre, horizontal and vertical interval of each point."""
    found = []
    for container in ax.containers:
        line, _, (across, up) = container
        x, y = (float(np.asarray(values).item()) for values in (line.get_xdata(), line.get_ydata()))
        found.append((x, y, across.get_segments()[0][:, 0], up.get_segments()[0][:, 1]))
    return found


def test_the_point_and_its_intervals():
    ax = plot(result(), ax=Figure().subplots())
    ((x, y, across, up),) = bars(ax)
    assert (x, y) == (30.0, 200.0)
    assert across.tolist() == [28.0, 32.0]
    assert up.tolist() == [190.0, 210.0]
    assert ax.get_xlabel() == "trace and 95 % interval"
    assert ax.get_ylabel().replace("\n", " ") == "squared Frobenius norm and 95 % interval"
    assert ax.get_legend().get_texts()[0].get_text() == "a: trace 30.0 ± 2.0"


def test_families_have_their_colours_and_conditions_stand_below():
    every = [result(), result(50.0, 300.0, "b", "msa", matrix="ggn")]
    fig = figure(every)
    (ax,) = fig.axes
    assert [c.lines[0].get_color() for c in ax.containers] == ["#0072B2", "#D55E00"]
    assert "NLL (a) / GGN of NLL (b)" in fig.get_supxlabel()
    assert "GGN of NLL" in figure(every[1:]).get_supxlabel()


@pytest.mark.parametrize(
    ("trace", "norm", "scales"),
    [
        (40.0, 250.0, ("linear", "linear")),
        (900.0, 250.0, ("log", "linear")),
        (40.0, 9e4, ("linear", "log")),
        (-900.0, 9e4, ("linear", "log")),
        (1.0, 250.0, ("linear", "linear")),  # its interval reaches below zero
    ],
)
def test_axes_are_logarithmic_where_results_are_far_apart(trace, norm, scales):
    (ax,) = figure([result(), result(trace, norm, "b")]).axes
    assert (ax.get_xscale(), ax.get_yscale()) == scales


def test_what_is_not_known_is_not_drawn():
    single = plot(result(half=(np.nan, np.nan)), ax=Figure().subplots())
    ((_, _, across, up),) = bars(single)
    assert np.ptp(across) == np.ptp(up) == 0
    assert single.get_legend().get_texts()[0].get_text() == "a: trace 30"
    line = plot(result(norm=np.nan), ax=Figure().subplots())
    assert not line.containers
    assert line.lines[0].get_xdata() == [30.0, 30.0]
    fig = figure([result(norm=np.nan), result()])
    fig.draw_without_rendering()


@pytest.mark.parametrize(
    ("value", "half", "words"),
    [(1119, 140, "1,119 ± 140"), (0.5, 0.02, "0.500 ± 0.020"), (3e-8, 1e-9, "3e-08 ± 1e-09")],
)
def test_numbers_have_the_digits_that_they_deserve(value, half, words):
    ax = plot(result(value, half=(half, 1.0)), ax=Figure().subplots())
    assert ax.get_legend().get_texts()[0].get_text() == f"a: trace {words}"


def test_a_result_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="trace result has no frobenius_low"):
        landscape.figure(result().drop_vars("frobenius_low"))
