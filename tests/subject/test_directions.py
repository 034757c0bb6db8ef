"""Public sources of directions, and the surface along them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.subject.filters import draw, layout
from landscape.subject.forward import trainable
from landscape.subject.objective import Objective
from landscape.subject.plane import Plane
from landscape.subject.slices import cosine


def shaken(net, seed=5, size=0.2):
    """Another network of the same make, at the same statistics."""
    other, noise = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(size * torch.randn(p.shape, generator=noise, dtype=p.dtype))
    return other


def risk(net, batches):
    objective = Objective(net.eval(), batches)
    return objective.value(objective.parameters()).item()


def moves(net, scheme="filter", ignore=None, index=0):
    return draw(trainable(net), layout(net, scheme, ignore), index=index)


def test_step_1_is_the_other_network(network, batches):
    others = [shaken(network), shaken(network, 6)]
    given = landscape.towards(network, others[0], others[1].state_dict())
    plane = landscape.surface(network, batches, directions=given, points=3, span=1.0)
    assert plane.nll.sel(alpha=0.0, beta=0.0).item() == pytest.approx(risk(network, batches))
    for step, other in (((1.0, 0.0), others[0]), ((0.0, 1.0), others[1])):
        got = plane.nll.sel(alpha=step[0], beta=step[1]).item()
        assert got == pytest.approx(risk(other, batches), rel=1e-12)
    assert plane.cosine.item() == pytest.approx(cosine(*given), rel=1e-12)


def test_statistics_of_another_network_are_reached_by_recalibration_only(build, batches):
    net, every = build("conv"), torch.cat([x for x, _ in batches])
    other = shaken(net)
    for twin in (net, other):  # each with those of its own weights
        twin.train()
        for m in twin.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.momentum = 1.0
        twin(every)
        twin.eval()
    settings = {"directions": landscape.towards(net, other), "points": 2, "span": (0.0, 1.0)}
    anew = landscape.surface(net, batches, batchnorm="recal:7", **settings).nll[1].item()
    assert anew == pytest.approx(risk(other, batches), rel=1e-10)
    frozen = landscape.surface(net, batches, **settings).nll[1].item()
    assert abs(frozen - risk(other, batches)) > 1e-3


def test_another_network_is_refused_by_name():
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    state = net.state_dict()
    for bad, told in (
        ((), "towards what"),
        ((nn.Linear(2, 3),), "the checkpoint is of another network: it has 'bias'"),
        ((state | {"0.bias": torch.ones(4)},), r"'0\.bias' of shape \(4,\) instead of \(3,\)"),
        (
            (shaken(net), {n: v for n, v in state.items() if n != "1.bias"}),
            r"checkpoint 2 is of another network: it lacks '1\.bias'",
        ),
        ((net,), "the difference to the checkpoint is zero everywhere"),
        (("final.pt",), "must be a network or a state dict, not a str"),
        (({"model": state},), "a tensor for each name, but 'model' has a OrderedDict"),
    ):
        with pytest.raises(ValueError, match=told) as caught:
            landscape.towards(net, *bad)
        assert "\n" not in str(caught.value)


def test_the_slice_along_an_eigenvector_bends_by_its_eigenvalue(build, batches):
    net = build("msa")
    found = landscape.hessian(net, batches, k=2, vectors=True)
    given = landscape.eigenvectors(net, found)
    best = found.set_eigenvalue.values
    h = 1e-4  # the curvature itself varies over steps ten times as long
    plane = landscape.surface(net, batches, directions=given, points=3, span=h).nll.values
    for line, eigenvalue in ((plane[:, 1], best[0]), (plane[1], best[1])):
        bend = (line[0] - 2 * line[1] + line[2]) / h**2
        assert bend == pytest.approx(eigenvalue, rel=1e-3)
    assert abs(best[0]) > 1.1 * abs(best[1])  # so that the two cannot be mistaken
    assert cosine(*given) == pytest.approx(0, abs=1e-6)
    random = landscape.surface(net, batches, directions=[unit(moves(net))], points=3, span=h)
    line = random.nll.values
    assert abs((line[0] - 2 * line[1] + line[2]) / h**2) < 0.9 * abs(best[0])  # the null


def unit(direction):
    size = sum(d.square().sum() for d in direction.values()).sqrt()
    return {n: d / size for n, d in direction.items()}


def test_eigenvectors_in_some_parameters_leave_the_others_alone(build, batches):
    net = build("msa")
    found = landscape.hessian(net, batches, k=1, vectors=True, parameters="^head")
    (way,) = landscape.eigenvectors(net, found, 1)
    assert {n for n, d in way.items() if d.any()} == {"head.weight", "head.bias"}
    assert list(way) == list(trainable(net))
    size = sum(d.square().sum().item() for d in way.values())
    assert size == pytest.approx(1, rel=1e-6)


def test_results_without_eigenvectors_are_refused(build, batches):
    net = build("msa")
    bare = landscape.hessian(net, batches, k=1, tol=0.1)
    for wrong in (bare, None):
        with pytest.raises(ValueError, match=r"make it by hessian\(\.\.\., vectors=True\)"):
            landscape.eigenvectors(net, wrong)
    few = landscape.hessian(net, batches, k=1, tol=0.1, vectors=True)
    for count in (0, 2):
        with pytest.raises(ValueError, match=f"has 1 eigenvectors, so count is not {count}"):
            landscape.eigenvectors(net, few, count)
    with pytest.raises(ValueError, match="vector 0 moves"):
        landscape.eigenvectors(nn.Linear(2, 3), few, 1)
    short = landscape.hessian(net, batches, k=2, tol=1e-9, max_products=4, vectors=True)
    with pytest.raises(ValueError, match="eigenvector 1 has not converged: raise max_products"):
        landscape.eigenvectors(net, short)


def test_a_path_in_a_plane_is_sliced_through_its_checkpoints(network, batches):
    """Steps of the plane, put back on the surface, give each checkpoint's own loss."""
    origin = trainable(network)
    first, second = (moves(network, index=i) for i in (0, 1))
    path = []
    for a, b in ((0.9, 0.1), (0.5, 0.6), (0.2, 0.3), (0.0, 0.0)):
        path.append(copy.deepcopy(network))
        with torch.no_grad():
            for n, p in path[-1].named_parameters():
                p.copy_(origin[n] + a * first[n] + b * second[n])
    found = landscape.trajectory(network, [path[0], *(p.state_dict() for p in path[1:])])
    assert found.residuals.max() < 1e-12
    assert found.shares.sum().item() == pytest.approx(1, abs=1e-12)
    assert (found.coordinates[-1] == 0).all()
    plane = Plane(origin, tuple(found.directions))
    for twin, step in zip(path, found.coordinates.tolist(), strict=True):
        with torch.no_grad():
            at = Objective(network, batches).value(plane.at(step)).item()
        assert at == pytest.approx(risk(twin, batches), rel=1e-10)
    off = landscape.trajectory(network, [*path, shaken(network)])
    assert off.residuals.max() > 1e-3  # the null


