import numpy as np
import pytest
import torch

from landscape.numerics.directions import components, gaussian, rescale


@pytest.mark.parametrize(("shape", "axis"), [((4, 3, 3, 3), 0), ((3, 5, 2, 2), 1), ((6, 2), 0)])
def test_each_filter_gets_the_norm_of_its_filter(shape, axis):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    d = rescale(gaussian("w", w, 0), w, [i for i in range(len(shape)) if i != axis])
    for j in range(shape[axis]):
        assert d.select(axis, j).norm() == pytest.approx(w.select(axis, j).norm().item(), rel=1e-12)


def test_a_zero_filter_stays():
    w = torch.ones(2, 3)
    w[1] = 0
    d = rescale(torch.randn(2, 3), w, [1])
    assert (d[1] == 0).all()
    assert torch.isfinite(d).all()


def test_a_direction_depends_on_seed_and_name_only():
    like = torch.zeros(5)
    torch.manual_seed(0)
    a = gaussian("a", like, 0)
    torch.manual_seed(9)
    assert torch.equal(a, gaussian("a", like, 0))
    assert not torch.equal(a, gaussian("b", like, 0))
    assert not torch.equal(a, gaussian("a", like, 1))


def test_gaussian_is_gaussian():
    x = gaussian("w", torch.zeros(200_000, dtype=torch.float64), 0)
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01
    assert abs((x**4).mean() - 3) < 0.1


@pytest.mark.parametrize("over", [(0,), (1, 2, 3), (0, 1, 2, 3), (1,), (0, 2)])
def test_every_part_gets_the_norm_of_its_part(over):
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(4, 3, 2, 5, generator=draw, dtype=torch.float64)
    d = gaussian("w", w, 0)
    found = rescale(d, w, over).numpy()
    own = np.sqrt((d.numpy() ** 2).sum(over, keepdims=True))
    want = d.numpy() * np.sqrt((w.numpy() ** 2).sum(over, keepdims=True)) / own
    assert np.allclose(found, want, rtol=1e-13)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_extreme_weights_of_single_precision_keep_their_norm(size):
    w = size * torch.ones(2, 3)
    ratio = rescale(gaussian("w", w, 0), w, [1]).double().norm(dim=1) / w.double().norm(dim=1)
    assert torch.allclose(ratio, torch.ones(2, dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_components_are_those_of_a_singular_value_decomposition(count):
    draw = torch.Generator().manual_seed(1)
    points = torch.randn(7, 40, generator=draw, dtype=torch.float64) + 3
    found = components(points @ points.T, count)
    _, sizes, rows = np.linalg.svd(points.numpy() - points.numpy().mean(0), full_matrices=False)
    got = (found.mixtures @ points).numpy()
    assert np.abs((got * rows[:count]).sum(1)) == pytest.approx(np.ones(count), abs=1e-10)
    assert found.shares.numpy() == pytest.approx((sizes**2 / (sizes**2).sum())[:count], rel=1e-10)
    assert np.allclose(got @ got.T, np.eye(count), atol=1e-12)
    assert found.rank == 6
    along = (points - points.mean(0)) @ torch.from_numpy(got).T
    assert (along.gather(0, along.abs().argmax(0, keepdim=True)) > 0).all()


def test_points_have_no_more_components_than_they_span():
    draw = torch.Generator().manual_seed(2)
    plane = torch.randn(2, 30, generator=draw, dtype=torch.float64)
    points = torch.randn(6, 2, generator=draw, dtype=torch.float64) @ plane
    found = components(points @ points.T, 4)
    assert found.rank == len(found.mixtures) == 2
    assert found.shares.sum().item() == pytest.approx(1)
    same = torch.ones(3, 30, dtype=torch.float64)
    assert components(same @ same.T, 1).rank == 0
