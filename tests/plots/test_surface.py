import numpy as np
import pytest
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure

from landscape.plots import figure, surface
from landscape.plots._height import levels


def new():
    return Figure().subplots()


def filled(ax):
    return next(c for c in ax.collections if isinstance(c, QuadContourSet) and c.filled)


def test_alpha_is_the_x_axis_also_of_a_plane_that_is_not_square(plane):
    result = plane(size=(9, 5))
    result = result.assign_coords(beta=0.5 * result["beta"])
    result["nll"] = result["nll"].copy(data=np.broadcast_to(result["alpha"], (5, 9)).T)
    ax = surface.plot(result, ax=new(), levels=[-1, -0.5, 0, 0.5, 1])
    boxes = [path.get_extents() for path in filled(ax).get_paths()]
    for box, left in zip(boxes, [-1, -0.5, 0, 0.5], strict=True):
        assert (box.x0, box.x1) == pytest.approx((left, left + 0.5))
        assert (box.y0, box.y1) == pytest.approx((-0.5, 0.5))
    assert ax.get_xlim() == (-1, 1)
    assert ax.get_ylim() == (-0.5, 0.5)
    assert ax.get_aspect() == 1
    assert ax.get_xlabel() == "first direction [filter norms]"
    assert ax.get_ylabel() == "second direction [filter norms]"


@pytest.mark.parametrize("relief", [False, True])
@pytest.mark.parametrize("quantity", ["nll", "l2", "loss", "decay", "accuracy"])
def test_quantities(plane, quantity, relief):
    result = plane()
    ax = surface.plot(result, ax=new(), quantity=quantity, relief=relief)
    made = {"loss": result["nll"] + 0.05 * result["l2"], "decay": 0.05 * result["l2"]}
    expected = made[quantity] if quantity in made else result[quantity]
    expected = expected - expected.sel(alpha=0, beta=0) * relief
    assert filled(ax).zmin == pytest.approx(float(expected.min()))
    assert filled(ax).zmax == pytest.approx(float(expected.max()))
    bar = ax.figure.axes[1].get_ylabel().replace("\n", " ")
    names = {
        "nll": "negative log-likelihood",
        "l2": "half the squared norm",
        "loss": "negative log-likelihood + 0.05 × half the squared norm",
        "decay": "0.05 × half the squared norm",
        "accuracy": "accuracy",
    }
    nats = " [nats]" * (quantity not in ("l2", "accuracy"))
    assert bar == names[quantity] + ", minus that of the centre" * relief + nats


def test_bad_choices_are_refused(plane):
    with pytest.raises(ValueError, match=r"unknown quantity 'acc'\. Choices: nll, l2, decay"):
        surface.plot(plane(), ax=new(), quantity="acc")
    with pytest.raises(ValueError, match="no weight_decay"):
        surface.plot(plane(settings={"seed": 0}), ax=new(), quantity="loss")
    with pytest.raises(ValueError, match="centre"):
        surface.plot(plane(size=(10, 10)), ax=new(), relief=True)
    lost = plane()
    lost["nll"].loc[{"alpha": 0, "beta": 0}] = np.inf
    with pytest.raises(ValueError, match="finite value at the centre"):
        surface.plot(lost, ax=new(), relief=True)


def test_a_line_of_points_has_no_contours(plane):
    for draw in (surface.plot, figure):
        with pytest.raises(ValueError, match="11x1 points has no contours"):
            draw(plane().isel(beta=[5]))


def test_centre_is_marked_if_it_is_on_the_plane(plane):
    (mark,) = [line for line in surface.plot(plane(), ax=new()).lines if line.get_gid() == "centre"]
    assert (*mark.get_xdata(), *mark.get_ydata()) == (0, 0)
    aside = plane().assign_coords(alpha=np.linspace(2, 3, 11))
    assert not surface.plot(aside, ax=new()).lines