def test_components_of_a_path_are_those_of_a_singular_value_decomposition(build):
    net = build("msa")
    path = [shaken(net, seed) for seed in range(6)]
    found = landscape.trajectory(net, path, 3)
    flat = lambda each: np.concatenate([p.numpy().ravel() for p in each.values()])  # noqa: E731
    table = np.stack([flat(trainable(p)) for p in path])
    _, sizes, rows = np.linalg.svd(table - table.mean(0), full_matrices=False)
    for direction, row in zip(found.directions, rows, strict=False):
        assert abs(flat(direction) @ row) == pytest.approx(1, abs=1e-10)
    assert found.shares.numpy() == pytest.approx((sizes**2 / (sizes**2).sum())[:3], rel=1e-10)
    with pytest.raises(ValueError, match="2 points span 1 directions, not 2"):
        landscape.trajectory(net, path[:2])
    with pytest.raises(ValueError, match="checkpoint 2 must be a network or a state dict"):
        landscape.trajectory(net, [net, 3])


@pytest.mark.parametrize("scheme", ["filter", "layer", "none", "paper"])
def test_the_surface_moves_along_the_scheme(scheme, network, batches):
    got = landscape.surface(network, batches, directions=scheme, points=2, span=0.1)
    pair = [moves(network, scheme, index=i) for i in (0, 1)]
    objective = Objective(network, batches)
    plane = Plane(trainable(network), tuple(pair))
    for i, a in enumerate(got.alpha.values):
        for j, b in enumerate(got.beta.values):
            want = objective.value(plane.at([a, b])).item()
            assert got.nll[i, j].item() == pytest.approx(want, rel=1e-10)
    units = {"filter": "filter norms", "layer": "layer norms", "paper": "column norms"}
    assert got.alpha.units == units.get(scheme, "1")


