"""Second derivatives of the kernels, beside torch's own, in float64."""

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from landscape.subject.kernels import swift


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(6, 18)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return scaled_dot_product_attention(q, k, v)


class Rows(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)


NETWORKS = {
    "conv": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Tanh(), nn.Conv2d(4, 2, 3)),
    "grouped": lambda: nn.Sequential(nn.Conv2d(3, 6, 3, groups=3, dilation=2), nn.Tanh(), Rows()),
    "folded": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Tanh(), nn.Conv2d(4, 2, 1), Rows()
    ),
    "norm": lambda: nn.Sequential(
        nn.Linear(8, 6), nn.LayerNorm(6), nn.GELU(), nn.LayerNorm((8, 6))
    ),
    "attention": lambda: nn.Sequential(nn.Linear(8, 6), Attention(), nn.Softmax(-1)),
}


def product(net, x, kernels):
    """Hessian of a loss that is not linear in the outputs, times a fixed vector."""
    leaves = list(net.parameters())
    generator = torch.Generator().manual_seed(1)
    vectors = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in leaves]
    with sdpa_kernel(SDPBackend.MATH):
        if kernels:
            with swift():
                out = net(x)
        else:
            out = net(x)
        slope = torch.autograd.grad((out**3).sum(), leaves, create_graph=True)
        return out, slope, torch.autograd.grad(slope, leaves, vectors)


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_to_torch(name):
    torch.manual_seed(0)
    net = NETWORKS[name]().double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.weight)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    mine, theirs = product(net, x, True), product(net, x, False)
    torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


def test_a_convolution_used_twice_is_still_folded_right():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + y.tanh()

    torch.manual_seed(0)
    net = Twice().double().eval()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(
        product(net, x, True), product(net, x, False), rtol=1e-10, atol=1e-10
    )


def test_one_image_that_leaves_as_rows_has_the_right_gradient():
    """Torch's batch normalisation misreads a gradient whose stride along one image is odd."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double().eval()
    x = torch.randn(1, 3, 3, 3, dtype=torch.float64)
    g = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    odd = g.contiguous(memory_format=torch.channels_last).as_strided(g.shape, (4, 1, 12, 4))
    assert torch.equal(odd, g)
    with swift():
        output = net(x)
    (mine,) = torch.autograd.grad(output, net[1].bias, odd)
    torch.testing.assert_close(mine, g.sum((0, 2, 3)))
