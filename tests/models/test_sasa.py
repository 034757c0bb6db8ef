"""Local attention equals a plain loop over pixels and their neighbours."""

import pytest
import torch

from landscape.models.card import find
from landscape.models.sasa import LocalAttention


def plain(attention, x, kernel):
    """Attend pixel by pixel, as the formula says."""
    b, c, h, w = x.shape
    q, k, v = attention.qkv(x).chunk(3, 1)
    d, r = c // attention.heads, kernel // 2
    out = torch.zeros_like(x)
    for n in range(b):
        for y in range(h):
            for z in range(w):
                for head in range(attention.heads):
                    cut = slice(head * d, (head + 1) * d)
                    logits, values = [], []
                    for i in range(max(y - r, 0), min(y + r + 1, h)):
                        for j in range(max(z - r, 0), min(z + r + 1, w)):
                            place = [attention.rows[i - y + r], attention.columns[j - z + r]]
                            key = k[n, cut, i, j] + torch.cat(place)
                            logits.append(q[n, cut, y, z] @ key / d**0.5)
                            values.append(v[n, cut, i, j])
                    weights = torch.stack(logits).softmax(0)
                    out[n, cut, y, z] = weights @ torch.stack(values)
    return out


@pytest.mark.parametrize(
    ("heads", "kernel", "size"), [(1, 5, (8, 8)), (2, 3, (4, 12)), (3, 7, (4, 4))]
)
def test_tiles_change_nothing(heads, kernel, size):
    torch.manual_seed(0)
    attention = LocalAttention(12, heads, kernel).double()
    x = torch.randn(2, 12, *size, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(attention(x), plain(attention, x, kernel), atol=1e-13)


def test_a_pixel_sees_its_neighbourhood_and_no_more():
    torch.manual_seed(0)
    attention = LocalAttention(4, 1, 5).double()
    x = torch.randn(1, 4, 12, 12, dtype=torch.float64, requires_grad=True)
    attention(x)[0, :, 6, 3].sum().backward()
    touched = x.grad[0].abs().sum(0) > 0
    expected = torch.zeros(12, 12, dtype=torch.bool)
    expected[4:9, 1:6] = True
    assert torch.equal(touched, expected)


def test_it_has_second_derivatives():
    torch.manual_seed(0)
    attention = LocalAttention(4, 2, 3, tile=2).double()
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(attention, (x,))


def test_a_map_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="a 6x8 map does not divide into 4x4 tiles"):
        LocalAttention(4, 1)(torch.zeros(1, 4, 6, 8))


def test_the_network_has_a_convolution_in_the_stem_alone():
    network = find("sasa_s").build()
    wide = [n for n, m in network.named_modules() if getattr(m, "kernel_size", 1) == (3, 3)]
    assert wide == ["stem.0"]
    assert sum(isinstance(m, LocalAttention) for m in network.modules()) == 9
