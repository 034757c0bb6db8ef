import pytest
import torch

from landscape.numerics.moments import Moments


@pytest.mark.parametrize("cuts", [[10], [1, 9], [3, 3, 4], [1] * 10])
def test_any_split_gives_the_moments_of_the_whole(cuts):
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0)) + 1e4
    total = None
    for part in x.split(cuts):
        total = Moments.of(part) if total is None else total + Moments.of(part)
    assert total.count == 10
    assert torch.allclose(total.mean, x.double().mean(0), rtol=1e-14)
    assert torch.allclose(total.variance, x.double().var(0), rtol=1e-9)
    assert torch.allclose(total.standard_error, x.double().std(0) / 10**0.5, rtol=1e-9)


def test_one_sample_has_no_variance():
    assert torch.isnan(Moments.of(torch.ones(1, 2)).variance).all()
