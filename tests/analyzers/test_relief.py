"""How much of a slice is loss and how much decay: quadratics, where both are known exactly."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.subject.penalty import NormSum

H = torch.tensor([[4.0, 1.0, 0.0], [1.0, 1.0, 0.5], [0.0, 0.5, 7.0]], dtype=torch.float64)
ORIGIN = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
LAMBDA = 0.7


class Weights(nn.Module):
    """A network whose outputs are its three weights."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(ORIGIN.clone())

    def forward(self, x):
        return self.w.expand(len(x), 3) * x


def quadratic(outputs, targets):
    """``s' H s / 2`` of the step ``s`` from the origin."""
    step = outputs - ORIGIN
    return 0.5 * ((step @ H) * step).sum(1)


def linear(outputs, targets):
    return 3 * outputs[:, 0] - 5 * outputs[:, 1]


def slice_of(loss=quadratic, *, dims=2, points=11, decay=LAMBDA, **settings):
    axes = [{"w": row} for row in torch.eye(3, dtype=torch.float64)[:dims]]
    one = [(torch.ones(1, 3, dtype=torch.float64), torch.zeros(1))]
    return landscape.surface(
        Weights(), one, loss=loss, directions=axes, points=points, weight_decay=decay, **settings
    )


RADII = {3: [1], 11: [0.2, 0.4, 0.6, 0.8, 1], (21, 11): [0.2, 0.4, 0.6, 0.8, 1]}
POINTS = {3: [4], 11: [4, 4, 4, 4, 12], (21, 11): [4, 4, 4, 4, 12]}


@pytest.mark.parametrize("points", POINTS)
def test_of_a_quadratic_everything_is_known(points):
    found = slice_of(points=points)
    a, b = np.meshgrid(found.alpha, found.beta, indexing="ij")
    nll = 0.5 * (4 * a**2 + 2 * a * b + b**2)
    decay = LAMBDA / 2 * ((0.3 + a) ** 2 + (b - 0.2) ** 2 + 0.5**2)
    assert found.relief_nll == pytest.approx(nll.max() - nll.min())
    assert found.relief_decay == pytest.approx(decay.max() - decay.min())
    share = np.ptp(decay) / (np.ptp(decay) + np.ptp(nll))
    assert found.relief_share == pytest.approx(share)
    r = found.radius.values
    assert r == pytest.approx(RADII[points])
    trace, bowl = 4 + 1, 2 * LAMBDA
    assert found.rise.values == pytest.approx(r**2 * trace / 4)
    assert found.rise_decay.values == pytest.approx(r**2 * bowl / 4)
    assert found.rise_share.values == pytest.approx(np.full(len(r), bowl / (trace + bowl)))
    assert found.ring.values.tolist() == POINTS[points]


def test_on_a_line_the_ring_is_two_points():
    found = slice_of(dims=1, points=5)
    assert found.ring.values.tolist() == [2, 2]
    assert found.rise.values == pytest.approx(found.radius.values**2 * 4 / 2)
    assert found.rise_decay.values == pytest.approx(found.radius.values**2 * LAMBDA / 2)


def test_what_is_interpolated_has_the_same_relief():
    exact, adaptive = slice_of(), slice_of(mode="adaptive", tol=1e-6)
    assert "accuracy_se" not in adaptive
    assert "drop" not in adaptive
    for name in ("relief_nll", "relief_share", "rise", "rise_share"):
        assert adaptive[name].values == pytest.approx(exact[name].values, abs=1e-6)


def test_a_slope_is_no_rise_and_a_flat_loss_leaves_all_to_the_decay():
    slope = slice_of(linear)
    assert slope.rise.values == pytest.approx(0, abs=1e-12)
    assert slope.relief_nll == pytest.approx(16)
    flat = slice_of(lambda outputs, targets: 0 * outputs[:, 0])
    assert flat.relief_share == 1
    assert (flat.rise_share == 1).all()


def test_without_decay_it_has_no_share():
    found = slice_of(decay=0.0)
    assert found.relief_decay == 0
    assert found.relief_share == 0
    assert (found.rise_share == 0).all()
    nothing = slice_of(lambda outputs, targets: 0 * outputs[:, 0], decay=0.0)
    assert np.isnan(nothing.relief_share)  # of nothing there is no share


def test_the_form_of_the_decay_counts():
    found = slice_of(decay=NormSum(LAMBDA))
    assert found.relief_decay == pytest.approx(LAMBDA * np.ptp(found.norms.values))
    assert found.nll.values == pytest.approx(slice_of(decay=0.0).nll.values)


def test_a_wall_without_a_finite_height_stays_so():
    def wall(outputs, targets):
        return torch.where(outputs[:, 0] > 1.25, torch.inf, quadratic(outputs, targets))

    found = slice_of(wall)
    assert np.isinf(found.relief_nll)
    assert np.isnan(found.relief_share)
    assert np.isfinite(found.rise.values[:-1]).all()
    assert np.isinf(found.rise.values[-1])
    assert np.isnan(found.rise_share.values[-1])


def test_without_a_centre_in_the_grid_there_is_no_ring():
    assert "radius" not in slice_of(points=(11, 6)).dims


@pytest.mark.parametrize("span", [(0.0, 1.0), (-0.2, 1.2), (0.5, 1.0)])
def test_rings_need_both_sides(span):
    found = slice_of(dims=1, points=8 if span[0] < 0 else 5, span=span)
    if span == (-0.2, 1.2):
        assert found.radius.values == pytest.approx([0.2])
    else:
        assert "radius" not in found.dims
    assert found.relief_nll == pytest.approx(np.ptp(found.nll.values))


def test_a_network(network, batches):
    """Errors, accuracy and planes: against the grid itself."""
    found = landscape.surface(network, batches, points=5, planes=2, weight_decay=0.1, span=0.5)
    count = sum(len(x) for x, _ in batches)
    p = found.accuracy.values
    assert found.accuracy_se.values == pytest.approx(np.sqrt(p * (1 - p) / (count - 1)))
    assert found.rise.dims == found["drop"].dims == ("plane", "radius")
    for k in (0, 1):
        nll, error, hits = (found[n].values[k] for n in ("nll", "nll_se", "accuracy"))
        for j, i in ((0, 1), (1, 2)):
            ring = (np.array([2, 2, 2 - i, 2 + i]), np.array([2 - i, 2 + i, 2, 2]))
            one = found.isel(plane=k, radius=j)
            assert one.rise == pytest.approx(nll[ring].mean() - nll[2, 2])
            assert one.rise_se == pytest.approx(error[ring].mean() + error[2, 2])
            assert one["drop"] == pytest.approx(hits[2, 2] - hits[ring].mean())
            bowl = 0.1 * (found.l2.values[k][ring].mean() - found.l2.values[k][2, 2])
            assert one.rise_decay == pytest.approx(bowl)


def test_the_error_of_a_rise_is_a_bound():
    """Differences of the same examples vary less than the sum of the errors says."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double()
    inputs, targets = torch.randn(4000, 3, 2, 2, dtype=torch.float64), torch.arange(4000) % 3
    parts = [landscape.surface(net, [(inputs[i::40], targets[i::40])], points=3) for i in range(40)]
    spread = np.std([part.rise.item() for part in parts], ddof=1)
    assert spread < np.mean([part.rise_se.item() for part in parts])
