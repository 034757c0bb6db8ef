"""Lines, planes, policies, interpolation: against brute force and closed forms."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.subject.filters import draw, layout
from landscape.subject.objective import Objective


def line_network():
    """A deep linear network with squared loss: a polynomial of degree 2 x 3 along any direction."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(192, 5, bias=False),
        nn.Linear(5, 4, bias=False),
        nn.Linear(4, 3, bias=False),
    )
    return net.double()


def square(outputs, targets):
    return (outputs**2).sum(1)


def moved(net, direction, size):
    twin = copy.deepcopy(net).eval()
    with torch.no_grad():
        for name, p in twin.named_parameters():
            p.add_(size * direction.get(name, 0))
    return twin


def direction(net, index=0, seed=0):
    return draw(Objective(net, []).parameters(), layout(net), seed=seed, index=index)


def test_a_line_is_the_middle_of_the_plane(network, batches):
    plane = landscape.surface(network, batches, points=(5, 3), seed=2)
    line = landscape.surface(network, batches, points=5, dims=1, seed=2)
    assert line.nll.dims == ("alpha",)
    assert np.isnan(line.cosine)
    for name in ("nll", "nll_se", "accuracy", "l2", "norms"):
        assert line[name].values == pytest.approx(plane[name].sel(beta=0.0).values, rel=1e-12)


def test_planes_have_directions_of_their_own(network, batches):
    several = landscape.surface(network, batches, points=3, planes=3)
    one = landscape.surface(network, batches, points=3)
    assert several.nll.dims == ("plane", "alpha", "beta")
    assert (several.isel(plane=0).nll.values == one.nll.values).all()
    corners = several.nll.values[:, 0, 0]
    assert len(set(corners)) == 3
    assert np.ptp(several.nll.values[:, 1, 1]) == 0  # all have the same centre


def test_given_directions_reach_another_network(build, batches):
    net = build("hybrid")
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(torch.randn_like(p) * 0.1)
    own, target = dict(net.named_parameters()), dict(other.named_parameters())
    way = {n: (target[n] - own[n]).detach() for n in own}
    line = landscape.surface(net, batches, points=3, span=(0.0, 1.0), directions=[way])
    for at, who in ((0, net), (2, other)):
        risk = Objective(who.eval(), batches)
        assert line.nll[at].item() == pytest.approx(risk.value(risk.parameters()).item(), rel=1e-12)
    assert line.alpha.units == "1"


def test_squares_and_norms_are_those_of_the_decayed_tensors(network, batches):
    from landscape.subject.penalty import NormSum, matrices

    d1, d2 = (direction(network, i, seed=1) for i in (0, 1))
    term = NormSum(0.05, matrices)
    got = landscape.surface(network, batches, points=3, span=0.7, seed=1, weight_decay=term)
    for i, a in enumerate(got.alpha.values):
        for j, b in enumerate(got.beta.values):
            twin = moved(moved(network, d1, a), d2, b)
            kept = [p.double() for p in twin.parameters() if p.ndim >= 2]
            assert got.l2[i, j].item() == pytest.approx(
                sum((p**2).sum().item() for p in kept) / 2, rel=1e-12
            )
            assert got.norms[i, j].item() == pytest.approx(
                sum(p.norm().item() for p in kept), rel=1e-12
            )
    assert got.attrs["decay"] == '{"coefficient": 0.05, "form": "norms"}'


@pytest.mark.parametrize("kind", ["conv", "hybrid"])
def test_recalibration_measures_the_statistics_at_each_point(kind, build, batches):
    net = build(kind)
    got = landscape.surface(net, batches, points=3, dims=1, batchnorm="recal:6")
    frozen = landscape.surface(net, batches, points=3, dims=1)
    d, first = direction(net), torch.cat([x for x, _ in batches])[:6]
    for i, a in enumerate(got.alpha.values):
        twin = moved(net, d, a)
        norms = [m for m in twin.modules() if isinstance(m, nn.BatchNorm2d)]
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the plain average
            m.train()
        with torch.no_grad():
            twin(first)
        twin.eval()
        risk = Objective(twin, batches)
        want = risk.value(risk.parameters()).item()
        assert got.nll[i].item() == pytest.approx(want, rel=1e-10)
    assert not np.allclose(got.nll, frozen.nll, rtol=1e-3)


def test_statistics_of_the_batch_are_those_of_the_whole_batch(build, batches):
    net = build("conv")
    got = landscape.surface(net, batches, points=1, dims=1, span=0.5, batchnorm="batch")
    risk = Objective(net, batches, batchnorm="batch")
    want = risk.value(risk.parameters()).item()
    assert got.nll.item() == pytest.approx(want, rel=1e-12)


