import pytest
import torch

from landscape.numerics.directions import filter_normalise, gaussian


@pytest.mark.parametrize(("shape", "axis"), [((4, 3, 3, 3), 0), ((3, 5, 2, 2), 1), ((6, 2), 0)])
def test_each_filter_gets_the_norm_of_its_filter(shape, axis):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    d = filter_normalise(gaussian("w", w, 0), w, axis)
    for j in range(shape[axis]):
        assert d.select(axis, j).norm() == pytest.approx(w.select(axis, j).norm().item(), rel=1e-12)


def test_a_zero_filter_stays():
    w = torch.ones(2, 3)
    w[1] = 0
    d = filter_normalise(torch.randn(2, 3), w)
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
