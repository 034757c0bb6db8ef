import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from landscape.plots import figure, plot


def lines(count, family="conv"):
    alpha = np.linspace(-1, 1, 5)
    nll = np.stack([(1 + i) * alpha**2 + 1 for i in range(count)])
    dims = ("plane", "alpha") if count > 1 else ("alpha",)
    nll = nll if count > 1 else nll[0]
    label = {"long_name": "negative log-likelihood", "units": "nats"}
    data = {
        "nll": (dims, nll, label),
        "nll_se": (dims, np.full(nll.shape, 0.1), label),
        "l2": (dims, nll * 0 + 3, {"long_name": "half squared norm", "units": "1"}),
    }
    coords = {"alpha": ("alpha", alpha, {"long_name": "α", "units": "filter norms"})}
    settings = json.dumps({"weight_decay": 0.5})
    attrs = {"analyzer": "surface", "settings": settings, "model": "a", "family": family}
    return xr.Dataset(data, coords, attrs)


def band(ax):
    (found,) = ax.collections
    path = found.get_paths()[0].get_extents()
    return path.y0, path.y1


def test_a_line_has_a_band_of_two_standard_errors():
    ax = plot(lines(1))
    assert ax.lines[0].get_ydata().tolist() == lines(1).nll.values.tolist()
    assert band(ax) == pytest.approx((0.8, 2.2))
    assert "α" in ax.get_xlabel()
    assert "negative log-likelihood" in ax.get_ylabel().replace("\n", " ")
    plt.close("all")


def test_several_lines_are_all_drawn_with_what_they_span():
    ax = plot(lines(3))
    drawn = [line for line in ax.lines if line.get_gid() == "line"]
    assert [line.get_ydata()[0] for line in drawn] == [2, 3, 4]
    assert band(ax) == pytest.approx((1, 4))
    plt.close("all")


def test_the_loss_of_a_line_adds_the_penalty_and_relief_removes_the_centre():
    ax = plot(lines(1), quantity="loss", relief=True)
    assert ax.lines[0].get_ydata() == pytest.approx(lines(1).nll.values - 1)
    ax = plot(lines(1), quantity="loss", ax=plt.figure().subplots())
    assert ax.lines[0].get_ydata() == pytest.approx(lines(1).nll.values + 1.5)
    plt.close("all")


def test_a_figure_of_lines_of_several_networks():
    fig = figure([lines(3), lines(3, "msa")])
    assert len([ax for ax in fig.axes if ax.lines]) == 2
