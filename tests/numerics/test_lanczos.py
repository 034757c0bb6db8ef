import pytest
import torch

from landscape.numerics.lanczos import lanczos


def with_spectrum(values, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    n = len(values)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    return (q @ torch.diag(torch.as_tensor(values, dtype=torch.float64)) @ q.T).to(dtype)


def start(n, dtype=torch.float64, seed=1):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(
        dtype
    )


SPECTRA = {
    "pairs": [1.0, -1.0, 0.99],
    "cluster": [5.0, 4.999, 4.998, *torch.linspace(-1, 1, 57).tolist()],
    "bulk": [10.0, -8.0, 6.0, 5.0, *torch.linspace(-0.5, 0.5, 96).tolist()],
    "negative definite": [-9.0, -5.0, -3.0, -1.0, -0.5],
    "one": [-2.0],
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("which", ["LM", "LA", "SA"])
def test_a_prescribed_spectrum_comes_back(name, which):
    values = torch.tensor(SPECTRA[name], dtype=torch.float64)
    a = with_spectrum(values)
    k = min(3, len(values))
    found = lanczos(lambda v: a @ v, start(len(values)), k=k, which=which, tol=1e-9)
    key = {"LM": values.abs(), "LA": values, "SA": -values}[which]
    want = values[key.argsort(descending=True)[:k]]
    if name == "pairs" and which == "LM":  # +1 and -1 tie: either order
        assert torch.allclose(found.values.abs(), want.abs())
        assert torch.allclose(found.values[:2].sum(), torch.zeros((), dtype=torch.float64))
    else:
        assert torch.allclose(found.values, want, rtol=1e-8, atol=1e-9)
    assert found.converged.all()


def test_residuals_are_the_true_residuals_and_vectors_are_orthonormal():
    a = with_spectrum(SPECTRA["bulk"])
    found = lanczos(lambda v: a @ v, start(100), k=4, tol=1e-2)
    true = (found.vectors @ a - found.values[:, None] * found.vectors).norm(dim=1)
    assert torch.allclose(true, found.residuals, atol=1e-10)
    gram = found.vectors @ found.vectors.T
    assert torch.allclose(gram, torch.eye(4, dtype=torch.float64), atol=1e-12)
    exact = torch.linalg.eigvalsh(a)
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert (exact - value).abs().min() <= residual + 1e-12


def test_no_ghosts_when_the_run_is_long():
    a = with_spectrum(SPECTRA["bulk"])
    found = lanczos(lambda v: a @ v, start(100), k=60, tol=0.0, max_products=100)
    exact = torch.linalg.eigvalsh(a)
    want = exact[exact.abs().argsort(descending=True)[:60]]
    assert torch.allclose(found.values.abs(), want.abs(), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "k"),
    [
        ([3.0, 3.0, 1.0, 1.0, 1.0], 3),
        ([2.0] * 8, 3),
        ([4.0, *[0.0] * 30], 3),
        ([5.0, 5.0, -5.0, *[0.1] * 20], 3),
        ([0.0] * 6, 2),
    ],
)
def test_multiple_eigenvalues_are_counted(values, k):
    a = with_spectrum(values)
    found = lanczos(lambda v: a @ v, start(len(values)), k=k, tol=1e-8)
    exact = torch.tensor(values, dtype=torch.float64)
    want = exact[exact.abs().argsort(descending=True)[:k]]
    assert torch.allclose(found.values.abs(), want.abs(), atol=1e-9)
    assert found.converged.all() or not any(values)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scaling_the_operator_scales_the_answer(scale):
    a = with_spectrum(SPECTRA["bulk"])
    one = lanczos(lambda v: a @ v, start(100), k=3)
    two = lanczos(lambda v: scale * (a @ v), start(100), k=3)
    assert one.products == two.products
    assert torch.allclose(one.values * scale, two.values, rtol=1e-10)


def test_thick_restart_gives_the_same_values_in_little_memory():
    a = with_spectrum(SPECTRA["bulk"])
    found = lanczos(lambda v: a @ v, start(100), k=4, tol=1e-8, basis=10, max_products=500)
    assert torch.allclose(
        found.values, torch.tensor([10.0, -8.0, 6.0, 5.0], dtype=torch.float64), atol=1e-8
    )
    true = (found.vectors @ a - found.values[:, None] * found.vectors).norm(dim=1)
    assert torch.allclose(true, found.residuals, atol=1e-8)
    assert found.converged.all()


def test_float32_keeps_its_basis_orthogonal():
    a = with_spectrum([100.0, 50.0, *torch.linspace(-1, 1, 198).tolist()], dtype=torch.float32)
    found = lanczos(lambda v: a @ v, start(200, torch.float32), k=60, tol=0.0, max_products=120)
    gram = (found.vectors @ found.vectors.T).double()
    assert (gram - torch.eye(60)).abs().max() < 1e-5
    assert (found.values > 40).sum() == 2


def test_what_has_not_converged_is_flagged():
    a = with_spectrum(torch.linspace(-1, 1, 100).tolist())
    found = lanczos(lambda v: a @ v, start(100), k=5, tol=1e-6, max_products=8)
    assert found.products == 8
    assert not found.converged.all()


def test_agrees_with_arpack():
    import numpy as np
    from scipy.sparse.linalg import eigsh

    a = with_spectrum(torch.randn(150, generator=torch.Generator().manual_seed(3)).tolist())
    found = lanczos(lambda v: a @ v, start(150), k=5, tol=1e-9)
    other = eigsh(a.numpy(), k=5, which="LM", return_eigenvectors=False)
    assert np.allclose(np.sort(found.values.numpy()), np.sort(other), rtol=1e-8)


def test_bad_requests():
    a = torch.eye(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="between 1 and the 3"):
        lanczos(lambda v: a @ v, start(3), k=4)
    with pytest.raises(ValueError, match="not finite"):
        lanczos(lambda v: v * float("nan"), start(3), k=1)