@pytest.mark.parametrize("bad", [np.inf, np.nan, -np.inf])
def test_points_without_a_finite_loss_are_hatched_crossed_out_and_counted(plane, bad):
    result = plane()
    result["nll"][0, 10] = bad
    result["nll"][10, 9:] = bad
    ax = surface.plot(result, ax=new())
    ax.figure.draw_without_rendering()
    (patch,) = [p for p in ax.patches if p.get_gid() == "not finite"]
    assert patch.get_hatch()
    assert patch.get_zorder() < filled(ax).get_zorder()
    (crosses,) = [line for line in ax.lines if line.get_gid() == "lost points"]
    where = sorted(zip(crosses.get_xdata(), crosses.get_ydata(), strict=True))
    np.testing.assert_allclose(where, [(-1, 1), (1, 0.8), (1, 1)])
    assert ax.get_title() == "resnet_s\n3 of 121 points not finite (×)"
    paths = filled(ax).get_paths()
    assert not any(path.contains_point((-0.98, 0.98)) for path in paths)
    assert any(path.contains_point((-0.98, -0.98)) for path in paths)
    assert np.isfinite(filled(ax).levels).all()


def test_a_whole_plane_can_be_lost(plane):
    result = plane()
    result["nll"][:] = np.nan
    ax = surface.plot(result, ax=new())
    assert "121 of 121" in ax.get_title()
    assert not ax.collections
    fig = figure([result, plane("vit_s")])
    fig.draw_without_rendering()
    assert len(fig.axes) == 3


def test_clean_planes_have_no_hatch(plane):
    ax = surface.plot(plane(), ax=new())
    assert not ax.patches
    assert ax.get_title() == "resnet_s"


@pytest.mark.parametrize(
    "values",
    [
        [0.7, 4.2],
        [2.19, 5.3, 24.05],
        [1e-4, 0.01, 2.0, 80.0],
        [-0.02, 0.0, 0.3, 5.0],
        [-3.0, -1.0, 0.5],
        [0.0, 1e-30, 1.0],
        [0.0, 0.0],
        [7.0],
        [0.1, 1e20],
    ],
)
def test_levels_hold_all_values_and_are_few(values):
    found = levels(np.array(values))
    assert found[0] <= min(values)
    assert max(values) <= found[-1]
    assert (np.diff(found) > 0).all()
    assert 2 <= len(found) <= 18


def test_chosen_levels_that_leave_values_out_say_so(plane):
    assert filled(surface.plot(plane(), ax=new(), levels=[1, 2, 3])).extend == "both"
    assert filled(surface.plot(plane(), ax=new(), levels=[0, 2, 3])).extend == "max"
    assert filled(surface.plot(plane(), ax=new())).extend == "neither"


def test_panels_have_common_levels_colours_and_limits(plane):
    results = [plane(), plane("vit_s", "msa", rise=20, radius=0.5), plane("alternet_s", "hybrid")]
    fig = figure(results)
    fig.draw_without_rendering()
    panels = fig.axes[:3]
    sets = [filled(ax) for ax in panels]
    for one in sets[1:]:
        np.testing.assert_array_equal(one.levels, sets[0].levels)
        np.testing.assert_array_equal(one.norm.boundaries, sets[0].norm.boundaries)
        assert one.cmap == sets[0].cmap
    assert {ax.get_xlim() for ax in panels} == {(-1, 1)}
    assert {ax.get_ylim() for ax in panels} == {(-1, 1)}
    assert len(fig.axes) == 4  # one colour bar
    assert fig.axes[3].get_ylabel() == "negative log-likelihood [nats]"
    relief = figure(results, relief=True)
    assert filled(relief.axes[0]).levels[0] == 0


def test_levels_are_written_on_the_lines(plane):
    ax = surface.plot(plane(), ax=new())
    written = {float(text.get_text()) for text in ax.texts}
    assert written
    assert written <= set(filled(ax).levels)


def test_no_level_is_written_where_the_edge_would_cut_it(plane):
    result = plane(size=(11, 11))
    x, y = result["alpha"], result["beta"]
    result["nll"] = result["nll"].copy(data=(1000 * (3 + x + 0.3 * y)).transpose("alpha", "beta"))
    ax = surface.plot(result, ax=new())
    assert ax.texts
    for text in ax.texts:
        assert np.abs(text.get_position()).max() < 0.93
        assert abs(text.get_position()[0]) < 0.85


def test_keywords_reach_the_filled_contours(plane):
    ax = surface.plot(plane(), ax=new(), cmap="magma", alpha=0.5, colorbar=False)
    assert filled(ax).cmap.name == "magma"
    assert filled(ax).get_alpha() == 0.5
    assert len(ax.figure.axes) == 1
