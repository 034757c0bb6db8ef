import random

import numpy as np
import pytest
import torch
from torch import nn

from landscape.subject.guest import untouched


def snapshot(net):
    """Everything a guest may not change, comparable by ==."""

    def raw(t):
        return None if t is None else (t.dtype, t.shape, t.detach().numpy().tobytes())

    hooks = [
        (name, attr, list(value))
        for name, m in net.named_modules()
        for attr, value in vars(m).items()
        if attr.endswith("_hooks") and isinstance(value, dict)
    ]
    return {
        "state": {n: raw(t) for n, t in net.state_dict().items()},
        "buffers": {n: raw(t) for n, t in net.named_buffers()},
        "identity": [id(p) for p in net.parameters()],
        "modules": [(n, id(m), m.training) for n, m in net.named_modules()],
        "grad": [(p.requires_grad, raw(p.grad), id(p.grad)) for p in net.parameters()],
        "hooks": hooks,
        "rng": (
            torch.get_rng_state().numpy().tobytes(),
            np.random.get_state()[1].tobytes(),
            random.getstate(),
        ),
    }


def guest():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    net.append(nn.Linear(4, 2))
    net.register_buffer("loose", torch.ones(2), persistent=False)
    net[4].weight.requires_grad_(False)
    net[1].eval()
    net[0].weight.grad = torch.ones_like(net[0].weight)
    net[0].register_forward_hook(lambda m, a, o: None)
    return net


def vandalise(net):
    net.train()
    net(torch.randn(4, 3, 3, 3)).sum().backward()
    for p in net.parameters():
        p.data.normal_()
        p.requires_grad_(True)
        p.grad = torch.zeros_like(p)
    net.loose += 1
    net[1].running_mean = torch.full((4,), 7.0)
    net[3] = nn.Identity()
    net[0].weight = nn.Parameter(torch.zeros(1))
    net[0]._forward_hooks.clear()
    net.register_forward_pre_hook(lambda m, a: None)
    np.random.rand(3), random.random(), torch.rand(3)


@pytest.mark.parametrize("end", [None, RuntimeError, KeyboardInterrupt])
def test_the_guest_leaves_as_it_came(end):
    net = guest()
    before = snapshot(net)
    if end is None:
        with untouched(net):
            vandalise(net)
    else:
        with pytest.raises(end), untouched(net):
            vandalise(net)
            raise end
    assert snapshot(net) == before


def test_the_gradient_tensor_is_restored_in_place():
    net = guest()
    with untouched(net):
        net[0].weight.grad.mul_(5)
    assert (net[0].weight.grad == 1).all()


def test_nan_weights_survive():
    net = nn.Linear(2, 2)
    net.weight.data[0, 0] = float("nan")
    before = snapshot(net)
    with untouched(net):
        net.weight.data.zero_()
    assert snapshot(net) == before
