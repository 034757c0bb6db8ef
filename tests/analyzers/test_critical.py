"""Verdicts where the answer is known, and the numbers behind them against brute force."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.analyzers._critical import STEPS, Curvature, Lines, decide, ends, falls
from landscape.subject.objective import Objective, ravel, unravel

ONE = torch.ones(3, 1, dtype=torch.float64)
DATA = [(ONE, torch.zeros(3))]


class Function(nn.Module):
    """A function of a few weights, the same for every example."""

    def __init__(self, function, at, dtype=torch.float64):
        super().__init__()
        self.function = function
        self.w = nn.Parameter(torch.tensor(at, dtype=dtype))

    def forward(self, x):
        return self.function(*self.w).expand(len(x), 1)


def first(outputs, targets):
    return outputs[:, 0]


def ask(function, at, dtype=torch.float64, **settings):
    batches = [(ONE.to(dtype), DATA[0][1])]
    settings = {"probes": 0, "loss": first} | settings
    return landscape.critical(Function(function, at, dtype), batches, **settings)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", [(0.0, 0.0), (1.0, -2.0)])
@pytest.mark.parametrize(
    ("function", "verdict", "ends"),
    [
        (lambda x, y: x**2 + y**2, "minimum", (2, 2)),
        (lambda x, y: x**2 - 3 * y**2, "saddle", (2, -6)),
        (lambda x, y: x**3 - 3 * x * y**2, "saddle", (0, 0)),  # monkey: the Hessian vanishes
        (lambda x, y: -(x**2) - 2 * y**2, "maximum", (-2, -4)),
        (lambda x, y: x + 0 * y, "not a critical point", (0, 0)),
        (lambda x, y: 0 * x * y, "undecided", (0, 0)),
        (lambda x, y: x**2 + 0 * y, "minimum", (2, 0)),
        (lambda x, y: -(x**2) + 0 * y, "saddle", (0, -2)),
        (lambda x, y: x**2 - x**4 + 2 * y**2, "minimum", (4, 2)),  # lower behind a barrier
    ],
)
def test_closed_forms(function, verdict, ends, at, dtype):
    a, b = at
    found = ask(lambda x, y: function(x - a, y - b) + 1, at, dtype)
    assert found.verdict == verdict, found.reason
    assert np.allclose(found.eigenvalue, ends, atol=1e-5)
    assert (found.residual <= 1e-5).all()


def test_one_weight_and_a_risk_of_zero_or_below():
    for offset in (0, -5):
        found = ask(lambda x, o=offset: (x - 1) ** 2 + o, (1.0,))
        assert found.verdict == "minimum", found.reason
        assert float(found.risk) == offset
    assert ask(lambda x: x - 5, (1.0,)).verdict == "not a critical point"
    assert np.isnan(ask(lambda x: x**2, (0.0,)).relative_gradient)
    assert np.isinf(ask(lambda x: x - 1, (1.0,)).relative_gradient)


def test_the_tolerance_is_of_the_risk():
    """From a distance d of ``1 + d^2`` the slope gains d^2: the best of the steps four a decade."""
    for distance, verdict in ((0.02, "minimum"), (0.05, "not a critical point")):
        found = ask(lambda x, y: (x - 1) ** 2 + y**2 + 1, (1 + distance, 0.0))
        assert found.verdict == verdict, found.reason
        best = float(found.decrease.sel(side="-g"))
        assert 0.9 * distance**2 < best <= distance**2
        assert float(found.descent.sel(side="-g")) == pytest.approx(best)
        assert float(found.escape.max()) == 0  # a convex function never falls faster
    assert ask(lambda x, y: (x - 1) ** 2 + y**2 + 1, (1.05, 0.0), tol=0.01).verdict == "minimum"


def test_a_point_missed_by_a_hair_is_still_one():
    found = ask(lambda x, y: (x - 1) ** 2 - (y - 1) ** 2 + 1, (1 + 1e-6, 1 + 1e-6))
    assert found.gradient_norm > 1e-6
    assert found.verdict == "saddle", found.reason
    assert found.slope.sel(side="-g") < 0
    found = ask(lambda x, y: -((x - 1) ** 2) - 2 * (y - 1) ** 2 + 1, (1 + 1e-6, 1 + 1e-6))
    assert found.verdict == "maximum", found.reason


def test_a_saddle_that_no_line_leaves_is_not_called_a_minimum():
    found = ask(lambda x, y: x**4 - y**4 + 1, (0.0, 0.0), seed=1)
    assert found.verdict in ("undecided", "saddle")  # the random line decides, never wrongly
    found = ask(lambda x, y: x**4 + y**4 + 1, (0.0, 0.0))
    assert found.verdict == "undecided"
    assert "the Hessian vanishes" in found.reason


def convex():
    """Softmax regression on noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (40,), generator=generator)
    net = nn.Linear(5, 3).double()
    for p in net.parameters():
        nn.init.zeros_(p)
    return net, [(x[:25], y[:25]), (x[25:], y[25:])]


