import copy
import json

import pytest
import torch
from torch import nn

import landscape
from landscape.numerics.chebyshev import derivatives, lobatto
from landscape.subject.filters import draw, layout
from landscape.subject.forward import trainable
from landscape.subject.objective import Objective
from landscape.subject.plane import Plane
from landscape.subject.slices import (
    checked,
    cosine,
    difference,
    orthogonalise,
    unflatten,
    weights,
)


def pair(net, **which):
    return [draw(trainable(net), layout(net), index=i, **which) for i in (0, 1)]


def shaken(net, seed=5):
    """Another network of the same make, statistics included."""
    other, noise = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    for value in other.state_dict().values():
        if value.is_floating_point():
            value.add_(torch.rand(value.shape, generator=noise, dtype=value.dtype))
    return other


def test_the_difference_leads_to_the_other_network(network, batches):
    other = shaken(network)
    origin = trainable(network)
    way = difference(origin, weights(network, other.state_dict()))
    assert list(way) == list(origin)
    plane = Plane(origin, (way,))
    for step, want in ((0.0, origin), (1.0, trainable(other))):
        got = plane.at([step])
        assert all(torch.allclose(got[n], want[n], rtol=1e-15, atol=1e-15) for n in origin)
    reached = copy.deepcopy(network)
    reached.load_state_dict(other.state_dict())  # buffers as they are there
    with torch.no_grad():
        for name, p in reached.named_parameters():
            p.copy_(plane.at([1.0])[name])
        x = batches[0][0]
        assert torch.allclose(reached(x), other(x), rtol=1e-12)
        assert not torch.allclose(network(x), other(x), rtol=1e-2)


def test_the_difference_of_single_precision_is_good_to_its_rounding():
    one, two = nn.Linear(300, 200), nn.Linear(300, 200)
    origin = trainable(one)
    way = difference(origin, weights(one, two.double().state_dict()))
    assert way["weight"].dtype == torch.float32
    gap = origin["weight"] + way["weight"] - two.weight.float()
    assert gap.abs().max() <= 2**-24 * origin["weight"].abs().max() * 2


def test_checkpoints_of_other_networks_are_refused():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    good = copy.deepcopy(net.state_dict())
    origin = trainable(net)
    with pytest.raises(ValueError, match=r"e.pt is of another network: it lacks '0\.bias'"):
        weights(net, {n: v for n, v in good.items() if n != "0.bias"}, "e.pt")
    with pytest.raises(ValueError, match="it has 'head', which this lacks"):
        weights(net, good | {"head": torch.ones(1)})
    with pytest.raises(ValueError, match=r"'0\.weight' of shape \(3, 9\) instead of \(3, 2\)"):
        weights(net, good | {"0.weight": torch.ones(3, 9)})
    with pytest.raises(ValueError, match=r"'0\.bias' that are NaN"):
        weights(net, good | {"0.bias": torch.full((3,), torch.nan)})
    with pytest.raises(ValueError, match="zero everywhere: there is nothing to move along"):
        difference(origin, weights(net, good))
    with pytest.raises(ValueError, match=r"the checkpoint lacks '1\.bias'"):
        difference(origin, {n: p for n, p in origin.items() if n != "1.bias"})


def test_frozen_parameters_must_agree():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    state = {n: v + 1 for n, v in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"differs in '0\.weight', which is frozen"):
        weights(net, state)
    same = state | {n: v for n, v in net.state_dict().items() if n.startswith("0")}
    assert list(weights(net, same)) == ["1.weight", "1.bias"]


def test_tied_weights_are_read_once_and_by_either_name():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    net[1].weight = net[0].weight
    state = {n: v + 1 for n, v in net.state_dict().items()}
    assert list(weights(net, state)) == ["0.weight"]
    assert torch.equal(weights(net, {"1.weight": state["1.weight"]})["0.weight"], state["0.weight"])
    with pytest.raises(
        ValueError, match=r"different values for '0\.weight', which this network ties"
    ):
        weights(net, state | {"1.weight": torch.zeros(5, 4)})


def test_the_checkpoint_is_copied():
    net = nn.Linear(2, 3)
    state = {n: v + 1 for n, v in net.state_dict().items()}
    held = weights(net, state)
    own = checked(trainable(net), held)
    for copied in (held, own):
        assert not {v.data_ptr() for v in copied.values()} & {v.data_ptr() for v in state.values()}
    assert not {v.data_ptr() for v in own.values()} & {v.data_ptr() for v in held.values()}


@pytest.mark.parametrize("kind", ["msa", "plain"])
def test_curvature_along_an_eigenvector_is_its_eigenvalue(kind, build, batches):
    net = build(kind)
    result = landscape.hessian(net, batches, k=2, vectors=True)
    risk = Objective(net, batches)
    origin = risk.parameters()
    listed = json.loads(result.attrs["weights"])
    found = unflatten(origin, result.set_vector.values, listed)
    best = result.set_eigenvalue.values
    best = best[abs(best).argsort()[::-1]][: len(found)]
    for direction, eigenvalue in zip(found, best, strict=True):
        image = risk.hvp(origin, direction)
        inner = sum((image[n] * d).sum().item() for n, d in direction.items())
        assert inner == pytest.approx(eigenvalue, rel=1e-3)
    turned = unflatten(origin, result.set_vector.values[:1], listed)[0]
    assert list(turned) == list(origin)
    few = [(n, s) for n, s in listed if n.endswith("head.weight") or n == "8.weight"]
    width = origin[few[0][0]].numel()
    part = unflatten(origin, torch.ones(1, width), few)[0]
    assert {n for n, d in part.items() if d.any()} == {few[0][0]}


