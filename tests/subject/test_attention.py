"""Attention of any network is heard as it is, and can be changed."""

import math

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from landscape.models.alternet import AlterNet
from landscape.models.sasa import SASA
from landscape.models.vit import ViT
from landscape.subject.attention import attending, average, uniform
from landscape.subject.probe import Tap, capture
from landscape.subject.sites import sites


class Written(nn.Module):
    """One attention over the pixels, in one of the ways that people write it."""

    def __init__(self, way, bias=False):
        super().__init__()
        self.way, self.dim, self.heads = way, 6, 2
        self.qkv = nn.Conv2d(3, 18, 1)
        self.bias = nn.Parameter(torch.randn(2, 16, 16)) if bias else None
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        b, _, h, w = x.shape
        q, k, v = self.qkv(x).view(b, 3, self.heads, 3, h * w).transpose(-2, -1).unbind(1)
        scale = 3**-0.5
        if self.way == "fused":
            out = scaled_dot_product_attention(q, k, v, self.bias)
        elif self.way == "causal":
            out = scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.way == "mask":
            near = torch.ones(h * w, h * w).tril(3).triu(-3).bool()
            out = scaled_dot_product_attention(q, k, v, near)
        elif self.way == "matmul":
            weights = q @ k.transpose(-2, -1) * scale
            weights = weights if self.bias is None else weights + self.bias
            out = weights.softmax(-1) @ v
        elif self.way == "einsum":
            weights = torch.einsum("bhid,bhjd->bhij", q, k) * scale
            weights = weights if self.bias is None else weights + self.bias
            out = torch.einsum("bhij,bhjd->bhid", weights.softmax(-1), v)
        elif self.way == "bmm":
            q, k, v = (t.flatten(0, 1) for t in (q, k, v))
            out = torch.bmm(torch.bmm(q, k.mT).mul(scale).softmax(-1), v).unflatten(0, (b, -1))
        elif self.way == "heads first":
            q, k, v = (t.transpose(0, 1).flatten(0, 1) for t in (q, k, v))
            out = (torch.bmm(q, k.mT).mul(scale).softmax(-1) @ v).unflatten(0, (-1, b))
            out = out.transpose(0, 1)
        elif self.way == "relu":
            out = (q @ k.mT).relu() @ v
        return self.head(out.mean(2).flatten(1))


def weights_of(net, x, change=None):
    heard = []

    def read(site, weights):
        heard.append((site, weights.detach()))
        return change and change(site, weights)

    with torch.no_grad(), attending(net, x, read):
        out = net(x)
    return heard, out


@pytest.mark.parametrize("way", ["matmul", "einsum", "bmm", "heads first"])
def test_every_way_of_writing_gives_the_same_weights(way):
    torch.manual_seed(0)
    fused, other = Written("fused"), Written(way)
    other.load_state_dict(fused.state_dict())
    x = torch.randn(3, 3, 4, 4)
    (one,), out = weights_of(fused, x)
    (two,), same = weights_of(other, x)
    assert one[0].heads == two[0].heads == 2
    torch.testing.assert_close(one[1], two[1])
    torch.testing.assert_close(out, same)


@pytest.mark.parametrize("way", ["fused", "matmul", "einsum"])
def test_a_bias_is_in_the_weights(way):
    net = Written(way, bias=True)
    x = torch.randn(3, 3, 4, 4)
    q, k, _ = net.qkv(x).view(3, 3, 2, 3, 16).transpose(-2, -1).unbind(1)
    want = (q @ k.mT / math.sqrt(3) + net.bias).softmax(-1)
    ((site, got),), _ = weights_of(net, x)
    torch.testing.assert_close(got, want.detach())
    assert site.queries.grid == site.keys.grid == (4, 4)
    assert torch.equal(site.queries.index[0], torch.arange(16))


def test_masked_weights_are_zero_and_uniform_leaves_them_so():
    x = torch.randn(2, 3, 4, 4)
    for way, seen in (
        ("causal", torch.ones(16, 16).tril()),
        ("mask", torch.ones(16, 16).tril(3).triu(-3)),
    ):
        ((_, got),), _ = weights_of(Written(way), x)
        assert torch.equal(got > 0, seen.bool().expand_as(got))
        flat = uniform(None, got)
        torch.testing.assert_close(flat, (seen / seen.sum(-1, keepdim=True)).expand_as(flat))


def test_weights_without_softmax_are_found():
    ((site, got),), _ = weights_of(Written("relu"), torch.randn(2, 3, 4, 4))
    assert site.heads == 2
    assert float(got.min()) == 0.0
    assert float(got.sum(-1).std()) > 0.1


