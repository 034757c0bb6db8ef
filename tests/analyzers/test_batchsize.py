"""Eigenvalues of every batch by brute force; lines whose truth is known; lines that are none."""

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

import landscape

SURE = {"tol": 1e-8}


def square(outputs, targets):
    return (outputs[:, 0] - targets) ** 2


def regression(images, features=3, seed=0):
    """Least squares, whose Hessian is ``2 / n X' X``."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(images, features, generator=generator, dtype=torch.float64)
    x = x * torch.tensor([2.0, *[0.5] * (features - 1)], dtype=torch.float64)
    net = nn.Linear(features, 1, bias=False).double()
    return net, [(x, torch.zeros(images, dtype=torch.float64))]


def top(x, k=1):
    return np.linalg.eigvalsh(2 / len(x) * x.T @ x)[::-1][:k]


class Saddle(nn.Module):
    """The Hessian of an image with the number ``s`` is ``[[1 + m, s], [s, 1 - m]]``.

    That of a batch has the eigenvalues ``1 +- sqrt(m^2 + mean(s)^2)``, for a small spread ``sigma``
    of ``s`` about 0 on average ``1 + m + sigma^2 / (2 m B)``; without ``m`` the largest is
    ``1 + |mean(s)|``, which goes with the root of ``1 / B``.
    """

    def __init__(self, m):
        super().__init__()
        self.w, self.m = nn.Parameter(torch.tensor([0.3, 0.2], dtype=torch.float64)), m

    def forward(self, s):
        a, b = self.w
        return (1 + self.m) / 2 * a**2 + (1 - self.m) / 2 * b**2 + s * a * b


def planted(m, sigma, images, seed):
    generator = torch.Generator().manual_seed(seed)
    s = sigma * torch.randn(images, 1, generator=generator, dtype=torch.float64)
    return Saddle(m), [(s, torch.zeros(images, dtype=torch.float64))]


def value(outputs, targets):
    return outputs[:, 0]


def test_every_batch_by_brute_force():
    net, batches = regression(26)
    found = landscape.batchsize(net, batches, sizes=(2, 3, 6), k=2, loss=square, **SURE)
    x, order = batches[0][0].numpy(), found.order.values
    assert sorted(order) == sorted(set(order))
    assert len(order) == 24
    for size in (2, 3, 6):
        true = [top(x[part], 2) for part in order.reshape(-1, size)]
        one = found.sel(size=size)
        np.testing.assert_allclose(one.eigenvalue[: 24 // size], true, rtol=1e-9)
        assert one.eigenvalue[24 // size :].isnull().all()
        assert one.unit.values[: 24 // size].tolist() == sorted([0, 1, 2, 3] * (6 // size))
        np.testing.assert_allclose(one["mean"], np.mean(true, 0))
        np.testing.assert_allclose(one.mean_se, np.std(true, 0, ddof=1) / (24 // size) ** 0.5)
    np.testing.assert_allclose(found.set_eigenvalue, top(x[order], 2), rtol=1e-9)
    assert int(found.set_examples) == 24


def test_the_mean_is_unbiased_for_the_mean_over_all_batches():
    net, batches = regression(8)
    x = batches[0][0].numpy()
    true = np.mean([top(x[list(chosen)]) for chosen in combinations(range(8), 2)])
    runs = [
        landscape.batchsize(net, batches, sizes=(1, 2), k=1, loss=square, seed=seed)
        for seed in range(30)
    ]
    means = np.array([float(run["mean"].sel(size=2)[0]) for run in runs])
    assert abs(means.mean() - true) < 4 * means.std(ddof=1) / 30**0.5
    assert len(set(means)) > 10


def test_equal_images_give_a_flat_line_and_no_curvature():
    net, batches = regression(1)
    x = batches[0][0].repeat(32, 1)
    found = landscape.batchsize(net, [(x, torch.zeros(32).double())], k=1, loss=square)
    true = top(x.numpy())[0]
    np.testing.assert_allclose(found.eigenvalue.values[np.isfinite(found.eigenvalue)], true)
    for name in ("intercept", "intercept_low", "intercept_high", "set_extrapolated"):
        assert float(found[name][0]) == pytest.approx(true, rel=1e-9)
    assert float(found.line.std()) < 1e-9
    assert abs(float(found.slope[0])) < 1e-9
    assert float(found.curvature_p[0]) > 0.9
    assert float(found.negative.max()) == 0


def test_a_planted_line_lies_in_its_interval():
    m, sigma = 1.0, 0.3
    truth = {"intercept": 1 + m, "slope": sigma**2 / (2 * m)}
    inside, scores, bends = [], [], []
    for seed in range(15):
        net, batches = planted(m, sigma, 256, seed)
        found = landscape.batchsize(net, batches, sizes=(4, 8, 16), k=1, loss=value, seed=seed)
        for name, true in truth.items():
            low, high = (float(found[f"{name}_{end}"][0]) for end in ("low", "high"))
            inside.append(low < true < high)
            scores.append((float(found[name][0]) - true) / float(found[f"{name}_se"][0]))
        bends.append(float(found.curvature_p[0]))
        assert float(found.set_eigenvalue[0]) == pytest.approx(
            float(found.set_extrapolated[0]), abs=0.02
        )
    assert np.mean(inside) >= 0.8  # of 95 %
    assert 0.5 < np.std(scores) < 1.6  # as wide as they need to be, and not wider
    assert np.mean(np.array(bends) < 0.05) < 0.25


def test_a_line_that_is_none_shows():
    net, batches = planted(0.0, 1.0, 512, 0)
    found = landscape.batchsize(net, batches, sizes=(1, 2, 4, 8, 16, 32), k=1, loss=value)
    assert float(found.curvature_p[0]) < 1e-3
    assert float(found.curvature[0]) < 0  # a root bends downwards
    miss = float(found.set_extrapolated[0] - found.set_eigenvalue[0])
    assert miss > 2 * float(found.set_extrapolated_se[0])


def test_errors_are_those_of_leaving_out_one_unit_at_a_time():
    net, batches = regression(48, seed=3)
    found = landscape.batchsize(net, batches, sizes=(2, 4, 8), k=1, loss=square, **SURE)
    values, unit = found.eigenvalue.values[..., 0], found.unit.values
    sizes = found["size"].values

    pairs = list(zip(values, unit, strict=True))
    units = np.array([[v[u == i].mean() for v, u in pairs] for i in range(6)])
    counts = 48 / sizes
    variances = np.array([np.nanvar(v, ddof=1) for v in values])
    scaled, freedom = sizes * variances, counts - 1
    scaled = (freedom * scaled + 4 * (freedom @ scaled) / freedom.sum()) / (freedom + 4)
    fits = [np.polyfit(1 / sizes, row, 1, w=scaled**-0.5) for row in units]
    slope, intercept = np.mean(fits, 0)
    assert float(found.intercept[0]) == pytest.approx(intercept)
    assert float(found.slope[0]) == pytest.approx(slope)
    left = [np.mean(np.delete(fits, u, 0), 0) for u in range(6)]
    errors = np.sqrt(5 / 6 * np.square(left - np.mean(left, 0)).sum(0))
    assert float(found.intercept_se[0]) == pytest.approx(errors[1])
    assert float(found.slope_se[0]) == pytest.approx(errors[0])
    bent = np.mean([np.polyfit(1 / sizes, row, 2)[0] for row in units])
    assert float(found.curvature[0]) == pytest.approx(bent)


def test_the_largest_falls_from_batches_to_their_union(network, batches):
    """The largest eigenvalue is convex: of a mean of matrices it is at most the mean of theirs."""
    batches = [(torch.cat([x, x.flip(-1) + 0.1]), y.repeat(2)) for x, y in batches]
    found = landscape.batchsize(network, batches, sizes=(1, 2, 4), k=1, **SURE)
    values, unit = found.eigenvalue.values[..., 0], found.unit.values
    folded = np.array(
        [[v[u == i].mean() for i in range(3)] for v, u in zip(values, unit, strict=True)]
    )
    assert (np.diff(folded, axis=0) <= 1e-9 * folded[0]).all()
    assert float(found.set_eigenvalue[0]) <= folded[-1].mean()


def test_negatives_are_counted_and_the_largest_are_by_value():
    s = torch.full((16, 1), 3.0, dtype=torch.float64)  # eigenvalues 1 +- 3, and beside them 0.5
    net = Saddle(0.0)
    net.register_parameter("other", nn.Parameter(torch.ones((), dtype=torch.float64)))

    def loss(outputs, targets):
        return outputs[:, 0] + net.other**2 / 4

    found = landscape.batchsize(net, [(s, torch.zeros(16))], k=2, loss=loss, **SURE)
    np.testing.assert_allclose(found.set_eigenvalue, [4, 0.5])
    np.testing.assert_allclose(found["mean"], np.tile([4, 0.5], (len(found["size"]), 1)))
    np.testing.assert_allclose(found.negative, 0.5)
    assert float(found.set_negative) == 0.5
    ggn = landscape.batchsize(*regression(16), k=2, loss=square, matrix="ggn")
    assert float(ggn.negative.max()) == 0


def test_sizes_follow_from_the_images_and_units_may_be_sampled():
    net, batches = regression(70)
    found = landscape.batchsize(net, batches, k=1, loss=square)
    assert found["size"].values.tolist() == [2, 4, 8, 16]
    few = landscape.batchsize(net, batches, k=1, loss=square, per_unit=2)
    assert np.isfinite(few.eigenvalue.values[..., 0]).sum(1).tolist() == [8, 8, 8, 4]
    kept = few.eigenvalue.sel(size=2)[:2].values
    np.testing.assert_array_equal(kept, found.eigenvalue.sel(size=2)[:2].values)


def test_two_sizes_leave_the_curvature_open():
    found = landscape.batchsize(*regression(16), sizes=(2, 4), k=1, loss=square)
    assert found.curvature.isnull().all()
    assert found.curvature_p.isnull().all()
    assert found.intercept_se > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sizes": (3, 8)}, "each size must divide the largest, 8, but 3 does not"),
        ({"sizes": (4, 8)}, "must fit twice into the 9 images, but 8 does not: take at most 4"),
        ({"sizes": (4,)}, "at least two different numbers"),
        ({"sizes": (0, 4)}, "at least two different numbers from 1 on"),
        ({"per_unit": 0}, "per_unit must be at least 1, got 0"),
        ({"k": 4}, "k must be between 1 and the 3 parameters, got 4"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        landscape.batchsize(*regression(9), loss=square, **settings)


def test_images_that_do_not_join_are_refused():
    net, batches = regression(6)
    x, y = batches[0]
    with pytest.raises(ValueError, match="at least 4 images, got 3"):
        landscape.batchsize(net, [(x[:3], y[:3])], loss=square)
    with pytest.raises(ValueError, match=r"targets of shapes \(\) and \(1,\) do not join"):
        landscape.batchsize(net, [(x, y), (x, y[:, None])], loss=square)