@pytest.mark.parametrize("kind", ["msa", "plain"])
def test_the_hessian_of_an_interpolated_plane_is_that_of_the_network(kind, build, batches):
    net = build(kind)
    risk = Objective(net, batches)
    origin = risk.parameters()
    both = pair(net, seed=1)
    plane, nodes = Plane(origin, tuple(both)), lobatto(9, -0.02, 0.02)
    values = torch.tensor(
        [[risk.value(plane.at([a, b])).item() for b in nodes.tolist()] for a in nodes.tolist()],
        dtype=torch.float64,
    )
    value, slope, bend = derivatives(values, (nodes, nodes), (0.0, 0.0))
    assert value.item() == pytest.approx(risk.value(origin).item(), rel=1e-12)
    gradient = risk.gradient(origin)
    for i, d in enumerate(both):
        along = sum((gradient[n] * d[n]).sum().item() for n in d)
        assert slope[i].item() == pytest.approx(along, rel=1e-3, abs=1e-6)
        image = risk.hvp(origin, d)
        for j, other in enumerate(both):
            want = sum((image[n] * other[n]).sum().item() for n in d)
            assert bend[i, j].item() == pytest.approx(want, rel=0.01)


def test_flat_vectors_of_another_length_are_refused():
    origin = {"w": torch.ones(2, 2), "b": torch.ones(2)}
    with pytest.raises(ValueError, match=r"shape \(1, 5\) do not fit \(vectors, 6\)"):
        unflatten(origin, torch.ones(1, 5), [("w", (2, 2)), ("b", (2,))])
    with pytest.raises(ValueError, match="vector 0 moves 'c', which is no trainable parameter"):
        unflatten(origin, torch.ones(1, 6), [("w", (2, 2)), ("c", (2,))])
    with pytest.raises(ValueError, match=r"vector 0 has 'b' of shape \(1, 2\)"):
        unflatten(origin, torch.ones(2, 6), [("w", (2, 2)), ("b", (1, 2))])


@pytest.mark.parametrize(
    ("direction", "message"),
    [
        ({"v": torch.ones(2)}, "moves 'v', which is no trainable parameter; the first of 2 is 'w'"),
        ({"w": torch.ones(3)}, r"'w' of shape \(3,\) instead of \(2,\)"),
        ({"w": torch.tensor([1.0, torch.inf])}, "'w' that are NaN or infinite"),
        ({"w": torch.tensor([1.0, 1e60], dtype=torch.float64)}, "as torch.float32, has values"),
        ({"w": torch.zeros(2)}, "zero everywhere"),
        ({"w": torch.tensor([1e-60, 0.0], dtype=torch.float64)}, "zero everywhere"),
        ({}, "zero everywhere"),
    ],
)
def test_directions_of_ones_own_are_checked(direction, message):
    with pytest.raises(ValueError, match=message) as caught:
        checked({"w": torch.ones(2), "b": torch.ones(1)}, direction, "mine")
    assert str(caught.value).startswith("mine")
    assert "\n" not in str(caught.value)


def test_the_mirrored_direction_mirrors_the_points_bit_for_bit(network):
    origin = trainable(network)
    d, other = pair(network)
    mirrored = {n: -t for n, t in d.items()}
    for a in (0.1, 0.7, 1.0):
        want = {n: p.clone() for n, p in Plane(origin, (d, other)).at([-a, 0.3]).items()}
        got = Plane(origin, (mirrored, other)).at([a, 0.3])
        assert all(torch.equal(got[n], want[n]) for n in origin)


def test_orthogonalised_directions_are_at_right_angles_and_span_the_plane(network):
    first, second = pair(network)
    assert abs(cosine(first, second)) > 1e-4
    turned = orthogonalise(first, second)
    assert cosine(first, turned) == pytest.approx(0, abs=1e-14)
    size = lambda d: sum(t.square().sum() for t in d.values()).sqrt().item()  # noqa: E731
    assert size(turned) == pytest.approx(size(second), rel=1e-13)
    angle = cosine(first, second)
    sine, scale = (1 - angle**2) ** 0.5, size(second) / size(first)
    for n in first:
        back = sine * turned[n] + angle * scale * first[n]
        assert torch.allclose(back, second[n], atol=1e-13)
    with pytest.raises(ValueError, match="zero or parallel"):
        orthogonalise(first, {n: -3 * d for n, d in first.items()})
    with pytest.raises(ValueError, match="zero or parallel"):
        orthogonalise(first, {n: 0 * d for n, d in first.items()})


def test_the_cosine_of_directions(network):
    first, second = pair(network)
    assert cosine(first, first) == pytest.approx(1, rel=1e-14)
    assert cosine(first, {n: -2 * d for n, d in first.items()}) == pytest.approx(-1, rel=1e-14)
    assert abs(cosine(first, second)) < 0.4
    nothing = {n: 0 * d for n, d in first.items()}
    assert cosine(first, nothing) != cosine(first, nothing)
    assert cosine(first) != cosine(first)
