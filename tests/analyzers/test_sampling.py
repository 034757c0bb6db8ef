"""What the adaptive mode evaluates, and how well it tells what it does not."""

import numpy as np
import pytest

from landscape.analyzers._sampling import NODES, adapt, grid

AXES = [np.linspace(-1, 1, 41), np.linspace(-1, 1, 33)]


def bowl(x, y):
    return np.exp(0.7 * x - 0.4 * y) + x * y


def ridge(x, y):
    """Smooth but for a sharp fold near one corner."""
    return bowl(x, y) + 0.5 * np.hypot(np.maximum(x + y - 0.9, 0), 0.02)


class Surface:
    """A loss that counts how often it is asked, with a standard error that grows with it."""

    def __init__(self, function):
        self.function = function
        self.asked = []

    def __call__(self, name, steps):
        self.asked += steps
        rows = [self.function(*step) for step in steps]
        return np.array([[v, 0.01 * (1 + abs(v)), 0.5] for v in rows]).reshape(-1, 3)

    @property
    def truth(self):
        return np.array([self.function(*step) for step in grid(AXES)]).reshape(41, 33)


def test_a_smooth_surface_needs_the_fewest_nodes():
    surface = Surface(bowl)
    found = adapt(surface, AXES, 1e-4, seed=0)
    assert len(found.nodes) == NODES**2
    assert np.abs(found.values - surface.truth).max() <= found.bound <= 1e-4
    assert found.excess <= 1


def test_a_smooth_surface_that_needs_more_gets_more():
    surface = Surface(lambda x, y: np.sin(5 * x) * np.cos(2 * y))
    found = adapt(surface, AXES, 1e-3, seed=0)
    assert NODES**2 < len(found.nodes) < 41 * 33 // 3
    assert np.abs(found.values - surface.truth).max() <= found.bound <= 1e-3


@pytest.mark.parametrize("tol", [0.02, 0.004])
def test_a_fold_is_met_where_it_lies(tol):
    surface = Surface(ridge)
    found = adapt(surface, AXES, tol, seed=0)
    assert found.bound <= tol
    assert np.abs(found.values - surface.truth).max() <= 1.5 * tol
    added = np.array([n for n in found.nodes.tolist() if tuple(n) in set(grid(AXES))])
    extra = len(found.nodes) - NODES**2
    assert 0 < extra < 300
    near = np.abs(added.sum(1) - 0.9) < 0.5
    assert near.mean() > 0.5  # a quarter of the plane
    assert len(set(surface.asked)) == len(surface.asked)  # nothing is evaluated twice


def test_grid_points_that_were_evaluated_come_out_to_the_bit():
    surface = Surface(ridge)
    found = adapt(surface, AXES, 0.004, seed=0)
    at = {step: i for i, step in enumerate(grid(AXES))}
    pairs = zip(map(tuple, found.nodes.tolist()), found.measured[0], strict=True)
    told = [(at[node], value) for node, value in pairs if node in at]
    assert len(told) > 30
    assert all(found.values.reshape(-1)[i] == v for i, v in told)


def test_without_a_tolerance_half_the_standard_error_of_the_place_is_one():
    loud = Surface(lambda x, y: 30 * ridge(x, y))
    found = adapt(loud, AXES, None, seed=0)
    assert found.excess <= 1
    error = np.abs(found.values - loud.truth)
    half = 0.5 * 0.01 * (1 + np.abs(loud.truth))
    assert (error / half).max() <= 1.5
    strict = adapt(loud, AXES, float(half.min()), seed=0)
    assert len(found.nodes) < 0.8 * len(strict.nodes)


def test_it_stops_at_half_of_the_grid_and_says_so():
    draw = np.random.default_rng(0)
    noise = {step: draw.normal() for step in grid(AXES)}
    surface = Surface(lambda x, y: noise.get((x, y), 0.0))
    found = adapt(surface, AXES, 1e-3, seed=0)
    assert len(found.nodes) == 41 * 33 // 2
    assert found.bound > 1e-3
    assert found.excess > 1


def test_images_of_one_loss_tolerate_no_error():
    def same(name, steps):
        return np.array([[bowl(*step), 0.0, 1.0] for step in steps]).reshape(-1, 3)

    small = [np.linspace(-1, 1, 11)] * 2  # too few points for more than the nodes
    found = adapt(same, small, None, seed=0)
    assert found.tolerance == 0
    assert found.excess == np.inf


def test_a_constant_needs_no_tolerance():
    found = adapt(Surface(lambda x, y: 0.0), AXES, 1e-3, seed=0)
    assert (found.values == 0).all()
    assert found.bound == 0


def test_one_image_has_no_standard_error():
    def alone(name, steps):
        return np.array([[bowl(*step), np.nan, 1.0] for step in steps]).reshape(-1, 3)

    with pytest.raises(ValueError, match="give tol, in nats"):
        adapt(alone, AXES, None, seed=0)
    assert np.isfinite(adapt(alone, AXES, 1e-4, seed=0).values).all()


def test_a_line_with_a_kink():
    surface = Surface(lambda x: abs(x - 0.3))
    axes = [np.linspace(-1, 1, 101)]
    found = adapt(surface, axes, 0.005, seed=0)
    truth = np.array([abs(x - 0.3) for (x,) in grid(axes)])
    error = np.abs(found.values - truth).max()
    assert error <= 3 * 0.005  # no estimate sees a kink between two nodes
    assert len(found.nodes) < 51


def test_audited_points_took_no_part():
    surface = Surface(ridge)
    found = adapt(surface, AXES, 0.02, seed=3)
    places = [tuple(row[:2]) for row in found.audit.tolist()]
    assert len(places) == 8
    assert not set(places) & {tuple(n) for n in found.nodes.tolist()}
    for x, y, truth, told in found.audit.tolist():
        assert truth == ridge(x, y)
        assert abs(truth - told) <= 0.03
