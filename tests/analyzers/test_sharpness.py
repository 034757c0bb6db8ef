"""Averages, worst cases, radii of flatness in closed form; what a change of scale moves."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.analyzers._ascent import climb
from landscape.analyzers._rescaled import rescaled
from landscape.analyzers._sharpness import flatness
from landscape.subject.objective import Objective

SMALL = {"radii": (0.1, 0.5), "directions": 2, "m": 3, "steps": 3}


def squared(outputs, targets):
    return 0.5 * (outputs[:, 0] - targets) ** 2


def quadratic(size=5, examples=12, seed=0):
    """Least squares at its exact minimum, its batches, and the eigenvalues of ``X'X / n``."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, size, generator=generator, dtype=torch.float64)
    x = x * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1], dtype=torch.float64)[:size]
    net = nn.Linear(size, 1, bias=False).double()
    targets = net(x).detach()[:, 0]
    hessian = x.T @ x / examples
    return net, [(x[:7], targets[:7]), (x[7:], targets[7:])], hessian


def by(found, name, **where):
    return found[name].sel(**where).item()


def test_the_average_is_the_trace():
    net, batches, hessian = quadratic()
    found = landscape.sharpness(
        net, batches, loss=squared, ball=1.0, radii=(0.5, 2.0), directions=300, m=12, steps=1
    )
    weights = net.weight.detach()[0]
    spread = {
        "ball": hessian.trace() / 5,
        "adaptive": (weights**2 * hessian.diagonal()).sum(),
        # one filter: uniform on the sphere of its norm
        "filter": hessian.trace() / 5 * (weights**2).sum(),
    }
    for kind, each in spread.items():
        for radius in (0.5, 2.0):
            value = by(found, "increase", geometry=kind, radius=radius)
            error = by(found, "increase_se", geometry=kind, radius=radius)
            true = 0.5 * radius**2 * each.item()
            assert 0 < error < 0.1 * true
            assert abs(value - true) < 3 * error
    # Gaussian: the variance of eps'H eps / 2 is |Sigma^1/2 H Sigma^1/2|^2 / 2
    exact = (0.5 * (hessian / 5).square().sum().item()) ** 0.5 * 4 / 300**0.5
    told = by(found, "increase_se", geometry="ball", radius=2.0)
    assert told == pytest.approx(exact, rel=0.25)
    assert np.isnan(found["drop"]).all() or (found["drop"] == 0).all()  # one output, no classes


@pytest.mark.parametrize("batchnorm", ["frozen", "batch"])
def test_every_direction_has_its_brute_force(network, batches, batchnorm):
    """Written out with deep copies and a plain loop."""
    from landscape.analyzers._sharpness import Probe, drawn

    found = landscape.sharpness(network, batches, **SMALL, batchnorm=batchnorm)
    own = Objective(network, batches).parameters()
    length = sum((p**2).sum() for p in own.values()).item() ** 0.5
    probe = Probe(None, 2, length, 3, 3, (0.05, 0.5), 0)
    y = torch.cat([targets for _, targets in batches])

    def measure(net):
        twin = copy.deepcopy(net).train(batchnorm == "batch")
        with torch.no_grad():
            outputs = torch.cat([twin(x) for x, _ in batches])
        right = (outputs.argmax(1) == y).double().mean().item()
        return nn.functional.cross_entropy(outputs, y).item(), right

    nll, accuracy = measure(network)
    assert by(found, "nll") == pytest.approx(nll, rel=1e-12)
    for row, kind in enumerate(("ball", "filter", "adaptive")):
        rises, drops = [], []
        for index in range(2):
            twin = copy.deepcopy(network)
            with torch.no_grad():
                for name, p in twin.named_parameters():
                    p.add_(0.5 * drawn(network, own, probe, index)[row][name])
            there = measure(twin)
            rises.append(there[0] - nll)
            drops.append(accuracy - there[1])
        at = {"geometry": kind, "radius": 0.5}
        assert by(found, "increase", **at) == pytest.approx(np.mean(rises), rel=1e-9, abs=1e-12)
        assert by(found, "increase_se", **at) == pytest.approx(
            np.std(rises, ddof=1) / 2**0.5, rel=1e-9, abs=1e-12
        )
        assert by(found, "drop", **at) == pytest.approx(np.mean(drops), abs=1e-12)


def test_distances_are_the_lengths_of_the_steps(network, batches):
    found = landscape.sharpness(network, batches, **(SMALL | {"directions": 40}), ball=2.0)
    assert found["distance"].sel(geometry="ball").values == pytest.approx([0.2, 1.0])
    from landscape.analyzers._sharpness import Probe, drawn

    own = Objective(network, batches).parameters()
    probe = Probe(None, 40, 2.0, 3, 3, (0.05, 0.5), 0)
    steps = [drawn(network, own, probe, i) for i in range(40)]
    for row, kind in enumerate(found["geometry"].values):
        squares = [sum((d**2).sum().item() for d in each[row].values()) for each in steps]
        told = by(found, "distance", geometry=kind, radius=0.5) * 2
        error = 3 * np.std(squares) / 40**0.5 + 1e-9 * told
        assert abs(np.mean(squares) - told**2) <= error


