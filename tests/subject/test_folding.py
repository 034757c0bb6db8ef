import copy

import pytest
import torch
from torch import nn

from landscape.subject.folding import folded, pairs


def blocks(**kwargs):
    return nn.Sequential(nn.Conv2d(3, 4, 3, **kwargs), nn.BatchNorm2d(4), nn.ReLU())


def stir(net):
    """Statistics and weights away from their start."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 3.0)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return net.double().eval()


X = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "net",
    [
        blocks(),
        blocks(bias=False, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, bias=False), nn.BatchNorm2d(6)),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False)),
    ],
)
def test_a_folded_pair_computes_the_same(net):
    net = stir(net)
    want = net(X)
    found = pairs(net, X)
    assert len(found) == 1
    with folded(found):
        assert torch.allclose(net(X), want, rtol=1e-12, atol=1e-12)
    assert torch.equal(net(X), want)


def test_networks_compute_the_same_and_most_norms_fold(network, batches):
    x, want = batches[0][0], network(batches[0][0])
    found = pairs(network, x)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(found) <= len(norms)
    if norms:
        assert found
    before = copy.deepcopy(network.state_dict())
    with folded(found):
        assert torch.allclose(network(x), want, rtol=1e-11, atol=1e-12)
    assert torch.equal(network(x), want)
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(v, before[n]) for n, v in network.state_dict().items())
    assert all("forward" not in vars(m) for m in network.modules())


class Twice(nn.Module):
    """The convolution's output is used beside the normalisation, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + y


class Shared(Twice):
    """One convolution before two normalisations."""

    def __init__(self):
        super().__init__()
        self.other = nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)) + self.other(self.conv(2 * x))


class Late(Twice):
    """The use comes later, by a method and in place."""

    def forward(self, x):
        y = self.conv(x)
        z = self.norm(y)
        return z * y.mean((2, 3), keepdim=True)


@pytest.mark.parametrize("kind", [Twice, Shared, Late])
def test_what_others_use_is_not_folded(kind):
    net = stir(kind())
    assert pairs(net, X) == []


def test_hooks_batch_statistics_and_odd_padding_are_left_alone():
    net = stir(blocks())
    handle = net[1].register_forward_hook(lambda *args: None)
    assert pairs(net, X) == []
    handle.remove()
    assert pairs(net.train(), X) == []
    assert pairs(stir(blocks(padding=1, padding_mode="reflect")), X) == []
    tracked = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    assert pairs(tracked.double().eval(), X) == []


def test_an_exception_inside_undoes_it():
    net = stir(blocks())
    want = net(X)
    with pytest.raises(KeyboardInterrupt), folded(pairs(net, X)):
        raise KeyboardInterrupt
    assert torch.equal(net(X), want)
