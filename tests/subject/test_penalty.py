import pytest
import torch

from landscape.subject.penalty import L2, NormSum, matrices, penalty


@pytest.mark.parametrize("term", [L2(0.3), NormSum(0.3), L2(0.3, matrices), NormSum(0.3, matrices)])
def test_gradient_and_hvp_equal_autograd(term):
    generator = torch.Generator().manual_seed(0)
    w = {
        "m": torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True),
        "b": torch.randn(4, generator=generator, dtype=torch.float64, requires_grad=True),
    }
    v = {n: torch.randn(p.shape, generator=generator, dtype=torch.float64) for n, p in w.items()}
    grads = torch.autograd.grad(
        term.value(w), list(w.values()), create_graph=True, materialize_grads=True
    )
    dot = sum((g * v[n]).sum() for g, n in zip(grads, w, strict=True))
    want = torch.autograd.grad(dot, list(w.values()), materialize_grads=True)
    detached = {n: p.detach() for n, p in w.items()}
    for got, exact in zip(term.gradient(detached).values(), grads, strict=True):
        assert torch.allclose(got, exact, atol=1e-14)
    for got, exact in zip(term.hvp(detached, v).values(), want, strict=True):
        assert torch.allclose(got, exact, atol=1e-14)


def test_the_mask_spares_vectors():
    w = {"m": torch.ones(2, 2), "b": torch.ones(5)}
    assert L2(1.0, matrices).value(w).item() == 2.0
    assert (L2(1.0, matrices).gradient(w)["b"] == 0).all()


def test_a_zero_tensor_has_no_direction():
    w = {"z": torch.zeros(3)}
    assert (NormSum(1.0).gradient(w)["z"] == 0).all()
    assert (NormSum(1.0).hvp(w, {"z": torch.ones(3)})["z"] == 0).all()


class Mask:
    def __call__(self, name, value):
        return name == "m"


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (penalty(0.05), "L2(0.05, all)"),
        (penalty(0.05, "l2", "matrices"), "L2(0.05, matrices)"),
        (penalty(1, "norms"), "NormSum(1, all)"),
        (L2(0.1, Mask()), "L2(0.1, Mask)"),
    ],
)
def test_a_term_is_told_without_an_address(term, text):
    assert repr(term) == text


def test_names_make_the_same_terms_and_wrong_ones_are_refused():
    assert penalty(0.2, "norms", "matrices") == NormSum(0.2, matrices)
    assert penalty(0.2) == L2(0.2)
    with pytest.raises(ValueError, match="form is one of l2, norms, not 'l1'"):
        penalty(0.2, "l1")
    with pytest.raises(ValueError, match="decayed is one of all, matrices, not 'biases'"):
        penalty(0.2, "l2", "biases")
    with pytest.raises(ValueError, match=r"weight decay is 0, so its form \(l2 on all\)"):
        penalty(0.0)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight decay must be 0 or a positive number"):
            NormSum(wrong)