@pytest.mark.parametrize("radius", [0.1, 3.0])
def test_the_worst_case_of_a_quadratic_is_the_largest_eigenvalue(radius):
    net, batches, hessian = quadratic()
    found = landscape.sharpness(
        net, batches, loss=squared, rho=(radius, radius), m=12, steps=30, directions=1, radii=(1.0,)
    )
    scale = net.weight.detach()[0].abs()
    for norm, matrix in (("ball", hessian), ("adaptive", scale[:, None] * hessian * scale)):
        true = radius**2 * torch.linalg.eigvalsh(matrix)[-1].item() / 2
        worst = by(found, "worst", norm=norm)
        assert 0.99 * true <= worst <= true * (1 + 1e-9)
        assert by(found, "first", norm=norm) <= worst
        assert np.isnan(by(found, "worst_se", norm=norm))  # a single group
    assert found["groups"].item() == 1


def test_too_few_steps_fall_short():
    """The null of the test above: it can fail."""
    net, batches, hessian = quadratic()
    found = landscape.sharpness(net, batches, loss=squared, m=12, steps=1, directions=1)
    true = 0.05**2 * torch.linalg.eigvalsh(hessian)[-1].item() / 2
    assert 0 <= by(found, "first", norm="ball") < 0.99 * true


def test_a_downward_curvature_is_not_taken_for_the_worst():
    class Saddle(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1, 3, dtype=torch.float64))

        def forward(self, x):
            return (self.weight**2 * torch.tensor([1.0, 0.4, -5.0])).sum().expand(len(x), 1)

    data = [(torch.ones(2, 1, dtype=torch.float64), torch.zeros(2))]
    risk = Objective(Saddle(), data, lambda o, t: o[:, 0])
    found = climb(risk, torch.ones(3), 2.0, 60, seed=0)
    assert found[-1] == pytest.approx(4.0, rel=0.01)
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("batchnorm", ["frozen", "batch"])
def test_the_first_step_is_that_of_sam(network, batches, batchnorm):
    found = landscape.sharpness(network, batches, **SMALL, batchnorm=batchnorm)
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    for norm, rho in (("ball", 0.05), ("adaptive", 0.5)):
        rises = []
        for group in (slice(0, 3), slice(3, 6)):  # the seventh example fills no group
            twin = copy.deepcopy(network).train(batchnorm == "batch")
            before = nn.functional.cross_entropy(twin(x[group]), y[group])
            before.backward()
            sizes = [p.detach().abs() if norm == "adaptive" else 1.0 for p in twin.parameters()]
            slopes = [s * p.grad for s, p in zip(sizes, twin.parameters(), strict=True)]
            total = sum((s**2).sum() for s in slopes) ** 0.5
            with torch.no_grad():
                for p, size, slope in zip(twin.parameters(), sizes, slopes, strict=True):
                    p.add_(rho * size * slope / total)
                after = nn.functional.cross_entropy(twin(x[group]), y[group])
            rises.append(max(0.0, (after - before).item()))
        assert by(found, "first", norm=norm) == pytest.approx(np.mean(rises), rel=1e-8)
        assert by(found, "first_se", norm=norm) == pytest.approx(abs(rises[0] - rises[1]) / 2)
    assert found["groups"].item() == 2


def test_the_worst_is_worse_than_the_average(network, batches):
    """At the same distance, of the same examples, all in one group."""
    found = landscape.sharpness(
        network, batches, radii=(0.05,), ball=1.0, directions=10, m=7, steps=5
    )
    assert by(found, "worst", norm="ball") > found["increase"].sel(geometry="ball").item()
    assert by(found, "reach", norm="ball") == 0.05


def test_flatness_is_where_the_parabola_meets_the_threshold():
    net, batches, _ = quadratic()
    found = landscape.sharpness(
        net, batches, loss=squared, ball=1.0, radii=(0.1, 1.0, 4.0), directions=50, m=12, rise=0.3
    )
    mean = by(found, "increase", geometry="ball", radius=1.0)
    assert by(found, "flat_nll", geometry="ball") == pytest.approx((0.3 / mean) ** 0.5, rel=1e-9)
    # to first order the error of 1 / sqrt(mean)
    error = 0.5 * (0.3 / mean**3) ** 0.5 * by(found, "increase_se", geometry="ball", radius=1.0)
    assert by(found, "flat_nll_se", geometry="ball") == pytest.approx(error, rel=0.1)
    assert np.isnan(found["flat_accuracy"]).all()


def test_flatness_that_is_not_reached_or_not_finite():
    assert np.isnan(flatness((1.0, 2.0), np.array([[1.0, 2.0]]), 3.0)[0])
    assert flatness((1.0, 2.0), np.array([[1.0, np.inf], [1.0, np.inf]]), 3.0)[0] == 1.0
    assert flatness((1.0, 2.0, 3.0), np.array([[2.0, 0.0, 9.0]]), 1.0)[0] == 0.5**0.5  # the first


