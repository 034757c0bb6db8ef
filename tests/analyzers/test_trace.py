"""Trace and norm equal the dense Hessian's within their errors; PyHessian says the same."""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import landscape
from landscape.analyzers._pyhessian import eigenvalues, traces
from landscape.subject.loss import cross_entropy

FAMILIES = ["conv", "msa", "plain"]
PEER = {"method": "hutchinson", "engine": "pyhessian"}


@pytest.fixture
def dense(matrix_of, build, batches):
    """All eigenvalues of the dense Hessian."""

    def find(name, loss=cross_entropy):
        own = {} if loss is cross_entropy else {"each": loss}
        return torch.linalg.eigvalsh(matrix_of(build(name), batches, **own)).numpy()

    return find


class Diagonal(nn.Module):
    """With the loss `half`, the Hessian is the mean over examples of ``diag(d x^2)``."""

    def __init__(self, n):
        super().__init__()
        self.w = nn.Parameter(torch.linspace(-0.5, 0.5, n, dtype=torch.float64))

    def forward(self, x):
        return self.w * x


def diagonal(d, examples=4):
    d = torch.tensor(d, dtype=torch.float64)
    x = torch.linspace(0.5, 2, examples, dtype=torch.float64)[:, None].expand(-1, len(d))

    def half(outputs, targets):
        return (0.5 * d * outputs**2).sum(1)

    return Diagonal(len(d)), [(x, torch.zeros(examples))], half, d * x[:, 0].square().mean()


def squared(outputs, targets):
    return (outputs - nn.functional.one_hot(targets, 3)).square().sum(1)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", ["xtrace", "hutchpp", "hutchinson"])
def test_trace_and_norm_are_those_of_the_dense_hessian(build, batches, dense, name, method):
    values = dense(name)
    found = landscape.trace(build(name), batches, method=method, products=30)
    assert int(found.size) == len(values)
    assert int(found.products) == 30
    assert int(found.samples) == {"xtrace": 15, "hutchpp": 10, "hutchinson": 30}[method]
    for quantity, power in (("trace", 1), ("frobenius", 2)):
        error = float(found[f"{quantity}_se"])
        assert abs(float(found[quantity]) - (values**power).sum()) < 4 * error
        # of Hutchinson's method, and the others are no worse here: sqrt(2 / 30) |H^power|
        assert 0 < error < 2 * (2 / 30 * (values ** (2 * power)).sum()) ** 0.5


def test_the_interval_is_students(network, batches):
    found = landscape.trace(network, batches, products=12)
    for name in ("trace", "frobenius"):
        value, error = float(found[name]), float(found[f"{name}_se"])
        low, high = stats.t.interval(0.95, 3, loc=value, scale=error)
        assert float(found[f"{name}_low"]) == pytest.approx(low)
        assert float(found[f"{name}_high"]) == pytest.approx(high)


def test_signs_are_exact_for_a_diagonal_hessian_and_one_has_no_error():
    net, batches, loss, true = diagonal([3.0, -1.0, 0.5, -8.0])
    settings = {"loss": loss, "method": "hutchinson"}
    found = landscape.trace(net, batches, products=3, **settings)
    assert float(found.trace) == pytest.approx(float(true.sum()), rel=1e-12)
    assert float(found.frobenius) == pytest.approx(float(true.square().sum()), rel=1e-12)
    assert float(found.trace_se) < 1e-12
    alone = landscape.trace(net, batches, products=1, **settings)
    assert float(alone.trace) == pytest.approx(float(true.sum()), rel=1e-12)
    assert all(np.isnan(alone[f"trace_{end}"]) for end in ("se", "low", "high"))


def test_no_curvature_has_no_trace(batches):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double()
    found = landscape.trace(net, batches, loss=lambda o, t: o.sum(1), products=6)
    assert float(found.trace) == float(found.frobenius) == float(found.trace_se) == 0


