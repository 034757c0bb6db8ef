"""Surfaces in three dimensions: the result, on one scale, and nothing clipped."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from landscape.plots import figure, surface


def new():
    return Figure().add_subplot(projection="3d")


def facets(ax):
    """Corners of the facets, ``(facet, corner, xyz)``, and their colours."""
    found = [c for c in ax.collections if isinstance(c, Poly3DCollection)]
    if not found:
        return np.empty((0, 4, 3)), np.empty((0, 4))
    (one,) = found
    return np.array([np.asarray(face) for face in one._faces]), to_rgba_array(one._facecolor3d)


def corners(ax):
    """Height drawn over each point of the grid."""
    return {(round(x, 9), round(y, 9)): z for x, y, z in facets(ax)[0].reshape(-1, 3)}


def crosses(ax):
    return [line for line in ax.lines if line.get_gid() == "lost points"]


@pytest.mark.parametrize("size", [(11, 11), (9, 5)])
def test_corners_of_the_facets_are_the_result(plane, size):
    result = plane(size=size)
    result = result.assign_coords(beta=0.5 * result["beta"])
    ax = surface.plot(result, ax=new(), view="3d")
    drawn = corners(ax)
    assert len(facets(ax)[0]) == (size[0] - 1) * (size[1] - 1)
    assert len(drawn) == size[0] * size[1]
    for (x, y), z in drawn.items():
        there = result["nll"].sel(alpha=x, beta=y, method="nearest")
        assert z == pytest.approx(float(there))
    assert not crosses(ax)
    assert ax.get_title() == "resnet_s"


def test_axes_are_labelled_and_have_true_proportions(plane):
    result = plane().assign_coords(beta=0.5 * plane()["beta"])
    ax = surface.plot(result, ax=new(), view="3d")
    assert ax.get_xlabel() == "first direction [filter norms]"
    assert ax.get_ylabel() == "second direction [filter norms]"
    assert ax.get_zlabel() == "NLL [nats]"
    wide, deep, _ = ax.get_box_aspect() if hasattr(ax, "get_box_aspect") else ax._box_aspect
    assert wide / deep == pytest.approx(2)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-0.5, 0.5))
    names = {"loss": "NLL + decay [nats]", "accuracy": "accuracy", "l2": "L2"}
    for quantity, name in names.items():
        assert surface.plot(result, ax=new(), view="3d", quantity=quantity).get_zlabel() == name


def test_ticks_of_a_steep_surface_stand_where_its_values_are(plane):
    result = plane(rise=400.0)
    ax = surface.plot(result, ax=new(), view="3d")
    heights = corners(ax)
    values = {
        place: float(result["nll"].sel(alpha=place[0], beta=place[1], method="nearest"))
        for place in heights
    }
    order = sorted(values, key=values.get)
    assert (np.diff([heights[place] for place in order]) >= -1e-9).all()
    # twice the value is always as far up
    ticks = {
        float(t.get_text()): z for t, z in zip(ax.get_zticklabels(), ax.get_zticks(), strict=True)
    }
    value = np.array(sorted(v for v in ticks if v > 0))
    height = np.array([ticks[v] for v in value])
    assert np.diff(height) == pytest.approx(np.diff(np.log10(value)))
    inside = [place for place in heights if values[place] > value[0]]
    for place in inside[::7]:
        expected = np.interp(np.log10(values[place]), np.log10(value), height)
        if values[place] <= value[-1]:
            assert heights[place] == pytest.approx(expected)
    low, high = ax.get_zlim()
    assert low <= min(heights.values())
    assert max(heights.values()) <= high


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_facets_without_a_finite_corner_are_left_out_and_counted(plane, bad):
    result = plane()
    result["nll"][3, 7] = bad
    result["nll"][10, 10] = bad
    ax = surface.plot(result, ax=new(), view="3d")
    assert len(facets(ax)[0]) == 100 - 4 - 1
    x, y, z = crosses(ax)[0].get_data_3d()
    np.testing.assert_allclose(sorted(zip(x, y, strict=True)), [(-0.4, 0.4), (1, 1)], atol=1e-12)
    assert (z == ax.get_zlim()[0]).all()
    assert ax.get_title() == "resnet_s\n2 of 121 points not finite (×)"


def test_what_exceeds_chosen_levels_is_left_out_and_counted(plane):
    result = plane()
    ax = surface.plot(result, ax=new(), view="3d", levels=[0, 1, 2, 3])
    above = int((result["nll"] > 3).sum())
    assert above > 0
    assert ax.get_title() == f"resnet_s\n{above} of 121 points beyond the scale (×)"
    assert len(crosses(ax)[0].get_data_3d()[0]) == above
    assert max(corners(ax).values()) <= 3
    assert ax.get_zlim() == (0, 3)


def test_a_whole_plane_can_be_lost(plane):
    result = plane()
    result["nll"][:] = np.nan
    fig = figure([result, plane("vit_s")], view="3d")
    fig.draw_without_rendering()
    assert "121 of 121" in fig.axes[0].get_title()
    assert len(facets(fig.axes[0])[0]) == 0
    figure(result, view="3d").draw_without_rendering()


def test_networks_share_height_and_colour(plane):
    results = [plane(), plane("vit_s", "msa", rise=20, radius=0.5), plane("alternet_s", "hybrid")]
    fig = figure(results, view="3d")
    fig.draw_without_rendering()
    panels = fig.axes[:3]
    assert [ax.get_title() for ax in panels] == ["resnet_s", "vit_s", "alternet_s"]
    assert len({ax.get_zlim() for ax in panels}) == 1
    assert {ax.get_xlim() for ax in panels} == {ax.get_ylim() for ax in panels} == {(-1, 1)}
    assert len(fig.axes) == 4
    assert fig.axes[3].get_ylabel() == "negative log-likelihood [nats]"
    colours = {}
    for ax in panels:  # the same height has the same colour in all
        for face, colour in zip(*facets(ax), strict=True):
            colours.setdefault(round(face[:, 2].mean(), 6), set()).add(tuple(colour))
    assert max(map(len, colours.values())) == 1
    assert len(colours) == 50  # two kinds of bowl, of even symmetry


def test_the_figure_is_contours_unless_asked(plane):
    names = {type(ax).__name__ for ax in figure([plane(), plane("vit_s")]).axes}
    assert "Axes3D" not in names


def test_no_label_is_lost_beside_another_panel(plane):
    """z labels stand inside the figure and left of the colour bar."""
    fig = figure([plane(rise=400.0), plane("vit_s"), plane("alternet_s")], view="3d")
    fig.draw_without_rendering()
    *panels, bar = fig.axes
    for ax, beside in zip(panels, [*panels[1:], bar], strict=True):
        label = ax.zaxis.label.get_window_extent()
        assert label.x1 < fig.bbox.x1
        if beside is bar:
            assert label.x1 < bar.get_window_extent().x0
        assert ax.title.get_window_extent().y1 < fig.bbox.y1


def test_bad_choices_are_refused(plane):
    with pytest.raises(ValueError, match=r"unknown view 'solid'\. Choices: contour, 3d"):
        surface.plot(plane(), ax=new(), view="solid")
    with pytest.raises(ValueError, match=r"unknown view 'solid'\. Choices: contour, 3d"):
        figure(plane(), view="solid")
    with pytest.raises(ValueError, match="axes in three dimensions, made with projection='3d'"):
        surface.plot(plane(), ax=Figure().subplots(), view="3d")
    line = plane().isel(beta=5, drop=True)
    with pytest.raises(ValueError, match="a line has no view '3d'"):
        surface.plot(line, ax=new(), view="3d")
    variance = plane().assign_attrs(analyzer="variance")
    with pytest.raises(ValueError, match=r"unknown view '3d'\. variance has only one"):
        figure(variance, view="3d")


def test_current_axes_are_made_in_three_dimensions(plane):
    try:
        plt.figure()
        ax = surface.plot(plane(), view="3d")
        assert ax is plt.gca()
        assert ax.name == "3d"
    finally:
        plt.close("all")


def test_the_share_of_the_decay_stands_over_the_sum(plane):
    result = plane().assign(relief_share=((), 0.634, {"long_name": "share", "units": "1"}))
    ax = surface.plot(result, ax=new(), view="3d", quantity="loss")
    assert ax.get_title() == "resnet_s\ndecay makes 63% of the relief"
    assert surface.plot(result, ax=new(), view="3d").get_title() == "resnet_s"


def test_rows_do_not_run_into_each_other(plane):
    fig = figure([plane() for _ in range(5)], view="3d")
    fig.draw_without_rendering()
    *panels, _ = fig.axes
    assert len(panels) == 5
    lowest = min(ax.xaxis.label.get_window_extent().y0 for ax in panels[:3])
    assert max(ax.title.get_window_extent().y1 for ax in panels[3:]) <= lowest + 1
    wide = {round(ax.get_position().width, 6) for ax in panels}
    assert len(wide) == 1
