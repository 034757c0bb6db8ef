import pytest
import torch

from landscape.numerics.broadening import density, grid, resolution
from landscape.numerics.quadrature import (
    Known,
    Quadrature,
    average,
    cdf,
    frobenius,
    jackknife,
    mass,
    probe,
    quantile,
    slq,
    trace,
)

DOUBLE = torch.float64


def with_spectrum(values, seed=0):
    values = torch.as_tensor(values, dtype=DOUBLE)
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=DOUBLE))
    a = q @ torch.diag(values) @ q.T
    return (a + a.T) / 2


def network(n=300):
    """Outliers of both signs, a bulk with heavy tails, and a quarter of all within 1e-3 of 0."""
    g = torch.Generator().manual_seed(1)
    z = torch.randn(n, 5, generator=g, dtype=DOUBLE)
    bulk = 0.3 * z[:, 0] / z[:, 1:].square().mean(1).sqrt()
    bulk[: n // 4] *= 1e-3
    bulk[:5] = torch.tensor([13.0, 6.1, 3.5, 1.8, -1.2], dtype=DOUBLE)
    return bulk.sort().values


def run(a, **kwargs):
    return slq(lambda v: a @ v, len(a), dtype=DOUBLE, **kwargs)


def wasserstein(q: Quadrature, values):
    """Distance of two distributions: the area between their distribution functions."""
    points = torch.cat([q.nodes.flatten(), values]).sort().values
    middle = (points[1:] + points[:-1]) / 2
    true = torch.searchsorted(values, middle).double() / len(values)
    return float(((cdf(q, middle).value - true).abs() * points.diff()).sum())


@pytest.mark.parametrize("kind", ["rademacher", "gaussian"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_each_probe_has_the_moments_of_its_vector(kind, scale):
    a = with_spectrum(network(100)) * scale
    q = run(a, probes=3, steps=8, kind=kind, seed=4)
    for i in range(3):
        v = probe(100, 4, i, kind)
        v, w, x = v / v.norm(), q.weights[i], q.nodes[i]
        power = v
        for degree in range(2 * 8):  # Gauss: exact up to degree 2 m - 1
            assert torch.allclose((w * x**degree).sum(), v @ power, rtol=1e-9), degree
            power = a @ power
        assert torch.allclose((w * x**2).sum(), (a @ v).square().sum(), rtol=1e-9)
    assert q.products == 24


# section by section the bounds are what 10 probes gave on trained networks, and a half more
@pytest.mark.parametrize(("steps", "bound"), [(20, 0.34), (40, 0.16), (80, 0.09)])
def test_the_distribution_is_near_the_dense_one(steps, bound):
    values = network(400)
    q = run(with_spectrum(values), probes=10, steps=steps)
    assert wasserstein(q, values) <= bound * values.abs().mean()


def test_the_error_of_the_distribution_function_covers_it():
    """Over 50 seeds, points in the bulk and among the outliers; Student's t with 9 degrees."""
    values = network(120)
    a = with_spectrum(values)
    points = torch.tensor([-1.0, -0.3, 0.15, 0.5, 2.5, 5.0], dtype=DOUBLE)
    true = torch.searchsorted(values, points).double() / 120
    inside = []
    for seed in range(50):
        value, error = cdf(run(a, probes=10, steps=30, seed=seed), points)
        inside.append((value - true).abs() <= 2.262 * error)
    share = torch.stack(inside).double().mean(0)
    assert (share >= 0.85).all(), share
    assert 0.90 <= share.mean() <= 0.99


def test_more_probes_have_a_smaller_error():
    a = with_spectrum(network(200))
    few, many = run(a, probes=10, steps=15), run(a, probes=160, steps=15)
    for estimate in (trace, frobenius, mass, lambda q: quantile(q, 0.9)):
        ratio = float(estimate(few).error / estimate(many).error)
        assert 2.0 < ratio < 8.0  # 4 in expectation


def test_trace_norm_mass_quantile():
    values = network()
    q = run(with_spectrum(values), probes=20, steps=60)
    for found, true in (
        (trace(q), values.sum()),
        (frobenius(q), values.square().sum()),
        (mass(q, below=-0.1), (values < -0.1).double().mean()),
        (average(q, torch.abs), values.abs().mean()),
        (quantile(q, 0.9), values.quantile(0.9)),
    ):
        assert (found.value - true).abs() <= 4 * found.error + 1e-3, (found, true)
        assert found.error < 0.3 * true.abs()


def test_the_jackknife_is_the_standard_error_of_a_mean():
    q = run(with_spectrum(network(100)), probes=6, steps=10)
    twin = jackknife(q, lambda x, w: (x * w).sum() / w.sum())
    assert torch.allclose(twin.value, average(q, lambda x: x).value)
    assert torch.allclose(twin.error, average(q, lambda x: x).error)
    assert jackknife(run(torch.eye(3, dtype=DOUBLE), probes=1), lambda x, w: x.sum()).error.isnan()


@pytest.mark.parametrize(
    ("values", "distinct"),
    [
        ([2.0] * 30, 1),
        ([5.0] + [0.0] * 29, 2),
        ([-3.0] * 10 + [1.0] * 20, 2),
        ([0.0] * 30, 1),
        (list(range(1, 31)), 30),
    ],
)
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_an_exhausted_space_ends_the_probe(values, distinct, scale):
    values = scale * torch.tensor(values, dtype=DOUBLE)
    q = run(with_spectrum(values), probes=4, steps=100)
    assert q.nodes.shape == (4, distinct)
    assert q.products == 4 * distinct
    assert torch.allclose(q.weights.sum(1), torch.ones(4, dtype=DOUBLE))
    true = values.unique()
    assert torch.allclose(q.nodes, true.expand(4, -1), rtol=1e-9, atol=1e-9 * scale)


def test_probes_add_up_to_a_longer_run():
    a = with_spectrum(network(60))
    one, two = run(a, probes=2, steps=7), run(a, probes=3, steps=7, first=2)
    both, whole = one + two, run(a, probes=5, steps=7)
    assert torch.equal(both.nodes, whole.nodes)
    assert torch.equal(both.weights, whole.weights)
    assert both.products == whole.products == 35
    ragged = one + run(a, probes=1, steps=9, first=5)
    assert torch.allclose(ragged.weights.sum(1), torch.ones(3, dtype=DOUBLE))
    assert ragged.nodes.isfinite().all()
    with pytest.raises(ValueError, match="sizes 60 and 3"):
        one + run(torch.eye(3, dtype=DOUBLE), probes=1)


def test_float32_rounded_rows_and_progress():
    values = network()
    a = with_spectrum(values)
    seen = []

    def progress(items, total, label):
        for item in items:
            seen.append((item, total, label))
            yield item

    exact = run(a, probes=4, steps=60)
    for store, level in ((None, 1e-5), (torch.float16, 1e-4), (torch.bfloat16, 2e-3)):
        q = slq(
            lambda v: a.float() @ v,
            300,
            probes=4,
            steps=60,
            store=store,
            host=True,
            progress=progress,
        )
        assert torch.allclose(trace(q).value, trace(exact).value, rtol=level)
        assert (q.nodes > 3.0).sum(1).tolist() == [3] * 4  # no ghosts of the outliers
        assert float((q.nodes[:, -1] - 13.0).abs().max()) < 13 * level
    assert seen[:4] == [(i, 4, "probes") for i in range(4)]


@pytest.mark.parametrize("threshold", [None, 1e-2])
def test_the_density_integrates_to_one(threshold):
    q = run(with_spectrum(network()), probes=5, steps=60)
    width = resolution(q, threshold=threshold)
    points = grid(q, 6000, width=width, threshold=threshold)
    found = density(q, points, threshold=threshold)
    assert found.width == width
    place = points if threshold is None else torch.asinh(points / (2 * threshold)) / 2.302585093
    assert torch.trapezoid(found.value, place) == pytest.approx(1.0, abs=1e-6)
    assert (found.error >= 0).all()
    # a grid that stops short holds less: nothing is renormalised
    inside = points < quantile(q, 0.5).value
    assert torch.trapezoid(found.value[inside], place[inside]) < 0.99


def test_the_density_is_the_broadened_spectrum():
    """With the width of the rule: a semicircle, whose density is known, without ripple."""
    n = 400
    angle = (torch.arange(n, dtype=DOUBLE) + 0.5) / n
    place = torch.linspace(-1, 1, 20001, dtype=DOUBLE)
    share = 0.5 + (place * (1 - place**2).clamp(min=0).sqrt() + torch.asin(place)) / torch.pi
    values = place[torch.searchsorted(share, angle)]
    q = run(with_spectrum(values), probes=20, steps=40)
    points = torch.linspace(-0.8, 0.8, 161, dtype=DOUBLE)
    value, error, width = density(q, points)
    true = 2 / torch.pi * (1 - points**2).sqrt()
    assert 0.01 < width < 0.1
    assert ((value - true).abs() <= 4 * error + 0.02).all()
    assert ((value - true).abs() <= 2 * error + 0.02).double().mean() > 0.9
    steps = [resolution(run(with_spectrum(values), probes=3, steps=m)) for m in (10, 20, 40, 80)]
    assert steps == sorted(steps, reverse=True)  # more steps resolve more


def test_a_single_point_has_no_width_of_its_own():
    q = run(torch.eye(5, dtype=DOUBLE), probes=2)
    assert resolution(q) == 0.0
    with pytest.raises(ValueError, match="state one"):
        density(q, torch.zeros(1))
    peak = density(q, torch.ones(1), width=0.1)
    assert peak.value.item() == pytest.approx(3.98942, rel=1e-5)
    assert peak.error.item() == pytest.approx(0.0, abs=1e-9)


def test_bad_requests():
    a = torch.eye(3, dtype=DOUBLE)
    with pytest.raises(ValueError, match="at least 1, got 3, 0, 80"):
        run(a, probes=0)
    with pytest.raises(ValueError, match="'rademacher' or 'gaussian', got 'uniform'"):
        run(a, kind="uniform")
    with pytest.raises(ValueError, match="not finite"):
        run(a * float("nan"))
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        quantile(run(a), 2)


def test_with_known_pairs_a_probe_samples_the_rest_exactly():
    generator = torch.Generator().manual_seed(4)
    matrix = torch.randn(40, 40, generator=generator, dtype=torch.float64)
    matrix = matrix + matrix.T
    values, vectors = torch.linalg.eigh(matrix)
    order = values.abs().argsort(descending=True)[:5]
    known = Known(values[order], vectors[:, order].T)
    found = slq(matrix.matmul, 40, probes=4, steps=6, dtype=torch.float64, deflate=known)
    for number in range(4):
        v = probe(40, 0, number)
        v = v - known.vectors.T @ (known.vectors @ v)
        v = v / v.norm()
        nodes, weights = found.nodes[number], found.weights[number]
        image = v
        for power in range(1, 12):  # Gauss quadrature: exact up to 2 * steps - 1
            image = matrix @ image
            moment = (known.values**power).sum() + 35 * (v @ image)
            assert torch.isclose(40 * (weights * nodes**power).sum(), moment, rtol=1e-9)
    assert found.products == 4 * 6


def test_known_outliers_add_no_variance():
    d = torch.ones(200, dtype=torch.float64)
    d[:2] = torch.tensor([100.0, -70.0])
    turn, _ = torch.linalg.qr(
        torch.randn(200, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    matrix = turn @ torch.diag(d) @ turn.T
    draw = {"probes": 8, "steps": 5, "dtype": torch.float64}
    plain = trace(slq(matrix.matmul, 200, **draw))
    known = Known(d[:2], turn.T[:2].contiguous())
    found = trace(slq(matrix.matmul, 200, deflate=known, **draw))
    assert plain.error > 1
    assert found.error < 1e-9
    assert torch.isclose(found.value, d.sum())