def test_what_is_ignored_stays_and_the_rest_moves_as_before(network, batches):
    head = next(n for n, part in reversed(layout(network).items()) if part)
    every, fewer = moves(network), moves(network, ignore=f"^{head}$")
    assert every[head].any()
    for name, d in fewer.items():
        assert torch.equal(d, 0 * d if name == head else every[name])
    got = landscape.surface(network, batches, dims=1, points=2, ignore=f"^{head}$")
    end = Plane(trainable(network), (fewer,)).at([1.0])
    want = Objective(network, batches).value(end).item()
    assert got.nll[1].item() == pytest.approx(want, rel=1e-10)
    whole = landscape.surface(network, batches, dims=1, points=2)
    assert not np.allclose(got.nll, whole.nll, rtol=1e-6)


def test_orthogonal_directions_have_cosine_0_and_their_norms(network, batches):
    oblique, square = (
        landscape.surface(network, batches, points=3, orthogonal=o) for o in (False, True)
    )
    assert abs(oblique.cosine) > 1e-4
    assert square.cosine.item() == pytest.approx(0, abs=1e-14)
    assert np.array_equal(oblique.nll.sel(beta=0.0), square.nll.sel(beta=0.0))  # the first stays
    assert not np.allclose(oblique.nll, square.nll, rtol=1e-6)
    given = [moves(network), {n: d + moves(network)[n] for n, d in moves(network, index=1).items()}]
    turned = landscape.surface(network, batches, points=1, directions=given, orthogonal=True)
    assert turned.cosine.item() == pytest.approx(0, abs=1e-14)


def test_a_direction_need_not_name_what_stays(network, batches):
    name = next(n for n, part in layout(network).items() if part)
    few = {name: moves(network)[name].float().requires_grad_()}
    full = {n: few[name].double() if n == name else 0 * p for n, p in trainable(network).items()}
    both = [
        landscape.surface(network, batches, directions=d, points=3).nll.values
        for d in ([few], [full])
    ]
    assert np.array_equal(*both)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"directions": []}, "one or two dicts of tensors by name, not 0 of them"),
        ({"directions": [{}] * 3}, "not 3 of dict"),
        ({"directions": ["filter", "layer"]}, "not 2 of str"),
        ({"directions": [{"weight": torch.ones(3)}]}, r"'weight' of shape \(3,\) instead of"),
        ({"directions": [{"w": torch.ones(3)}]}, "the direction moves 'w', which is no trainable"),
        ({"directions": [{"weight": torch.zeros(3, 2)}]}, "the direction is zero everywhere"),
        (
            {"directions": [{"bias": torch.ones(3)}, {"bias": torch.full((3,), torch.nan)}]},
            "direction 2 has values in 'bias' that are NaN",
        ),
        ({"directions": [{"bias": [1, 2, 3]}]}, "'bias' has a list"),
        ({"directions": [{"bias": torch.ones(3)}], "ignore": "bias"}, "for random directions"),
        ({"directions": [{"bias": torch.ones(3)}] * 2, "orthogonal": True}, "span no plane"),
        ({"orthogonal": True, "dims": 1}, "for the two directions of a plane"),
        ({"directions": "eigen"}, "directions are filter, layer, none, paper, not 'eigen'"),
        ({"ignore": "["}, r"ignore is no regular expression: '\['"),
        ({"ignore": "weight"}, "ignore='weight' leaves no parameter"),
        ({"ignore": "head"}, "ignore='head' matches no parameter"),
    ],
)
def test_bad_settings_are_one_line(settings, told):
    net = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=told) as caught:
        landscape.surface(net, [(torch.ones(4, 2), torch.tensor([0, 1, 2, 0]))], **settings)
    assert "\n" not in str(caught.value)


def test_one_mapping_is_one_direction():
    net, data = nn.Linear(2, 3), [(torch.ones(4, 2), torch.tensor([0, 1, 2, 0]))]
    way = {"bias": torch.tensor([1.0, 0.0, 0.0])}
    alone = landscape.surface(net, data, directions=way, points=3)
    assert alone.nll.dims == ("alpha",)
    assert alone.nll.equals(landscape.surface(net, data, directions=[way], points=3).nll)