def descend(net, batches, decay):
    """To the minimum of the regularised loss, as far as float64 goes."""
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    params = list(net.parameters())
    optimiser = torch.optim.LBFGS(
        params,
        max_iter=500,
        tolerance_grad=1e-13,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        penalty = sum((p**2).sum() for p in params)
        value = nn.functional.cross_entropy(net(x), y) + decay / 2 * penalty
        value.backward()
        return value

    optimiser.step(closure)


def test_a_trained_network_is_at_a_minimum_and_was_not_before():
    net, batches = convex()
    assert landscape.critical(net, batches, weight_decay=0.05).verdict == "not a critical point"
    descend(net, batches, 0.05)
    found = landscape.critical(net, batches, weight_decay=0.05)
    assert found.verdict == "minimum", found.reason
    assert found.relative_gradient < 1e-7
    assert float(found.eigenvalue.sel(end="smallest")) == pytest.approx(0.05, abs=1e-4)
    assert float(found.negative_mass) == 0
    assert float(found.negative_mass_se) == 0
    elsewhere = landscape.critical(net, batches, weight_decay=0.5)  # the minimum of another loss
    assert elsewhere.verdict == "not a critical point"


def test_a_linear_network_of_two_layers_has_a_strict_saddle_at_zero():
    """Its Hessian pairs the layers by the gradient G of the product: eigenvalues +-sigma(G)."""
    _, batches = convex()
    net = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Linear(4, 3, bias=False)).double()
    for p in net.parameters():
        nn.init.zeros_(p)
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    slope = (nn.functional.one_hot(y, 3).double() - 1 / 3).T @ x / len(x)
    sigma = float(torch.linalg.matrix_norm(slope, 2))
    found = landscape.critical(net, batches)
    assert found.verdict == "saddle", found.reason
    assert float(found.gradient_norm) == 0
    assert not found.change.sel(side="-g").any()
    assert np.allclose(found.eigenvalue, [sigma, -sigma], rtol=1e-5)
    assert abs(float(found.negative_mass) - 0.5) < 4 * float(found.negative_mass_se) + 1e-9
    assert (found.escape.sel(side=["+v", "-v"]) > 0).all()


def test_ends_of_the_spectrum_are_those_of_the_dense_hessian(network, batches, matrix_of):
    names = tuple(name for name, _ in network.named_parameters())[::3]
    values = torch.linalg.eigvalsh(matrix_of(network, batches, names=names)).numpy()
    found = landscape.critical(network, batches, parameters=f"^({'|'.join(names)})$")
    assert found.converged.all()
    scale = np.abs(values).max()
    for end, true in (("largest", values[-1]), ("smallest", values[0])):
        row = found.sel(end=end)
        assert abs(float(row.eigenvalue) - true) <= float(row.error) + 1e-9 * scale
        assert np.abs(values - float(row.eigenvalue)).min() <= float(row.residual) + 1e-9 * scale
        assert float(row.residual) < 1e-4 * scale
    assert values[0] - 1e-9 <= float(found.eigenvalue[1])
    assert float(found.eigenvalue[0]) <= values[-1] + 1e-9
    share = -values[values < 0].sum() / np.abs(values).sum()
    assert abs(float(found.negative_mass) - share) < 4 * float(found.negative_mass_se)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("low", [0.0, -0.1])
def test_a_bulk_at_zero_converges_and_hides_no_lone_negative(low, seed):
    """A Lanczos tolerance relative to a value near zero would never be met."""
    generator = torch.Generator().manual_seed(seed)
    bulk = 2 * torch.rand(5000, generator=generator) ** 8
    spectrum = torch.cat([torch.linspace(5, 50, 9), bulk, torch.tensor([low])])
    found, axis = ends(lambda v: spectrum * v, torch.empty_like(spectrum), 1e-3, 200, seed)
    assert found.converged.all()
    assert found.products < 100
    assert found.values == pytest.approx([50, low], abs=1e-3)
    if low:
        assert abs(float(axis[-1])) > 0.99


def test_changes_are_those_of_the_loss_at_moved_weights(network, batches):
    found = landscape.critical(network, batches, probes=0, weight_decay=0.1)
    risk = Objective(network, batches, weight_decay=0.1)
    params = risk.parameters()
    origin, gradient = ravel(params), ravel(risk.gradient(params))
    here = risk.value(params)
    assert float(found.risk) == pytest.approx(float(here), rel=1e-12)
    assert float(found.gradient_norm) == pytest.approx(float(gradient.norm()), rel=1e-9)
    assert float(found.slope.sel(side="-g")) == pytest.approx(-float(gradient.norm()), rel=1e-9)
    for step in STEPS[::5]:
        moved = origin - step * origin.norm() * gradient / gradient.norm()
        true = float(risk.value(unravel(moved, params)) - here)
        change = found.change.sel(side="-g", step=step)
        noise = found.noise.sel(side="-g", step=step)
        assert abs(float(change) - true) <= float(noise) + 1e-9 * abs(true)