def test_weight_decay_adds_its_coefficient_for_each_parameter(network, batches):
    settings = {"method": "hutchinson", "products": 4}
    plain = landscape.trace(network, batches, **settings)
    decayed = landscape.trace(network, batches, weight_decay=0.5, **settings)
    n, before = int(plain.size), float(plain.trace)
    assert float(decayed.trace) == pytest.approx(before + 0.5 * n, rel=1e-10)
    norm = float(plain.frobenius) + before + 0.25 * n  # |H|^2 + 2 c tr H + c^2 n
    assert float(decayed.frobenius) == pytest.approx(norm, rel=1e-10)


def test_gauss_newton_and_residual_add_up_to_the_hessian(network, batches):
    parts = [
        float(landscape.trace(network, batches, matrix=m, method="hutchinson", products=4).trace)
        for m in ("ggn", "residual", "hessian")
    ]
    assert parts[0] + parts[1] == pytest.approx(parts[2], rel=1e-9)
    assert parts[0] > 0


def test_parameters_are_chosen_by_name_and_statistics_by_policy(build, batches, matrix_of):
    net = build("conv")
    name, chosen = list(net.named_parameters())[-1]
    part = landscape.trace(net, batches, parameters=f"^{name}$", method="xtrace")
    values = torch.linalg.eigvalsh(matrix_of(net, batches, names=(name,))).numpy()
    assert int(part.size) == chosen.numel() == 3
    assert float(part.trace) == pytest.approx(values.sum(), rel=1e-9)
    assert float(part.frobenius) == pytest.approx((values**2).sum(), rel=1e-9)
    few = {"method": "hutchinson", "products": 20}  # the same vectors
    running = landscape.trace(net, batches, **few)
    moved = landscape.trace(net, batches, batchnorm="batch", **few)
    assert abs(float(moved.trace - running.trace)) > 0.1 * float(running.trace)


def test_a_tolerance_is_met_or_given_up(build, batches):
    net = build("msa")
    found = landscape.trace(net, batches, method="hutchinson", products=10, tol=0.2)
    assert bool(found.converged)
    assert float(found.trace_se) <= 0.2 * abs(float(found.trace))
    assert 10 < int(found.products) == int(found.samples) < 1000
    net, batches, _, _ = diagonal([1.0, -1.0])

    def twisted(outputs, targets):  # eigenvalues 1 and -1 off the axes: a trace of 0 with an error
        return outputs[:, 0] * outputs[:, 1]

    hard = {"method": "hutchinson", "products": 10, "tol": 0.1}
    gone = landscape.trace(net, batches, loss=twisted, **hard)
    assert not bool(gone.converged)
    assert int(gone.products) == 1000


def test_progress_counts_products(build, batches):
    seen = []

    def watch(items, total, label):
        for item in items:
            seen.append((item, total, label))
            yield item

    landscape.trace(build("conv"), batches, products=8, progress=watch)
    assert seen == [(i, 8, "trace") for i in range(8)]


def test_the_selfcheck_is_stamped(network, batches):
    errors = json.loads(landscape.trace(network, batches, products=6).attrs["selfcheck"])
    assert errors["symmetry"] < 1e-10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "exact"}, "method is one of hutchpp, xtrace, hutchinson, not 'exact'"),
        ({"engine": "jax"}, "engine is one of landscape, pyhessian, not 'jax'"),
        ({"tol": 0.1}, r"tol=0\.1 is for method='hutchinson' only, not 'hutchpp'"),
        ({"tol": 0.0, "method": "hutchinson"}, "tol must be positive, got 0"),
        ({"products": 0, "method": "hutchinson"}, "products must be at least 1, got 0"),
        ({"products": 5}, "products / 3 must be at least 2, got 1"),
        ({"engine": "pyhessian"}, "engine='pyhessian' is for method='hutchinson' only"),
        (PEER | {"weight_decay": 0.1}, r"no weight_decay, so weight_decay=0\.1 needs engine"),
        (PEER | {"matrix": "ggn"}, "PyHessian has no matrix"),
        (PEER | {"parameters": "head"}, "PyHessian has no parameters"),
        (PEER | {"batchnorm": "batch"}, "PyHessian has no batchnorm"),
    ],
)
def test_bad_settings_are_refused(build, batches, settings, words):
    with pytest.raises(ValueError, match=words):
        landscape.trace(build("msa"), batches, **settings)