def big(name):
    torch.manual_seed(0)
    if name == "vit":
        return ViT(dim=12, depth=2, heads=3), 32
    if name == "alternet":
        return AlterNet(), 32
    if name == "sasa":
        return SASA((1, 1, 1), (8, 16, 32)), 32
    if name == "torchvision vit":
        net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
        nn.init.normal_(net.heads[0].weight)
        return net, 32
    if name == "torchvision swin":
        net = torchvision.models.SwinTransformer([4, 4], 8, [2, 2], [1, 2], [4, 4])
        return net, 64
    return timm.create_model(name), 224


NAMES = ["vit", "alternet", "sasa", "torchvision vit", "torchvision swin"]
TIMM = ["deit_tiny_distilled_patch16_224", "swin_tiny_patch4_window7_224"]


@pytest.mark.parametrize("name", [*NAMES, *[pytest.param(n, marks=pytest.mark.slow) for n in TIMM]])
def test_reading_changes_nothing_and_handing_back_the_weights_neither(name):
    net, size = big(name)
    net.eval()
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        torch.backends.mha.set_fastpath_enabled(False)  # another kernel, which sees no operations
        plain = net(x)
        torch.backends.mha.set_fastpath_enabled(True)
    heard, out = weights_of(net, x)
    assert torch.equal(out, plain)
    for site, weights in heard:
        b, heads, n, m = weights.shape
        assert (b, heads) == (2 * site.windows, site.heads)
        assert (n, m) == (site.queries.rows.shape[1], site.keys.rows.shape[1])
        torch.testing.assert_close(weights.sum(-1), torch.ones(b, heads, n))
    _, same = weights_of(net, x, lambda site, a: a.clone())
    torch.testing.assert_close(same, plain)


@pytest.mark.parametrize("name", NAMES)
def test_an_edit_reaches_the_output(name):
    net, size = big(name)
    x = torch.randn(2, 3, size, size)
    _, plain = weights_of(net.eval(), x)
    for edit in (uniform, average):
        heard, other = weights_of(net, x, edit)
        assert not torch.allclose(other, plain, rtol=1e-4)
        again, _ = weights_of(net, x, edit)
        assert all(torch.equal(a[1], b[1]) for a, b in zip(heard, again, strict=True))


def test_average_is_the_mean_over_images():
    net, size = big("alternet")
    ((site, got), *_), _ = weights_of(net.eval(), torch.randn(3, 3, size, size))
    mean = average(site, got)
    want = sum(got.view(3, 16, 4, 16, 16)) / 3
    torch.testing.assert_close(mean.view(3, 16, 4, 16, 16)[1], want)


def test_class_tokens_are_told_from_places():
    net, size = big("vit")
    for site in sites(net.eval(), torch.randn(1, 3, size, size)):
        assert site.windows == 1
        assert site.queries.prefix[0].tolist() == [True] + [False] * 64
        assert site.keys.index[0].tolist() == [-1, *range(64)]
        assert site.queries.rows[0, 1:].tolist() == [i // 8 for i in range(64)]
        assert site.queries.columns[0, 1:].tolist() == [i % 8 for i in range(64)]


def test_windows_are_told_apart():
    net, size = big("alternet")
    found = sites(net.eval(), torch.randn(1, 3, size, size))
    assert [(s.windows, s.heads, s.queries.grid) for s in found] == [
        (16, 4, (16, 16)),
        (4, 8, (8, 8)),
        (4, 8, (8, 8)),
    ]
    second = found[0].queries
    assert second.rows[1].view(4, 4)[:, 0].tolist() == [0, 1, 2, 3]
    assert second.columns[1].view(4, 4)[0].tolist() == [4, 5, 6, 7]
    assert torch.equal(second.index.flatten().sort().values, torch.arange(256))


def test_shifted_windows_know_where_their_pixels_came_from():
    net, size = big("torchvision swin")
    plain, shifted = sites(net.eval(), torch.randn(1, 3, size, size))[:2]
    assert plain.queries.rows[0, 0] == 0
    assert shifted.queries.rows[0].view(4, 4)[:, 0].tolist() == [2, 3, 4, 5]
    assert shifted.queries.rows[-1].view(4, 4)[:, 0].tolist() == [14, 15, 0, 1]


def test_padding_around_the_map_is_no_place_of_it():
    site = sites(big("sasa")[0].eval(), torch.randn(1, 3, 32, 32))[0]
    assert site.keys.rows[0].view(8, 8)[:, 0].tolist() == list(range(-2, 6))
    assert int((site.keys.index[0] < 0).sum()) == 64 - 36
    assert int((site.queries.index < 0).sum()) == 0


def test_weights_that_are_not_the_operations_are_refused():
    class Dropping(Written):
        def forward(self, x):
            q = self.qkv(x).view(len(x), 3, 2, 3, 16).mT.unbind(1)
            return self.head(scaled_dot_product_attention(*q, dropout_p=0.5).mean(2).flatten(1))

    net, x = Dropping("fused"), torch.randn(2, 3, 4, 4)
    with (
        pytest.raises(RuntimeError, match=r"attention of '' was not found: .* off by"),
        attending(net, x, lambda site, a: None),
    ):
        net(x)


def test_images_of_another_size_are_refused():
    net = Written("fused")
    with (
        pytest.raises(ValueError, match="all images must have one size"),
        attending(net, torch.randn(2, 3, 4, 4), lambda site, a: None),
    ):
        net(torch.randn(2, 3, 8, 8))


def test_a_network_without_attention_has_none(build):
    assert sites(build("conv"), torch.randn(2, 3, 8, 8, dtype=torch.float64)) == []


def test_half_precision_and_gradients():
    net = Written("fused", bias=True)
    x = torch.randn(2, 3, 4, 4)
    with attending(net, x, lambda site, a: a * 1.0):
        net(x).sum().backward()
    with_edit = net.qkv.weight.grad.clone()
    net.zero_grad()
    net(x).sum().backward()
    torch.testing.assert_close(with_edit, net.qkv.weight.grad)
    heard, _ = weights_of(net.to(torch.bfloat16), x.to(torch.bfloat16))
    assert heard[0][1].dtype == torch.bfloat16


def test_nothing_is_left_behind():
    net = Written("fused")
    x = torch.randn(2, 3, 4, 4)

    def fail(site, weights):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), attending(net, x, fail):
        net(x)
    assert not net._forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.overrides._get_current_function_mode_stack() == []


