"""Hessian, Gauss-Newton matrix and residual against dense references and each other."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from landscape.subject.forward import substitute
from landscape.subject.objective import Objective, cross_entropy, ravel, unravel
from landscape.subject.penalty import L2, matrices
from landscape.subject.products import double_backward

MATRICES = ("hessian", "ggn", "residual")


def squared(outputs, targets):
    return ((outputs - nn.functional.one_hot(targets, outputs.shape[1])) ** 2).sum(1)


def entangled(outputs, targets):
    """No per-class form, no convexity: any function of the outputs will do."""
    return (outputs.prod(1) + outputs.sin().sum(1)) * (1 + targets)


LOSSES = {"cross_entropy": cross_entropy, "squared": squared, "entangled": entangled}


def some(params, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = sum(p.numel() for p in params.values())
    return unravel(torch.randn(n, generator=generator, dtype=torch.float64), params)


def matrix(objective):
    """Dense, from its own products."""
    params = objective.parameters()
    product = objective.linearise(params)
    eye = torch.eye(ravel(params).numel(), dtype=torch.float64)
    return torch.stack([ravel(product(unravel(row, params))) for row in eye])


def gauss_newton(objective):
    """J' H_out J with every row of J, and of H_out of each example, by its own backward pass."""
    x, y = (torch.cat(parts) for parts in zip(*objective.batches, strict=True))
    leaves = {n: p.clone().requires_grad_() for n, p in objective.parameters().items()}
    with substitute(objective.model, leaves), double_backward():
        outputs = objective.model(x)
    total = 0.0
    for output, target in zip(outputs, y, strict=True):
        rows = [
            torch.autograd.grad(o, list(leaves.values()), retain_graph=True, materialize_grads=True)
            for o in output
        ]
        jacobian = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
        free = output.detach().requires_grad_()
        loss = objective.loss(free[None], target[None]).sum()
        (slope,) = torch.autograd.grad(loss, free, create_graph=True)
        bend = torch.stack([torch.autograd.grad(s, free, retain_graph=True)[0] for s in slope])
        total = total + jacobian.T @ bend @ jacobian
    return total / len(x)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_the_two_parts_add_up_to_the_hessian(network, batches, name):
    objective = Objective(network, batches, LOSSES[name], L2(0.1, matrices))
    params = objective.parameters()
    v = some(params)
    h, g, r = (ravel(replace(objective, matrix=m).hvp(params, v)) for m in MATRICES)
    assert (g + r - h).norm() < 1e-12 * h.norm()
    assert g.norm() > 1e-3 * h.norm()
    assert r.norm() > 1e-3 * h.norm()


