import json

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.subject.objective import Objective, ravel, unravel
from landscape.subject.penalty import L2, matrices


@pytest.fixture
def dense(matrix_of):
    """All eigenvalues of the dense Hessian, by magnitude."""

    def find(model, batches, weight_decay=0.0):
        values = torch.linalg.eigvalsh(matrix_of(model, batches, weight_decay=weight_decay))
        return values[values.abs().argsort(descending=True)].numpy()

    return find


def test_each_batch_and_the_whole_equal_the_dense_hessian(network, batches, dense):
    result = landscape.hessian(network, batches, k=4, tol=1e-8)
    for index, batch in enumerate(batches):
        want = dense(network, [batch])[:4]
        assert np.allclose(result.eigenvalue[index], want, rtol=1e-8)
    assert np.allclose(result.set_eigenvalue, dense(network, batches)[:4], rtol=1e-8)
    assert result.converged.all()
    assert result.set_converged.all()
    assert result.examples.values.tolist() == [5, 2]
    assert (np.diff(np.abs(result.eigenvalue), axis=1) <= 1e-9).all()


def test_the_default_tolerance_is_kept(network, batches, dense):
    result = landscape.hessian(network, batches, k=3)
    for index, batch in enumerate(batches):
        every = dense(network, [batch])
        for value, residual in zip(
            result.eigenvalue[index].values, result.residual[index].values, strict=True
        ):
            assert np.abs(every - value).min() <= residual + 1e-9
            assert residual <= 1e-3 * abs(value)


def test_weight_decay_shifts_every_eigenvalue(network, batches, dense):
    one = batches[:1]
    plain = dense(network, one)
    shifted = landscape.hessian(network, one, k=3, tol=1e-8, weight_decay=2.0)
    want = plain + 2.0
    want = want[np.abs(want).argsort()[::-1]][:3]
    assert np.allclose(shifted.eigenvalue[0], want, rtol=1e-8)
    masked = landscape.hessian(network, one, k=3, tol=1e-8, weight_decay=L2(2.0, matrices))
    assert np.allclose(masked.eigenvalue[0], dense(network, one, L2(2.0, matrices))[:3], rtol=1e-8)
    assert not np.allclose(masked.eigenvalue[0], want, rtol=1e-6)


def test_a_quadratic_has_its_spectrum_with_signs():
    """Eigenvalues 1, -1 and 0.99: what power iteration with deflation gets wrong."""
    d = torch.tensor([1.0, -1.0, 0.99], dtype=torch.float64)

    def loss(outputs, targets):
        return (0.5 * d * outputs**2).sum(1)

    class Weights(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64))

        def forward(self, x):
            return self.w.expand(len(x), 3) * x

    batches = [(torch.ones(4, 3, dtype=torch.float64), torch.zeros(4))]
    result = landscape.hessian(Weights(), batches, k=3, loss=loss)
    assert sorted(result.eigenvalue[0].values.round(8)) == [-1.0, 0.99, 1.0]


def test_ragged_batches_weigh_by_examples(network, batches):
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    together = landscape.hessian(network, [(x, y)], k=2, tol=1e-8)
    apart = landscape.hessian(network, batches, k=2, tol=1e-8)
    assert np.allclose(together.eigenvalue[0], apart.set_eigenvalue, rtol=1e-8)
    assert np.allclose(together.set_eigenvalue, together.eigenvalue[0])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_agrees_with_pyhessian(build):
    """The cross-check: a peer's power iteration on one batch, to its own tolerance."""
    from pyhessian import hessian as peer

    torch.manual_seed(0)
    net = build("conv").float()
    x, y = torch.randn(16, 3, 8, 8), torch.randint(3, (16,))
    ours = landscape.hessian(net, [(x, y)], k=1)
    theirs = peer(net, nn.CrossEntropyLoss(), data=(x, y), cuda=False)
    values, _ = theirs.eigenvalues(maxIter=500, tol=1e-5, top_n=1)
    assert ours.eigenvalue[0, 0].item() == pytest.approx(values[0], rel=2e-3)


