"""Other parameters, a part of them, and batch statistics, in a network that stays as it was."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from landscape.subject.forward import normalise, substitute
from landscape.subject.objective import Objective, cross_entropy, ravel, unravel
from landscape.subject.penalty import L2


class Coupled:
    """A penalty of all parameters together: half the coefficient times the squared sum."""

    def value(self, params):
        return 0.5 * sum(p.double().sum() for p in params.values()) ** 2

    def gradient(self, params):
        total = sum(p.sum() for p in params.values())
        return {n: total.expand_as(p) for n, p in params.items()}

    def hvp(self, params, vector):
        total = sum(v.sum() for v in vector.values())
        return {n: total.expand_as(v) for n, v in vector.items()}


class Checkpointed(nn.Module):
    """Runs its middle forward again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)
        self.middle = nn.Sequential(nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 6), nn.GELU())
        self.save = True

    def forward(self, x):
        x = self.first(x)
        x = checkpoint(self.middle, x, use_reentrant=False) if self.save else self.middle(x)
        return self.last(x)


def some(params, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = sum(p.numel() for p in params.values())
    return unravel(torch.randn(n, generator=generator, dtype=torch.float64), params)


def state(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    modes = [m.training for m in model.modules()]
    return {n: (id(t), t.clone()) for n, t in tensors.items()}, modes


def same(before, after):
    (old, modes), (new, now) = before, after
    assert modes == now
    assert old.keys() == new.keys()
    for name, (identity, value) in old.items():
        assert new[name][0] == identity
        assert torch.equal(new[name][1], value)


def test_substitutes_follow_ties_nest_and_leave(build):
    net = build("plain")
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    twin = copy.deepcopy(net)  # functional_call does not put back what is tied
    before, out = state(net), net(x)
    moved = {n: 2 * p.detach() for n, p in net.named_parameters()}
    want = torch.func.functional_call(twin, moved, (x,))
    with substitute(net, moved):
        assert torch.equal(net(x), want)
        with substitute(net, {n: p / 2 for n, p in moved.items()}):
            assert torch.equal(net(x), out)
        assert torch.equal(net(x), want)
    same(before, state(net))
    with pytest.raises(RuntimeError, match="inside"), substitute(net, moved):
        raise RuntimeError("inside")
    same(before, state(net))
    with pytest.raises(ValueError, match="no parameter 'nobody'"), substitute(net, {"nobody": x}):
        pass


def test_checkpoints_run_forward_again_with_the_parameters_asked_for():
    torch.manual_seed(0)
    net = Checkpointed().double()
    plain = copy.deepcopy(net)
    plain.save = False
    batches = [(torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1]))]
    one, two = Objective(net, batches), Objective(plain, batches)
    away = {n: p + 0.1 * torch.randn_like(p) for n, p in one.parameters().items()}
    v = some(away)
    want = ravel(two.gradient(away))
    assert (ravel(one.gradient(away)) - want).norm() < 1e-13 * want.norm()
    for which in ("hessian", "ggn", "residual"):
        exact = ravel(replace(two, matrix=which).hvp(away, v))
        mine = replace(one, matrix=which)
        assert (ravel(mine.hvp(away, v)) - exact).norm() < 1e-13 * exact.norm()
        product = mine.linearise(away)
        for _ in range(2):
            assert (ravel(product(v)) - exact).norm() < 1e-13 * exact.norm()


def test_a_part_of_the_parameters_is_a_block_of_the_matrix(network, batches):
    full = Objective(network, batches, weight_decay=(L2(0.1), Coupled()))
    every = full.parameters()
    names = tuple(list(every)[1::3])
    part = replace(full, names=names)
    params = part.parameters()
    assert list(params) == list(names)
    assert torch.allclose(part.value(params), full.value(every), rtol=1e-14)
    gradient = full.gradient(every)
    v = some(params)
    for which in ("hessian", "ggn", "residual"):
        padded = {n: v.get(n, torch.zeros_like(p)) for n, p in every.items()}
        want = replace(full, matrix=which).hvp(every, padded)
        got = replace(part, matrix=which).hvp(params, v)
        assert list(got) == list(names)
        for n in names:
            assert torch.allclose(got[n], want[n], atol=1e-12)
    for n, g in part.gradient(params).items():
        assert torch.allclose(g, gradient[n], atol=1e-12)