@pytest.mark.parametrize(
    ("name", "loss", "dtype"),
    [
        *((name, cross_entropy, torch.float32) for name in FAMILIES),
        ("plain", squared, torch.float64),
    ],
)
def test_pyhessian_says_the_same(build, batches, dense, name, loss, dtype):
    values = dense(name, loss)
    net, cast = build(name).to(dtype), [(x.to(dtype), y) for x, y in batches]
    found = landscape.trace(net, cast, loss=loss, products=20, **PEER)
    assert int(found.products) == int(found.samples) == 20
    assert abs(float(found.trace) - values.sum()) < 4 * float(found.trace_se)
    assert float(found.trace_se) < 2 * (2 / 20 * (values**2).sum()) ** 0.5
    assert np.isnan(found.frobenius)
    again = landscape.trace(net, cast, loss=loss, products=20, **PEER)
    assert float(again.trace) == float(found.trace)


def test_pyhessian_weighs_examples_and_is_not_stopped_by_a_sign():
    """Its own rule divides by the mean without the magnitude, and ends at two values here."""
    net, batches, loss, true = diagonal([3.0, -1.0, 0.5, -8.0], examples=7)
    ((x, y),) = batches
    ragged = [(x[:5], y[:5]), (x[5:], y[5:])]
    found = landscape.trace(net, ragged, loss=loss, products=9, **PEER)
    assert int(found.samples) == 9
    assert float(found.trace) == pytest.approx(float(true.sum()), rel=1e-5)
    assert float(found.trace_low) == pytest.approx(float(found.trace_high), rel=1e-5)
    rows, products = traces(net, ragged, loss, 1e-3, 9, 0)
    assert len(rows) == products == 2
    alone = landscape.trace(net, ragged, loss=loss, products=1, **PEER)
    assert np.isnan(alone.trace_se)
    assert np.isnan(alone.trace_high)


@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_pyhessian_leaves_no_trace(network, batches, end):
    network.train()
    first, *_, last = network.parameters()
    first.grad = torch.ones_like(first)
    last.requires_grad_(False)

    def state():
        return (
            [
                (id(p.grad), None if p.grad is None else p.grad.tolist())
                for p in network.parameters()
            ],
            [m.training for m in network.modules()],
            torch.get_rng_state().tolist(),
            torch.backends.cuda.flash_sdp_enabled(),
        )

    def stop(items, total, label):
        yield from items
        if end is not None:
            raise end

    before = state()
    if end is None:
        landscape.trace(network, batches, products=2, **PEER)
    else:
        with pytest.raises(end):
            landscape.trace(network, batches, products=2, progress=stop, **PEER)
    assert state() == before


def test_pyhessian_is_not_asked_about_unused_parameters(batches):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Linear(192, 3), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x.flatten(1))

    net = Idle().double()
    with pytest.raises(ValueError, match=r"not used, as 'idle\.weight': freeze it"):
        landscape.trace(net, batches, **PEER)
    net.idle.requires_grad_(False)
    assert landscape.trace(net, batches, products=2, **PEER).samples == 2


def test_pyhessian_gives_eigenvalues_by_magnitude():
    net, batches, loss, true = diagonal([3.0, -1.0, 0.5, -8.0])
    values, products = eigenvalues(net, batches, loss, 3, 1e-7, 300, 0)
    assert torch.allclose(values, true[[3, 0, 1]], rtol=1e-4)
    assert 6 <= products <= 300
    few, spent = eigenvalues(net, batches, loss, 2, 1e-7, 8, 0)
    assert spent == 8
    assert len(few) == 2