def test_limits_are_said(build, batches):
    net = build("msa")
    with pytest.raises(ValueError, match="k must be between 1"):
        landscape.hessian(net, batches, k=0)
    few = landscape.hessian(net, batches, k=3, max_products=4, whole=False)
    assert not few.converged.all()
    assert (few.products == 4).all()
    assert "set_eigenvalue" not in few
    with pytest.raises(ValueError, match="only 3 outputs"):
        landscape.hessian(net, [(batches[0][0], batches[0][1] + 3)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_published_transformers_do_not_crash_on_fused_attention(name):
    """Every peer dies here: the default attention kernel has no second derivative."""
    import timm
    import torchvision

    torch.manual_seed(0)
    net = (
        timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64)
        if name == "timm"
        else torchvision.models.VisionTransformer(64, 16, 2, 3, 96, 192)
    )
    result = landscape.hessian(net, [(torch.randn(2, 3, 64, 64), torch.tensor([1, 2]))], k=1)
    assert result.converged.all()
    assert np.isfinite(result.eigenvalue).all()


def test_both_ends_equal_the_dense_hessian(network, batches, dense):
    result = landscape.hessian(network, batches, k=3, tol=1e-8, ends=True)
    rising = np.sort(dense(network, batches))
    assert np.allclose(result.end_eigenvalue.sel(end="largest"), rising[:-4:-1], rtol=1e-7)
    assert np.allclose(result.end_eigenvalue.sel(end="smallest"), rising[:3], rtol=1e-7)
    plain = landscape.hessian(network, batches, k=3, tol=1e-8)
    assert np.allclose(result.set_eigenvalue, plain.set_eigenvalue, rtol=1e-7)


def test_gauss_newton_and_the_rest_make_the_eigenvalue(network, batches):
    one = batches[:1]
    result = landscape.hessian(network, one, k=3, tol=1e-8, parts=True, vectors=True)
    risk = Objective(network, one, matrix="residual")
    params = risk.parameters()
    shapes = json.loads(result.attrs["weights"])
    assert [name for name, _ in shapes] == list(params)
    for rank in range(3):
        v = torch.tensor(result.set_vector.values[rank])
        assert np.isclose(v.norm(), 1)
        rest = v @ ravel(risk.hvp(params, unravel(v, params)))
        whole = result.gauss_newton[0, rank] + rest.item()
        assert np.isclose(whole, result.eigenvalue[0, rank], rtol=1e-7)
        assert result.gauss_newton[0, rank] >= 0


def test_shares_and_their_intervals(build):
    torch.manual_seed(0)
    net = build("msa")
    items = [(torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.arange(3)) for _ in range(6)]
    result = landscape.hessian(net, items, k=4, whole=False)
    values = result.eigenvalue.values
    assert result.nep == pytest.approx((values < 0).mean())
    assert result.ape == pytest.approx(values[values > 0].mean())
    assert result.nep_low <= result.nep <= result.nep_high
    assert result.ape_low < result.ape < result.ape_high
    single = landscape.hessian(net, items[:1], k=4)
    assert np.isnan(single.nep_low)


def test_matrix_parameters_and_batchnorm_are_heard(build, batches):
    net = build("conv")
    every = landscape.hessian(net, batches[:1], k=2)
    ggn = landscape.hessian(net, batches[:1], k=2, matrix="ggn")
    head = landscape.hessian(net, batches[:1], k=2, parameters="head|fc|weight")
    own = landscape.hessian(net, batches[:1], k=2, batchnorm="batch")
    assert (ggn.eigenvalue >= 0).all()
    for other in (ggn, head, own):
        assert not np.allclose(other.eigenvalue, every.eigenvalue)
    assert json.loads(own.attrs["settings"])["batchnorm"] == "batch"


def test_the_peer_as_engine(build):
    torch.manual_seed(0)
    net = build("conv").float()
    batches = [(torch.randn(16, 3, 8, 8), torch.randint(3, (16,)))]
    ours = landscape.hessian(net, batches, k=1)
    peer = landscape.hessian(net, batches, k=1, engine="pyhessian", tol=1e-5, max_products=500)
    assert np.allclose(ours.eigenvalue, peer.eigenvalue, rtol=2e-3)
    assert not peer.converged.any()
    assert np.isnan(peer.residual).all()
    with pytest.raises(ValueError, match="weight_decay"):
        landscape.hessian(net, batches, k=1, engine="pyhessian", weight_decay=0.1)
    with pytest.raises(ValueError, match="engine is one of"):
        landscape.hessian(net, batches, k=1, engine="other")
    with pytest.raises(ValueError, match="parts needs"):
        landscape.hessian(net, batches, k=1, engine="pyhessian", parts=True)
