"""Controls are drawn in grey beneath the network, as they are."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from landscape.plots import figure, fourier, plot, variance
from landscape.plots._twin import LOOKS

ABOUT = {"long_name": "variance", "units": "1"}
NAMES = ["untrained", "constant"]


def result(analyzer="variance", controls=NAMES):
    """Five taps, and what each control has of them: one tap is NaN, one twin has no error."""
    taps, bins = 5, 3
    depth = np.array([1.0, 0.0, 0.25, 0.5, 0.75])  # not in order
    names = {"variance": ("variance",), "fourier": ("relative_log_amplitude",)}[analyzer]
    dims = ("tap",) if analyzer == "variance" else ("tap", "bin")
    shape = (taps,) if analyzer == "variance" else (taps, bins)
    data = {}
    for name in names:
        data[name] = (dims, np.arange(np.prod(shape), dtype=float).reshape(shape) + 1, ABOUT)
        data[f"{name}_se"] = (dims, np.full(shape, 0.1), ABOUT)
        if controls:
            values = np.stack([data[name][1] + 10 * (i + 1) for i in range(len(controls))])
            values[-1, 2] = np.nan
            errors = np.full_like(values, 0.2)
            errors[0] = np.nan
            data[f"control_{name}"] = (("control", *dims), values, ABOUT)
            data[f"control_{name}_se"] = (("control", *dims), errors, ABOUT)
    coords = {
        "tap": ("tap", [f"b{i}:out" for i in range(taps)], ABOUT),
        "depth": ("tap", depth, ABOUT),
        "kind": ("tap", ["conv"] * taps, ABOUT),
        "grid": ("tap", ["8x8"] * taps, ABOUT),
    }
    if controls:
        coords["control"] = ("control", list(controls), ABOUT)
    if analyzer == "fourier":
        coords["frequency"] = (dims, np.tile([0.0, 0.5, 1.0], (taps, 1)), ABOUT)
    attrs = {"analyzer": analyzer, "settings": "{}", "facts": "{}", "model": "n", "family": "conv"}
    return xr.Dataset(data, coords, attrs | {"data": "d"})


def grey(ax):
    return [c for c in ax.containers if c.get_label() in {text for text, _ in LOOKS.values()}]


@pytest.mark.parametrize("analyzer", ["variance", "fourier"])
def test_each_control_is_a_grey_line_of_its_numbers(analyzer):
    found = result(analyzer)
    kwargs = {"view": "depth"} if analyzer == "fourier" else {}
    ax = plot(found, ax=Figure().subplots(), **kwargs)
    drawn = grey(ax)
    assert [c.get_label() for c in drawn] == ["untrained", "one colour"]
    order = np.argsort(found.depth.values)
    values = found[
        "control_variance" if analyzer == "variance" else "control_relative_log_amplitude"
    ]
    values = values.values if analyzer == "variance" else values.values[..., -1]
    for container, row in zip(drawn, values, strict=True):
        np.testing.assert_array_equal(container.lines[0].get_ydata(), row[order])
        np.testing.assert_array_equal(container.lines[0].get_xdata(), np.sort(found.depth.values))
        red, green, blue = (int(container.lines[0].get_color()[i : i + 2], 16) for i in (1, 3, 5))
        assert red == green == blue


def test_all_some_or_none():
    assert len(grey(variance.plot(result(), ax=Figure().subplots(), controls=["constant"]))) == 1
    assert not grey(variance.plot(result(), ax=Figure().subplots(), controls=()))
    assert not grey(variance.plot(result(controls=()), ax=Figure().subplots()))


def test_a_control_that_was_not_measured():
    with pytest.raises(ValueError, match="control 'noise'; there are untrained, constant"):
        variance.plot(result(), ax=Figure().subplots(), controls=["noise"])
    with pytest.raises(ValueError, match="there are none"):
        fourier.plot(
            result("fourier", ()), ax=Figure().subplots(), view="depth", controls=["noise"]
        )


def test_looks_differ_and_the_legend_of_a_figure_has_them():
    looks = [(look["color"], look["linestyle"]) for _, look in LOOKS.values()]
    assert len(set(looks)) == len({look["marker"] for _, look in LOOKS.values()}) == len(LOOKS)
    fig = figure([result(), result()])
    texts = [text.get_text() for legend in fig.legends for text in legend.get_texts()]
    assert {"untrained", "one colour"} <= set(texts)
    fig.draw_without_rendering()