@pytest.mark.parametrize("kind", ["conv", "msa", "hybrid"])
def test_what_a_change_of_scale_moves(kind, build, batches):
    found = landscape.sharpness(build(kind), batches, **(SMALL | {"m": 7}))
    assert found["rescaled"] > 0
    assert found["changed"] < 1e-10
    moved = found["moved"].to_series()
    for name in ("average, filter", "average, adaptive", "worst, adaptive"):
        assert moved[name] == pytest.approx(1, abs=1e-6)
    for name in ("average, ball", "worst, ball"):
        assert abs(moved[name] - 1) > 0.02


def test_the_statistics_of_the_batch_follow_a_change_of_scale(build, batches):
    """But for eps."""
    found = landscape.sharpness(build("conv"), batches, **(SMALL | {"m": 7}), batchnorm="batch")
    assert found["rescaled"] > 0
    assert found["changed"] < 1e-3
    moved = found["moved"].to_series()
    for name in ("average, filter", "average, adaptive", "worst, adaptive"):
        assert moved[name] == pytest.approx(1, abs=0.01)
    for name in ("average, ball", "worst, ball"):
        assert abs(moved[name] - 1) > 0.02


def test_one_filter_before_a_normalisation(build, batches):
    """Scaled by hand. The ball sees it; its own norm as measure does not."""
    net, twin = build("conv"), build("conv")
    conv, norm, _ = twin.stem
    with torch.no_grad():
        conv.weight[1] *= 7
        norm.running_mean[1] *= 7
        norm.running_var[1] = 49 * (norm.running_var[1] + norm.eps) - norm.eps
    settings = SMALL | {"ball": 2.0, "m": 7}
    one, two = (landscape.sharpness(each, batches, **settings) for each in (net, twin))
    assert one.nll.item() == pytest.approx(two.nll.item(), rel=1e-12)
    for kind in ("filter", "adaptive"):
        rises = [each.increase.sel(geometry=kind).values for each in (one, two)]
        assert rises[0] == pytest.approx(rises[1], rel=1e-8)
    rises = [each.increase.sel(geometry="ball").values for each in (one, two)]
    assert (np.abs(rises[0] / rises[1] - 1) > 1e-3).all()


@pytest.mark.parametrize("kind", ["msa", "conv", "hybrid"])
def test_the_twin_is_the_same_function_with_other_weights(kind, build, batches):
    net = build(kind)
    before = copy.deepcopy(net.state_dict())
    twin, layers, change = rescaled(net, batches[0][0], 3.0)
    for x, _ in batches:
        assert torch.allclose(twin(x), net(x), rtol=1e-9, atol=1e-11)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    other = [n for n, p in twin.named_parameters() if not torch.equal(p, net.get_parameter(n))]
    assert len(other) >= layers > 0
    assert change < 1e-9


def test_a_network_without_scale_has_no_factor(build, batches):
    found = landscape.sharpness(build("plain"), batches, **SMALL)
    assert found["rescaled"] == 0
    assert np.isnan(found["moved"]).all()


def test_what_changes_the_function_is_undone(batches):
    """Queries that are not where they are looked for, and keys that are normalised."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.head = nn.Linear(192, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.qkv(x.flatten(1)).tanh())

    net = Mixed().double()
    twin, layers, change = rescaled(net, batches[0][0], 4.0)
    assert (layers, change) == (0, 0.0)
    assert all(torch.equal(p, net.get_parameter(n)) for n, p in twin.named_parameters())


@pytest.mark.parametrize(
    "layer",
    [
        nn.MultiheadAttention(4, 2, batch_first=True),
        nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ],
)
def test_torchs_own_attention_is_rescaled(layer):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = copy.deepcopy(layer)

        def forward(self, x):
            own = isinstance(self.attention, nn.MultiheadAttention)
            return self.attention(x, x, x)[0] if own else self.attention(x)

    net = Net().double().eval()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    twin, layers, _ = rescaled(net, x, 4.0)
    assert layers == 1
    assert torch.allclose(twin(x), net(x), rtol=1e-10)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"radii": ()}, r"radii must be positive and rise, got \(\)"),
        ({"radii": (0.5, 0.1)}, "radii must be positive and rise"),
        ({"radii": (0.1, np.inf)}, "radii must be positive and rise"),
        ({"directions": 0}, "directions must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"m": 8}, "m must be between 1 and 7, the number of examples, got 8"),
        ({"ball": 0.0}, r"ball must be a positive number, got 0\.0"),
        ({"rise": -1.0}, "rise must be a positive number"),
        ({"rescale": float("nan")}, "rescale must be a positive number, got nan"),
        ({"rho": (0.05, -1.0)}, r"rho must be a positive number, got -1\.0"),
        ({"batchnorm": "recal:4"}, "not 'recal:4': ascent has no gradient through statistics"),
        ({"batchnorm": "eval"}, "batchnorm is frozen, batch or recal:M .* not 'eval'"),
        ({"rho": (0.05,)}, r"rho is two radii, Euclidean and adaptive, not \(0\.05,\)"),
    ],
)
def test_bad_settings(settings, told, build, batches):
    with pytest.raises(ValueError, match=told):
        landscape.sharpness(build("conv"), batches, **(SMALL | settings))
