import pytest
import torch
from scipy.stats import t as student

from landscape.numerics.quadrature import probe
from landscape.numerics.traces import hutchinson, hutchpp, xtrace

DOUBLE = torch.float64
ALL = {
    "hutchinson": lambda mv, n, seed=0, **k: hutchinson(mv, n, probes=24, seed=seed, **k),
    "hutchpp": lambda mv, n, seed=0, **k: hutchpp(mv, n, products=24, seed=seed, **k),
    "xtrace": lambda mv, n, seed=0, **k: xtrace(mv, n, products=24, seed=seed, **k),
}


def with_spectrum(values, seed=0):
    values = torch.as_tensor(values, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=DOUBLE))
    return q @ torch.diag(values) @ q.T


NETWORK = torch.cat(
    [
        torch.tensor([74, 60, 49, 29, 24, 19, -8, 12, -5], dtype=DOUBLE),
        torch.linspace(-1, 1.5, 141, dtype=DOUBLE),
    ]
)


def test_signs_are_exact_for_a_diagonal_operator():
    d = torch.randn(50, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    found = hutchinson(lambda v: d * v, 50, probes=3, dtype=DOUBLE)
    assert torch.allclose(found.trace.value, d.sum(), rtol=1e-12)
    assert torch.allclose(found.frobenius.value, d.square().sum(), rtol=1e-12)
    assert found.trace.error < 1e-12
    assert found.products == found.samples == 3


@pytest.mark.parametrize("name", ALL)
def test_intervals_cover_the_truth(name):
    """Nominally 95 % by Student's t, over 200 seeds, for an indefinite spectrum with outliers."""
    a = with_spectrum(NETWORK)
    true = torch.stack([NETWORK.sum(), NETWORK.square().sum()])
    runs = [ALL[name](lambda v: a @ v, 150, seed=seed, dtype=DOUBLE) for seed in range(200)]
    factor = student.ppf(0.975, runs[0].samples - 1)
    values = torch.stack([torch.stack([r.trace.value, r.frobenius.value]) for r in runs])
    errors = torch.stack([torch.stack([r.trace.error, r.frobenius.error]) for r in runs])
    inside = ((values - true).abs() <= factor * errors).double().mean(0)
    assert 0.90 <= inside[0] <= 0.99
    assert 0.85 <= inside[1] <= 0.99  # squares are skewed
    bias = (values.mean(0) - true).abs() / (values.std(0) / 200**0.5)
    assert (bias < 3.5).all()


def test_a_sketch_pays_where_the_spectrum_decays_and_costs_where_it_is_flat():
    def spread(name, values):
        a = with_spectrum(values)
        runs = [ALL[name](lambda v: a @ v, 150, seed=s, dtype=DOUBLE) for s in range(30)]
        return float(torch.stack([r.trace.value for r in runs]).std())

    decay = 1 / torch.arange(1, 151, dtype=DOUBLE) ** 2
    plain, plus, exchange = (spread(name, decay) for name in ALL)
    assert exchange < plus < plain / 10
    plain, plus, exchange = (spread(name, torch.linspace(-1, 1, 150)) for name in ALL)
    assert plain < exchange


@pytest.mark.parametrize("name", ["hutchpp", "xtrace"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_low_rank_is_exact(name, scale, dtype):
    a = (with_spectrum([5.0, -3.0, 1.0] + [0.0] * 57) * scale).to(dtype)
    found = ALL[name](lambda v: a @ v, 60, dtype=dtype)
    level = 1e-5 if dtype == torch.float32 else 1e-12
    assert found.trace.value / scale == pytest.approx(3.0, rel=10 * level)
    assert found.frobenius.value / scale**2 == pytest.approx(35.0, rel=10 * level)
    assert found.trace.error / scale < 30 * level


@pytest.mark.parametrize("name", ALL)
def test_a_zero_operator_has_none(name):
    found = ALL[name](torch.zeros_like, 40)
    assert found.trace.value == found.trace.error == found.frobenius.value == 0


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_xtrace_is_exact_for_as_many_probes_as_dimensions(n):
    values = torch.linspace(-2, 3, n, dtype=DOUBLE)
    a = with_spectrum(values)
    found = xtrace(lambda v: a @ v, n, products=2 * n + 7, dtype=DOUBLE)
    assert torch.allclose(found.trace.value, values.sum(), atol=1e-10)
    assert torch.allclose(found.frobenius.value, values.square().sum(), atol=1e-10)
    assert found.products == 2 * n


def test_xtrace_is_the_average_of_its_definition():
    """Each probe against a fresh QR of the sketches of all others."""
    n, m = 30, 6
    a = with_spectrum(torch.linspace(-1, 4, n, dtype=DOUBLE))
    found = xtrace(lambda v: a @ v, n, products=2 * m, seed=3, dtype=DOUBLE)
    w = torch.stack([probe(n, 3, i, "gaussian") for i in range(m)], 1)
    rows = []
    for i in range(m):
        q, _ = torch.linalg.qr(a @ w[:, torch.arange(m) != i])
        u = w[:, i] - q @ (q.T @ w[:, i])
        scale = (n - m + 1) / u.square().sum()
        trace = (q.T @ a @ q).trace() + scale * (u @ a @ u)
        norm = (a @ q).square().sum() + scale * (a @ u).square().sum()
        rows.append(torch.stack([trace, norm]))
    rows = torch.stack(rows)
    assert torch.allclose(found.trace.value, rows[:, 0].mean())
    assert torch.allclose(found.frobenius.value, rows[:, 1].mean())
    assert torch.allclose(found.trace.error, rows[:, 0].std() / m**0.5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_tolerance_is_met_for_either_sign_and_covers(sign):
    a = sign * with_spectrum(NETWORK.abs())
    true = sign * NETWORK.abs().sum()
    inside, used = [], []
    for seed in range(100):
        found = hutchinson(lambda v: a @ v, 150, probes=10, tol=0.15, seed=seed, dtype=DOUBLE)
        assert found.converged
        assert found.trace.error <= 0.15 * found.trace.value.abs()
        factor = student.ppf(0.975, found.samples - 1)
        inside.append(bool((found.trace.value - true).abs() <= factor * found.trace.error))
        used.append(found.products)
    assert min(used) >= 10
    assert max(used) > 10
    assert 0.85 <= sum(inside) / 100 <= 0.99


def test_a_trace_of_zero_gives_up_and_says_so():
    a = with_spectrum([1.0, -1.0] * 20)
    found = hutchinson(lambda v: a @ v, 40, probes=5, tol=0.1, max_probes=50, dtype=DOUBLE)
    assert not found.converged
    assert found.products == 50


def test_bad_requests():
    with pytest.raises(ValueError, match="probes must be at least 1, got 0"):
        hutchinson(torch.zeros_like, 5, probes=0)
    with pytest.raises(ValueError, match="products / 3 must be at least 2, got 1"):
        hutchpp(torch.zeros_like, 5, products=4)
    with pytest.raises(ValueError, match="products / 2 must be at least 2, got 1"):
        xtrace(torch.zeros_like, 5, products=3)
    with pytest.raises(ValueError, match="not finite"):
        xtrace(lambda v: v * float("inf"), 5)