def test_noise_is_of_the_size_of_rounding(build, batches):
    net = build("msa")
    fine = landscape.critical(net, batches, probes=0)
    coarse = landscape.critical(net.float(), [(x.float(), y) for x, y in batches], probes=0)
    assert 1e-17 < float(fine.rounding / fine.risk) < 1e-13
    assert 1e-8 < float(coarse.rounding / coarse.risk) < 1e-4
    error = np.abs(coarse.change.sel(side="-g") - fine.change.sel(side="-g"))
    near = STEPS < 1e-3
    assert (error.values[near] <= 3 * coarse.noise.sel(side="-g").values[near] + 1e-5).all()


def test_a_fall_within_the_noise_is_none():
    t = np.array([1.0, 2.0, 4.0, 8.0])
    change = -1e-3 * t**2
    assert falls(change, np.full(4, 0.1), t, 0.0) == (0, 0, 0)
    total, explained, beyond = falls(change, np.full(4, 1e-4), t, -1e-3)
    assert (total, explained, beyond) == pytest.approx((0.064, 0.008, 0.064))
    assert falls(np.array([-1.0, 2.0, -5.0, np.nan]), np.zeros(4), t, 0.0) == (1, 0, 0)


def verdict(values, *, escape=0.0, descent=0.0, floor=1e-9, risk=1.0, residual=0.0, **changes):
    """Decide from made-up measurements."""
    yes = np.array([True, True])
    known = {"residuals": np.full(2, residual), "missed": np.zeros(2), "converged": yes} | changes
    curved = Curvature(np.array(values), errors=np.zeros(2), products=1, **known)
    blank = np.zeros((3, 1))
    lines = Lines(risk, floor, blank, blank, np.zeros(3), np.ones(1))
    dropped = np.array([[descent, descent, 0.0], [escape, 0, escape], [escape, 0, escape]])
    return decide(lines, curved, dropped, 1e-3, 1e-3)


@pytest.mark.parametrize(
    ("expected", "words", "case"),
    [
        ("minimum", "to second order", {"values": (10, 1)}),
        ("minimum", "flat within 0.01 remain", {"values": (10, -0.005)}),
        ("undecided", "no line", {"values": (10, -1)}),
        ("saddle", "", {"values": (10, -1), "escape": 0.1}),
        ("saddle", "flat within", {"values": (10, 0), "escape": 0.1}),
        ("undecided", "not flat", {"values": (10, 1), "escape": 0.1}),
        ("saddle", "no positive curvature", {"values": (-0.0, -1), "escape": 0.1}),
        ("maximum", "", {"values": (-1, -2), "escape": 0.1}),
        ("saddle", "", {"values": (-1, -2), "escape": 0.1, "missed": np.ones(2)}),
        ("saddle", "", {"values": (10, -1), "escape": 0.1, "converged": np.zeros(2, bool)}),
        ("undecided", "max_products", {"values": (10, 1), "converged": np.zeros(2, bool)}),
        ("undecided", "max_products", {"values": (10, 1), "missed": np.ones(2)}),
        ("undecided", "max_products", {"values": (10, 0), "residual": 0.02}),
        ("undecided", "rounding hides", {"values": (10, 1), "floor": 0.01}),
        ("minimum", "", {"values": (10, 1), "floor": 0.01, "risk": 0.0}),
        ("not a critical point", "along -g", {"values": (10, 1), "descent": 0.01}),
        ("minimum", "as slopes do", {"values": (10, 1), "descent": 0.0001}),
    ],
)
def test_decisions(expected, words, case):
    found, reason = verdict(**case)
    assert found == expected, reason
    assert words in reason


def test_a_run_that_was_stopped_early_claims_no_minimum():
    net, batches = convex()
    descend(net, batches, 0.05)
    found = landscape.critical(net, batches, weight_decay=0.05, max_products=3)
    assert found.verdict == "undecided", found.reason
    assert "max_products" in found.reason


def test_no_probes_skip_the_negative_mass(build, batches):
    few = landscape.critical(build("conv"), batches, probes=0)
    more = landscape.critical(build("conv"), batches, probes=2, steps=5)
    assert np.isnan(few.negative_mass)
    assert int(more.products) == int(few.products) + 10
    assert json.loads(few.attrs["selfcheck"])["symmetry"] < 1e-10


@pytest.mark.parametrize(
    "settings", [{"tol": 0.0}, {"tol_curvature": 1.0}, {"probes": -1}, {"max_products": 1}]
)
def test_bad_settings_are_refused(build, batches, settings):
    with pytest.raises(ValueError, match=r"tol must be positive|max_products must be at least 2"):
        landscape.critical(build("conv"), batches, **settings)