def test_fixed_parameters_hold_no_graph(build, batches):
    net = build("msa")
    head = Objective(net, batches, names=("head.weight", "head.bias"))
    assert head.graph_bytes() < 0.1 * Objective(net, batches).graph_bytes()


def test_bad_names(build, batches):
    net = build("msa")
    with pytest.raises(ValueError, match=r"no trainable parameter 'nobody'; .* 'cls_token'"):
        Objective(net, batches, names=("head.bias", "nobody")).parameters()
    with pytest.raises(ValueError, match="names is empty"):
        Objective(net, batches, names=()).parameters()
    net.idle = nn.Parameter(torch.ones(3, dtype=torch.float64))
    idle = Objective(net, batches, names=("idle",))
    with pytest.raises(ValueError, match=r"depends on none of the 1 .* 'idle'"):
        idle.gradient(idle.parameters())
    with pytest.raises(ValueError, match="depends on none"):
        idle.hvp(idle.parameters(), idle.parameters())


def by_train_mode(net, batches, vector):
    """Product by double backward through a copy in train mode, each batch by itself."""
    twin = copy.deepcopy(net).train()
    leaves, total = list(twin.parameters()), 0.0
    count = sum(len(x) for x, _ in batches)
    for x, y in batches:
        first = torch.autograd.grad(cross_entropy(twin(x), y).sum(), leaves, create_graph=True)
        along = sum((g * v).sum() for g, v in zip(first, vector.values(), strict=True))
        second = torch.autograd.grad(along, leaves)
        total = total + torch.cat([g.reshape(-1) for g in second]) / count
    return total


@pytest.mark.parametrize("name", ["conv", "hybrid"])
def test_batch_statistics_are_those_of_each_batch(build, batches, name):
    net = build(name)
    before = state(net)
    objective = Objective(net, batches, batchnorm="batch")
    params = objective.parameters()
    v = some(params)
    want = by_train_mode(net, batches, v)
    h, g, r = (
        ravel(replace(objective, matrix=m).hvp(params, v)) for m in ("hessian", "ggn", "residual")
    )
    assert (h - want).norm() < 1e-12 * h.norm()
    assert (g + r - h).norm() < 1e-12 * h.norm()
    assert (ravel(objective.linearise(params)(v)) - h).norm() < 1e-13 * h.norm()
    running = ravel(replace(objective, batchnorm="eval").hvp(params, v))
    assert (running - h).norm() > 1e-2 * h.norm()
    step = 1e-6
    up, down = (
        objective.gradient({n: p + s * v[n] for n, p in params.items()}) for s in (step, -step)
    )
    if name == "hybrid":  # few of its units switch
        assert ((ravel(up) - ravel(down)) / (2 * step) - h).norm() < 1e-2 * h.norm()
    same(before, state(net))


def test_running_statistics_are_used_and_kept_whatever_the_mode(build, batches):
    net = build("conv")
    params = Objective(net, batches).parameters()
    want = Objective(net, batches).value(params)
    net.train()
    before = state(net)
    objective = Objective(net, batches)
    assert torch.equal(objective.value(params), want)
    assert all(torch.isfinite(p).all() for p in objective.gradient(params).values())
    objective.hvp(params, params)
    replace(objective, batchnorm="batch").hvp(params, params)
    same(before, state(net))


def test_instance_statistics_and_dropout():
    norm = nn.InstanceNorm2d(2, affine=True, track_running_stats=True).double().eval()
    net = nn.Sequential(norm, nn.Dropout())
    net.eval()
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    before = state(net)
    with normalise(net, "batch"):
        assert torch.allclose(net(x), nn.functional.instance_norm(x))
    assert torch.allclose(net(x), x / (1 + norm.eps) ** 0.5)
    same(before, state(net))


def test_a_network_without_such_layers_has_one_matrix(build, batches):
    objective = Objective(build("msa"), batches)
    params = objective.parameters()
    batch = replace(objective, batchnorm="batch", microbatch=2).hvp(params, params)
    assert torch.allclose(ravel(batch), ravel(objective.hvp(params, params)), atol=1e-12)
    with pytest.raises(ValueError, match="batchnorm is one of eval, batch, not 'train'"):
        replace(objective, batchnorm="train")
