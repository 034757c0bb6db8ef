"""Tangents through real networks against dense Jacobians and finite differences."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import jacobian as jacobian_of
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.subject.jacobian import passes, push
from landscape.subject.steps import steps


def images(b=2, size=8):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(b, 3, size, size, generator=generator, dtype=torch.float64)


def heard(net, x, seed=0):
    """For every step and level, the tangent that went in and the one that came out."""
    found = {}

    def draw(node, shape):
        generator = torch.Generator().manual_seed(seed + node)
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def fold(step, tangent, skip, end):
        if step.level == "block":
            found[step.name, "block"] = tangent, end.clone()
            return
        found[step.name, "branch"] = tangent, (end - skip if skip is not None else end).clone()
        if skip is not None:
            found[step.name, "skip"] = tangent, end.clone()

    for part in passes(steps(net, x)):
        push(net, x, part, draw, fold)
    return found


def inside(net, x, module):
    """What goes into a module, detached."""
    kept = []
    handle = net.get_submodule(module).register_forward_pre_hook(
        lambda m, args: kept.append(args[0].detach())
    )
    net(x)
    handle.remove()
    return kept[0]


def check(function, x, tangent, out):
    """One image at a time, against the dense Jacobian by reverse mode and a central difference."""
    with sdpa_kernel(SDPBackend.MATH):
        jacobian = jacobian_of(function, x)
    want = torch.tensordot(jacobian, tangent, x.ndim)
    torch.testing.assert_close(out, want, rtol=1e-9, atol=1e-11)
    step = 1e-6
    difference = (function(x + step * tangent) - function(x - step * tangent)) / (2 * step)
    torch.testing.assert_close(out, difference, rtol=1e-5, atol=1e-7)


def test_convolutional_block(build):
    net, x = build("conv"), images()
    found = heard(net, x)
    for name in ("stages.0.0", "stages.1.0"):
        block, into = net.get_submodule(name), inside(net, x, name)

        def branch(t, block=block):
            return block.bn2(block.conv2(block.relu(block.bn1(block.conv1(t)))))

        levels = {
            "branch": branch,
            "skip": lambda t, b=branch, block=block: b(t) + block.shortcut(t),
            "block": block,
        }
        for level, function in levels.items():
            tangent, out = found[f"{name}:conv", level]
            check(function, into, tangent, out)


def tokens(maps, prefix=1):
    """Maps as tokens behind a class token that is zero."""
    flat = maps.flatten(2).transpose(1, 2)
    return torch.cat([flat.new_zeros(len(flat), prefix, flat.shape[2]), flat], 1)


def test_attention_and_mlp_of_a_transformer(build):
    """Through LayerNorm, softmax and GELU; the class token has no tangent and is not read."""
    net, x = build("msa"), images()
    found = heard(net, x)
    for i in (0, 1):
        block, into = net.blocks[i], inside(net, x, f"blocks.{i}")
        middle = (into + block.attn(block.norm1(into))).detach()
        cases = {
            (f"blocks.{i}:msa", "branch"): (lambda t, b=block: b.attn(b.norm1(t)), into),
            (f"blocks.{i}:msa", "skip"): (lambda t, b=block: t + b.attn(b.norm1(t)), into),
            (f"blocks.{i}:mlp", "branch"): (lambda t, b=block: b.mlp(b.norm2(t)), middle),
            (f"blocks.{i}:mlp", "skip"): (lambda t, b=block: t + b.mlp(b.norm2(t)), middle),
            (f"blocks.{i}:msa+mlp", "block"): (block, into),
        }
        for key, (function, at) in cases.items():
            tangent, out = found[key]
            check(
                lambda t, f=function: f(t)[:, 1:],
                at,
                tokens(tangent),
                out.flatten(2).transpose(1, 2),
            )


def test_window_attention_of_a_hybrid(build):
    net, x = build("hybrid"), images()
    found = heard(net, x)
    block, into = net.stages[1][1], inside(net, x, "stages.1.1")

    def branch(t):
        return block.attn(block.bn2(block.reduce(nn.functional.gelu(block.bn1(t)))))

    check(branch, into, *found["stages.1.1:msa", "branch"])
    check(block, into, *found["stages.1.1:msa", "skip"])
    check(block, into, *found["stages.1.1:msa", "block"])
    first, into = net.stages[1][0], inside(net, x, "stages.1.0")
    active = nn.functional.relu(first.bn1(into)).detach()  # both ways begin there

    def main(t):
        return first.conv2(nn.functional.relu(first.bn2(first.conv1(t))))

    check(main, active, *found["stages.1.0:conv", "branch"])
    check(lambda t: main(t) + first.shortcut(t), active, *found["stages.1.0:conv", "skip"])


def test_operations_of_a_network_without_skips(build):
    net, x = build("plain"), images()
    found = heard(net, x)
    check(net[0], x, *found["0:conv", "branch"])


def test_multihead_attention_of_torch():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        6, 2, 8, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.layer = nn.Conv2d(3, 6, 2, 2), layer

        def forward(self, x):
            return self.layer(self.embed(x).flatten(2).transpose(1, 2)).mean(1)

    net, x = Net().double().eval(), images()
    found = heard(net, x)
    into = net.embed(x).flatten(2).transpose(1, 2).detach()

    def branch(t):
        y = layer.norm1(t)
        return layer.self_attn(y, y, y, need_weights=False)[0]

    tangent, out = found["layer:msa", "branch"]
    check(branch, into, tokens(tangent, 0), out.flatten(2).transpose(1, 2))


class Around(nn.Module):
    """A skip around a whole block into the next: together they are one operation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.one, self.two = Residual(), Residual()

    def forward(self, x):
        x = self.stem(x)
        return self.two(self.one(x), x).mean((2, 3))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x, beside=None):
        more = 0 if beside is None else beside.tanh()
        return x + self.conv(x).tanh() * (1 + more)