def test_the_parts_add_up_with_soft_targets(network, batches):
    x = batches[0][0]
    y = torch.rand(len(x), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    objective = Objective(network, [(x, y.softmax(1))])
    params = objective.parameters()
    h, g, r = (ravel(replace(objective, matrix=m).hvp(params, some(params))) for m in MATRICES)
    assert (g + r - h).norm() < 1e-12 * h.norm()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gauss_newton_equals_jacobians_written_out(network, batches, name):
    objective = Objective(network, batches, LOSSES[name], matrix="ggn")
    want = gauss_newton(objective)
    params = objective.parameters()
    for seed in range(3):
        v = some(params, seed)
        got = ravel(objective.hvp(params, v))
        assert (got - want @ ravel(v)).norm() < 1e-12 * got.norm()


def test_gauss_newton_of_a_convex_loss_is_positive_semidefinite(build, batches):
    net = build("msa")
    names = tuple(n for n, _ in net.named_parameters() if n.startswith(("blocks.0.attn", "head")))
    dense = matrix(Objective(net, batches, matrix="ggn", names=names))
    assert torch.allclose(dense, dense.T, atol=1e-12)
    values = torch.linalg.eigvalsh(dense)
    assert values.min() > -1e-12 * values.max()
    indefinite = matrix(Objective(net, batches, names=names))
    assert torch.linalg.eigvalsh(indefinite).min() < -1e-3 * values.max()


def test_a_linear_model_is_its_own_linearisation(batches):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double()
    for loss in (squared, cross_entropy):
        objective = Objective(net, batches, loss)
        params = objective.parameters()
        v = some(params)
        h, g, r = (ravel(replace(objective, matrix=m).hvp(params, v)) for m in MATRICES)
        assert torch.allclose(g, h, rtol=1e-13, atol=1e-14)
        assert (r == 0).all()
        assert h.norm() > 0


def test_a_loss_linear_in_the_outputs_has_no_gauss_newton_matrix(build, batches):
    objective = Objective(build("msa"), batches, lambda o, t: o.sum(1))
    params = objective.parameters()
    v = some(params)
    h, g, r = (ravel(replace(objective, matrix=m).hvp(params, v)) for m in MATRICES)
    assert (g == 0).all()
    assert torch.allclose(h, r, atol=1e-13)
    assert r.norm() > 0


def test_penalties_belong_to_the_hessian_and_gauss_newton_only(build, batches):
    plain = Objective(build("conv"), batches)
    params = plain.parameters()
    v = some(params)
    for m, shift in zip(MATRICES, (0.5, 0.5, 0.0), strict=True):
        without = ravel(replace(plain, matrix=m).hvp(params, v))
        with_l2 = ravel(replace(plain, matrix=m, weight_decay=0.5).hvp(params, v))
        assert torch.allclose(with_l2, without + shift * ravel(v), atol=1e-12)


@pytest.mark.parametrize("which", MATRICES)
def test_retained_graphs_give_the_same_product_again_and_again(network, batches, which):
    objective = Objective(network, batches, matrix=which)
    params = objective.parameters()
    product = objective.linearise(params)
    for seed in (0, 1, 0):
        v = some(params, seed)
        want = ravel(objective.hvp(params, v))
        assert (ravel(product(v)) - want).norm() < 1e-13 * want.norm()


@pytest.mark.parametrize("which", MATRICES)
def test_each_matrix_is_symmetric_and_the_mean_of_single_examples(network, batches, which):
    objective = Objective(network, batches, matrix=which)
    params = objective.parameters()
    u, v = some(params, 1), some(params, 2)
    hu, hv = ravel(objective.hvp(params, u)), ravel(objective.hvp(params, v))
    assert torch.allclose(ravel(v) @ hu, ravel(u) @ hv, rtol=1e-10)
    pairs = [(x[None], y[None]) for xs, ys in batches for x, y in zip(xs, ys, strict=True)]
    singles = [ravel(replace(objective, batches=[p]).hvp(params, v)) for p in pairs]
    assert (torch.stack(singles).mean(0) - hv).norm() < 1e-12 * hv.norm()
    for order in (batches[::-1], [tuple(torch.cat(p) for p in zip(*batches, strict=True))]):
        other = ravel(replace(objective, batches=order).hvp(params, v))
        assert (other - hv).norm() < 1e-12 * hv.norm()


@pytest.mark.parametrize("which", MATRICES)
def test_fused_attention(which):
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    model = nn.Sequential(net, nn.Flatten(), nn.Linear(32, 2))
    objective = Objective(model, [(torch.randn(2, 4, 8), torch.tensor([0, 1]))], matrix=which)
    params = objective.parameters()
    assert torch.isfinite(ravel(objective.hvp(params, params))).all()


def test_rescaled_queries_and_keys_rescale_the_hessian(build, batches):
    """``q -> a q, k -> k / a`` is the same function; its Hessian is D H D at any gradient."""
    net, a = build("msa"), 3.0
    names = (*(n for n in net.state_dict() if ".qkv." in n), "head.weight")
    objective = Objective(net, batches[:1], names=names)
    params = objective.parameters()
    scale = {n: torch.ones_like(p) for n, p in params.items()}
    for n in names[:-1]:
        width = len(params[n]) // 3
        scale[n][:width] *= a
        scale[n][width : 2 * width] /= a
    before, d = matrix(objective), 1 / ravel(scale)
    with torch.no_grad():
        for n, p in net.named_parameters():
            if n in scale:
                p.mul_(scale[n])
    moved = objective.parameters()
    assert torch.allclose(objective.value(moved), objective.value(params), rtol=1e-12)
    after = matrix(objective)
    assert torch.allclose(after, d[:, None] * before * d, rtol=1e-10, atol=1e-10 * before.max())
    top, spectrum = (torch.linalg.eigvalsh(m) for m in (after, before))
    assert (top - spectrum).abs().max() > 1e-2 * spectrum.max()  # curvature is not of the function


def test_a_bad_choice_is_named(build, batches):
    with pytest.raises(ValueError, match="matrix is one of hessian, ggn, residual, not 'fisher'"):
        Objective(build("msa"), batches, matrix="fisher")
