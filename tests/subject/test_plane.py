import copy

import pytest
import torch

from landscape.subject.loss import cross_entropy
from landscape.subject.plane import Gauge, Plane


def random(like, seed):
    draw = torch.Generator().manual_seed(seed)
    return {n: torch.randn(p.shape, generator=draw, dtype=p.dtype) for n, p in like.items()}


def own(network):
    return {n: p.detach() for n, p in network.named_parameters()}


def test_a_point_is_the_sum_and_the_origin_stays(network):
    origin = own(network)
    before = {n: p.clone() for n, p in origin.items()}
    d1, d2 = random(origin, 0), random(origin, 1)
    plane = Plane(origin, (d1, d2))
    for a, b in ((0.0, 0.0), (0.3, -2.0), (0.0, 0.0)):
        got = plane.at([a, b])
        want = {n: before[n] + a * d1[n] + b * d2[n] for n in origin}
        assert all(torch.allclose(got[n], want[n], rtol=1e-14, atol=1e-14) for n in origin)
    assert all(torch.equal(got[n], before[n]) for n in origin)
    assert all(torch.equal(origin[n], before[n]) for n in origin)


def test_weights_are_written_to_one_buffer(network):
    plane = Plane(own(network), (random(own(network), 0),))
    first = {n: p.data_ptr() for n, p in plane.at([0.1]).items()}
    assert first == {n: p.data_ptr() for n, p in plane.at([0.2]).items()}


def test_squares_in_closed_form_are_exact(network):
    origin = own(network)
    plane = Plane(origin, (random(origin, 0), random(origin, 1)))
    steps = [(0.0, 0.0), (0.5, -1.5), (100.0, 3.0)]
    got = plane.squares(steps)
    for row, step in zip(got, steps, strict=True):
        want = [(p.double() ** 2).sum().item() for p in plane.at(step).values()]
        assert row.tolist() == pytest.approx(want, rel=1e-12)


def test_a_name_that_a_direction_lacks_does_not_move(network):
    origin = own(network)
    name = next(iter(origin))
    plane = Plane(origin, ({name: torch.ones_like(origin[name])},))
    got = plane.at([1.0])
    assert [n for n in origin if not torch.equal(got[n], origin[n])] == [name]


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_batches_of_any_size_measure_the_same(network, batches, cut):
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    params = own(network)
    want = Gauge(network, batches, cross_entropy).measure(params)
    pieces = list(zip(x.split(cut), y.split(cut), strict=True))
    assert Gauge(network, pieces, cross_entropy).measure(params) == pytest.approx(want, rel=1e-12)


def test_measuring_leaves_the_network_alone(build, batches):
    net = build("hybrid")
    before = copy.deepcopy(net.state_dict())
    moved = {n: p + 1 for n, p in own(net).items()}
    for how in (("eval", 0), ("batch", 0), ("eval", 5)):
        Gauge(net, batches, cross_entropy, *how).measure(moved)
        after = net.state_dict()
        assert all(torch.equal(after[n], before[n]) for n in before)
        assert all(m.momentum == 0.1 for m in net.modules() if hasattr(m, "momentum"))