def test_a_polynomial_is_interpolated_to_rounding(batches):
    settings = {"points": 15, "loss": square, "span": 0.8}
    exact = landscape.surface(line_network(), batches, **settings)
    less = landscape.surface(line_network(), batches, mode="adaptive", tol=1e-3, **settings)
    assert less.sizes["node"] == 81  # 7 a side would do for degree 6; 9 show it
    assert less.excess < 1
    assert less.bound < 1e-6 * float(exact.nll.max())
    assert less.nll.values == pytest.approx(exact.nll.values, rel=1e-10)
    assert less.attrs["interpolated"] == 1
    assert exact.attrs["interpolated"] == 0
    assert less.audit_nll.values == pytest.approx(less.audit_interpolated.values, rel=1e-10)
    assert (less.l2.values == exact.l2.values).all()


def test_refinement_stops_under_the_tolerance_and_the_bound_tells_the_error(network, batches):
    """Against every point of the grid."""
    settings = {"points": (21, 19), "span": 0.6}
    exact = landscape.surface(network, batches, **settings).nll.values
    for tol in (0.3, 0.02, 1e-3):
        less = landscape.surface(network, batches, mode="adaptive", tol=tol, **settings)
        error = np.abs(less.nll.values - exact).max()
        assert (less.bound <= tol) == (less.excess <= 1)
        assert less.bound <= tol or less.sizes["node"] >= exact.size // 2  # as many as it may
        assert error <= max(2 * less.bound.item(), 1e-9)  # an estimate, and these are wild
    told = landscape.surface(network, batches, mode="adaptive", **settings)
    assert told.tolerance.item() == pytest.approx(0.5 * np.median(told.node_nll_se), rel=0.5)


def test_an_interrupted_refinement_goes_on_to_the_same_values(build, batches, tmp_path):
    settings = {"points": 21, "span": 0.6, "mode": "adaptive", "tol": 1e-3}
    network, seen = build("conv"), []

    def stop(items, total, label):
        for item in items:
            yield item
            seen.append(label)
            if len(seen) == 13:  # of 11 tiles of nodes, two tiles a round
                raise KeyboardInterrupt

    place = tmp_path / "x.journal"
    with pytest.raises(KeyboardInterrupt):
        landscape.surface(network, batches, journal=place, progress=stop, **settings)
    assert seen[10:] == ["Surface, nodes", *["Surface, beside 81 points"] * 2]
    again = landscape.surface(network, batches, journal=place, **settings)
    assert again.identical(landscape.surface(network, batches, **settings))


@pytest.mark.parametrize("kind", ["msa", "plain"])  # of few images a ReLU network has only kinks
def test_curvature_at_the_centre_is_that_of_the_hessian(kind, build, batches):
    network = build(kind)
    less = landscape.surface(network, batches, points=31, span=0.02, mode="adaptive", tol=1e-9)
    risk = Objective(network.eval(), batches)
    params = risk.parameters()
    d = [direction(network, i) for i in (0, 1)]
    dot = lambda a, b: sum((a[n] * b[n]).sum().item() for n in a)  # noqa: E731
    want = np.array([[dot(u, risk.hvp(params, v)) for v in d] for u in d])
    slope = [dot(risk.gradient(params), v) for v in d]
    assert less.slope.values == pytest.approx(np.array(slope), rel=1e-2, abs=1e-3)
    assert less.curvature.values == pytest.approx(want, rel=1e-2, abs=1e-2 * np.abs(want).max())


def test_what_is_not_finite_is_not_smoothed():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    net[1].weight.data.fill_(3e38)
    net[1].weight.data[1] *= -1
    data = [(torch.ones(2, 4), torch.tensor([0, 1]))]
    with pytest.raises(ValueError, match=r"not finite at .* nodes, the first .*mode='exact'"):
        landscape.surface(net, data, points=11, span=3.0, mode="adaptive")


def test_images_are_read_as_often_as_checked_and_once_more(build, batches):
    """Not once a point."""

    class Counting:
        reads = 0

        def __iter__(self):
            for x, y in batches:
                Counting.reads += len(x)
                yield x, y

    def reads(points):
        Counting.reads = 0
        landscape.surface(build("msa"), Counting(), points=points)
        return Counting.reads

    assert reads(1) == reads(7)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"batchnorm": "recal"}, "frozen, batch or recal:M"),
        ({"batchnorm": "recal:1"}, "2 or more"),
        ({"mode": "quick"}, "exact, adaptive"),
        ({"tol": 0.0, "mode": "adaptive"}, "tol must be positive"),
        ({"points": 7, "mode": "adaptive"}, "7x7 points is as soon evaluated"),
        ({"dims": 3}, "dims is 1 or 2"),
        ({"points": (3, 3), "dims": 1}, "along each of 1 directions"),
        ({"span": (1.0, 1.0)}, "an interval"),
        ({"directions": [], "planes": 2}, "random directions"),
    ],
)
def test_bad_settings(settings, told, build, batches):
    with pytest.raises(ValueError, match=told):
        landscape.surface(build("conv"), batches, **settings)