@pytest.mark.parametrize("net", [ViT(size=8, patch=2, dim=8, depth=3, heads=2), Written("matmul")])
def test_contexts_nest_and_the_inner_reads_what_the_outer_made(net):
    net, x = net.double().eval(), torch.randn(3, 3, 8, 8, dtype=torch.float64)
    net, x = (net, x) if isinstance(net, ViT) else (net, x[..., :4, :4])
    seen, plain = [], []
    with torch.no_grad():
        want = changed(net, x, uniform)
        before = net(x)
        with attending(net, x, uniform) as found:
            last = found[-1:]
            with attending(net, x, lambda site, a: seen.append(a), last):
                inside = net(x)  # heard at the last site only, changed at all
            after = net(x)
            with attending(net, x, lambda site, a: plain.append(a) or a.softmax(-1)):
                both = net(x)
        again = net(x)
    assert len(seen) == 1
    assert len(plain) == len(found)
    assert all(torch.allclose(a, a[..., :1, :1].expand_as(a)) for a in seen + plain)
    assert torch.allclose(inside, want)
    assert torch.allclose(after, want)
    assert torch.allclose(both, want)  # of rows that are alike the softmax is uniform, too
    assert torch.equal(again, before)
    assert not torch.allclose(before, want)


def changed(net, x, change):
    with attending(net, x, change):
        return net(x)


def test_an_outer_context_goes_on_after_an_exception_in_an_inner_one():
    net, x = Written("fused").double(), torch.randn(2, 3, 4, 4, dtype=torch.float64)

    def stop(site, a):
        raise KeyboardInterrupt

    with torch.no_grad():
        want = changed(net, x, uniform)
        with attending(net, x, uniform):
            with pytest.raises(KeyboardInterrupt):
                changed(net, x, stop)
            assert torch.allclose(net(x), want)


def test_what_is_computed_beside_the_network_is_left_alone():
    """Products before a forward pass, in hooks during it, and after it; and an aborted pass."""
    net, x = (
        ViT(size=8, patch=2, dim=8, depth=2, heads=2).double(),
        torch.randn(3, 3, 8, 8).double(),
    )
    square = torch.eye(17).double()
    with torch.no_grad():
        want = changed(net, x, uniform)
        with attending(net, x, uniform):
            assert torch.equal(square @ square, square)
            with capture(net, [Tap("blocks.0", layout="tokens", prefix=1)], lambda m: m @ m.mT):
                assert torch.allclose(net(x), want)
            with (
                pytest.raises(ZeroDivisionError),
                capture(net, [Tap("patch_embed")], lambda m: 1 / 0),
            ):
                net(x)
            assert torch.equal(square @ square, square)
            assert torch.allclose(net(x), want)