def test_a_skip_around_a_block():
    torch.manual_seed(0)
    net, x = Around().double().eval(), images()
    first = net.stem(x).detach()
    found = heard(net, x)
    check(lambda t: net.two(net.one(t), t), first, *found["two:conv", "skip"])
    check(lambda t: net.two(net.one(t), t) - t, first, *found["two:conv", "branch"])


def test_a_tangent_that_comes_around_an_end_is_held_back():
    """The steps of a chain without skips; a tensor from before the first is used after it."""

    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            x = x.tanh()
            y = self.one(x)
            return self.two(y).mul(x.sigmoid()).mean((2, 3))

    torch.manual_seed(0)
    net, x = Late().double().eval(), images()
    found = heard(net, x)
    check(net.one, x.tanh(), *found["one:conv", "branch"])
    check(net.two, net.one(x.tanh()).detach(), *found["two:conv", "branch"])


def test_one_pass_for_a_chain(build):
    x = images()
    assert len(passes(steps(build("conv"), x))) == 1
    assert len(passes(steps(build("msa"), x))) == 2  # blocks overlap with their second half
    ops = [s for s in steps(build("msa"), x) if s.level == "op"]
    assert len(passes(ops)) == 1


def test_network_that_takes_another_way_is_refused():
    class Fickle(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            x = x.relu() if float(x[0, 0, 0, 0]) > 0 else x.sigmoid().abs()
            return self.conv(x)

    net, x = Fickle().double(), images().abs() + 1
    part = passes(steps(net, x))[0]
    with pytest.raises(RuntimeError, match="another way for other images"):
        push(net, -x, part, lambda _, shape: torch.ones(shape).double(), lambda *_: None)


def test_nothing_is_left_behind(build):
    net, x = build("msa"), images()
    before = [p.clone() for p in net.parameters()]

    def fail(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(net, x, passes(steps(net, x))[0], lambda _, s: torch.ones(s).double(), fail)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert torch.overrides._get_current_function_mode_stack() == []
    with torch.autograd.forward_ad.dual_level():  # the level was left
        pass
