import pytest
import torch

from landscape.subject.penalty import L2, NormSum, matrices


@pytest.mark.parametrize(
    "penalty", [L2(0.3), NormSum(0.3), L2(0.3, matrices), NormSum(0.3, matrices)]
)
def test_gradient_and_hvp_equal_autograd(penalty):
    generator = torch.Generator().manual_seed(0)
    w = {
        "m": torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True),
        "b": torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True),
    }
    v = {n: torch.randn(p.shape, generator=generator, dtype=torch.float64) for n, p in w.items()}
    grads = torch.autograd.grad(
        penalty.value(w), list(w.values()), create_graph=True, materialize_grads=True
    )
    dot = sum((g * v[n]).sum() for g, n in zip(grads, w, strict=True))
    want = torch.autograd.grad(dot, list(w.values()), materialize_grads=True)
    detached = {n: p.detach() for n, p in w.items()}
    for got, exact in zip(penalty.gradient(detached).values(), grads, strict=True):
        assert torch.allclose(got, exact, atol=1e-14)
    for got, exact in zip(penalty.hvp(detached, v).values(), want, strict=True):
        assert torch.allclose(got, exact, atol=1e-14)


def test_the_mask_spares_vectors():
    w = {"m": torch.ones(2, 2), "b": torch.ones(5)}
    assert L2(1.0, matrices).value(w).item() == 2.0
    assert (L2(1.0, matrices).gradient(w)["b"] == 0).all()


def test_a_zero_tensor_has_no_direction():
    w = {"z": torch.zeros(3)}
    assert (NormSum(1.0).gradient(w)["z"] == 0).all()
    assert (NormSum(1.0).hvp(w, {"z": torch.ones(3)})["z"] == 0).all()
