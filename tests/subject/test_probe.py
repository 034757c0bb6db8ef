"""What is heard at the taps is the residual stream; listening ends with the context."""

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules import module as hooks

from landscape.models.alternet import AlterNet
from landscape.models.resnet import ResNet
from landscape.models.vit import ViT
from landscape.subject.probe import Tap, capture, discover


def build(maker, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return maker(*args, **options).eval()


def images(h, w=None):
    return torch.randn(2, 3, h, w or h, generator=torch.Generator().manual_seed(0))


def stream(blocks, x):
    """The residual stream of pre-norm transformer blocks, by hand."""
    for block in blocks:
        x = x + getattr(block, "ls1", nn.Identity())(block.attn(block.norm1(x)))
        yield x
        x = x + getattr(block, "ls2", nn.Identity())(block.mlp(block.norm2(x)))
        yield x


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vit_tiny_patch16_224", (32, 48)),
        ("deit_tiny_distilled_patch16_224", (64, 64)),
        ("vit_small_patch14_reg4_dinov2", (56, 56)),
    ],
)
def test_the_stream_of_a_timm_transformer(name, size):
    model, x = build(timm.create_model, name, img_size=size, depth=2), images(*size)
    taps = discover(model, x)
    with capture(model, taps) as heard:
        y = model(x)
    first = model.norm_pre(model._pos_embed(model.patch_embed(x)))
    by_hand = [first, *stream(model.blocks, first)]
    for tap, tokens in zip(taps, by_hand, strict=True):
        assert torch.equal(heard[tap], tap.read(tokens)), tap
    assert torch.allclose(model.forward_head(model.norm(by_hand[-1])), y, atol=1e-5)


@torch.no_grad()
def test_the_stream_of_our_transformer():
    model, x = build(ViT), images(32)
    taps = discover(model, x)
    with capture(model, taps) as heard:
        y = model(x)
    patches = model.patch_embed(x).flatten(2).transpose(1, 2)
    first = torch.cat([model.cls_token.expand(2, -1, -1), patches], 1) + model.pos_embed
    by_hand = [first, *stream(model.blocks, first)]
    for tap, tokens in zip(taps, by_hand, strict=True):
        assert torch.equal(heard[tap], tap.read(tokens)), tap
    assert torch.allclose(model.head(model.norm(by_hand[-1])[:, 0]), y, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("maker", [ResNet, AlterNet])
def test_blocks_one_after_the_other_are_the_network(maker):
    model, x = build(maker), images(32)
    taps = discover(model, x)
    with capture(model, taps) as heard:
        y = model(x)
    by_hand = [model.stem(x)]
    for stage in model.stages:
        for block in stage:
            by_hand.append(block(by_hand[-1]))
    for tap, maps in zip(taps, by_hand, strict=True):
        assert torch.equal(heard[tap], maps), tap
    last = model.norm(by_hand[-1]).relu() if maker is AlterNet else by_hand[-1]
    assert torch.allclose(model.head(last.mean((2, 3))), y, atol=1e-5)


def hooked(model):
    """Hooks of the modules, hooks of all modules, and the switch that listening turns."""
    local = [len(v) for m in model.modules() for k, v in vars(m).items() if k.endswith("_hooks")]
    shared = [len(v) for k, v in vars(hooks).items() if k.startswith("_global_") and v is not None]
    return local, shared, torch.backends.mha.get_fastpath_enabled()


@pytest.fixture
def net():
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3), nn.Flatten()]
    return build(nn.Sequential, *layers)


@torch.no_grad()
def test_operations_in_place_do_not_rewrite_what_was_heard(net):
    x = images(8)
    with capture(net, [Tap("0"), Tap("1", "in"), Tap("1"), Tap("2", "in")]) as heard:
        net(x)
    conv, argument, relu, following = heard.values()
    assert torch.equal(conv, net[0](x))
    assert (conv < 0).any()
    assert torch.equal(argument, conv)
    assert torch.equal(relu, conv.relu())
    assert torch.equal(following, relu)


@torch.no_grad()
def test_fold_is_applied_inside_the_hook(net):
    calls = []

    def lowest(maps):
        calls.append(tuple(maps.shape))
        return maps.amin().item()

    with capture(net, [Tap("0"), Tap("1")], lowest) as heard:
        net(images(8))
        once = dict(heard)
        net(2 * images(8))
    assert calls == [(2, 4, 6, 6)] * 4
    assert once[Tap("0")] < 0  # the maps as they were before the ReLU overwrote them
    assert once[Tap("1")] == heard[Tap("1")] == 0
    assert heard[Tap("0")] < once[Tap("0")]  # a later pass replaces


def test_what_is_heard_has_no_gradient_and_the_network_keeps_its_own(net):
    with capture(net, [Tap("0")]) as heard:
        net(images(8)).sum().backward()
    assert not heard[Tap("0")].requires_grad
    assert net[0].weight.grad.abs().sum() > 0


@torch.no_grad()
def test_tensors_inside_keywords_dictionaries_and_tuples():
    class Inner(nn.Module):
        def forward(self, *, mask, x):
            return {"maps": ([2 * x, mask],)}

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(mask=None, x=x)["maps"][0][0]

    model, x = Outer(), images(4)
    with capture(model, [Tap("inner", "in"), Tap("inner")]) as heard:
        model(x)
    assert torch.equal(heard[Tap("inner", "in")], x)
    assert torch.equal(heard[Tap("inner")], 2 * x)


@pytest.mark.parametrize("end", [None, RuntimeError, KeyboardInterrupt])
def test_listening_ends_with_the_context(net, end):
    before = hooked(net)
    with pytest.raises(end) if end else torch.no_grad(), capture(net, [Tap("0"), Tap("1", "in")]):
        net(images(8))
        assert all(
            during != past for during, past in zip(hooked(net)[::2], before[::2], strict=True)
        )
        if end:
            raise end
    assert hooked(net) == before


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        (Tap("nowhere"), "no module 'nowhere'"),
        (Tap("4"), "nothing was heard at 4:out"),
        (Tap("0", layout="tokens"), r"tap 0:out hears \(2, 4, 6, 6\), which is not tokens"),
    ],
)
def test_a_tap_that_cannot_be_heard_is_refused(net, tap, message):
    net.append(nn.Identity())
    before = hooked(net)
    with pytest.raises(ValueError, match=message), capture(net, [Tap("0"), tap]):
        net[:4](images(8))  # the last module is not called
    assert hooked(net) == before


def test_a_module_without_tensors_is_refused():
    class Count(nn.Module):
        def forward(self, x):
            return len(x)

    model = Count()
    with pytest.raises(ValueError, match="tap :out hears no tensor"), capture(model, [Tap("")]):
        model(images(4))


@pytest.mark.parametrize(
    ("tap", "message"),
    [
        (Tap("x", layout="tokens", grid=(3, 4)), "16 tokens after 0 prefix tokens are no 3x4 grid"),
        (Tap("x", layout="tokens", prefix=1), "15 tokens after 1 prefix tokens are no 4x4 grid"),
        (Tap("x", layout="nchw"), r"hears \(2, 16, 8\), which is not nchw"),
        (Tap("x", layout="nhwc"), r"hears \(2, 16, 8\), which is not nhwc"),
    ],
)
def test_tokens_that_are_no_grid_are_refused(tap, message):
    with pytest.raises(ValueError, match=message):
        tap.read(torch.zeros(2, 16, 8))


def test_reading_puts_the_channels_second_and_drops_the_prefix():
    x = torch.arange(2 * 6 * 5.0).reshape(2, 6, 5)
    maps = Tap("x", layout="tokens", grid=(2, 3)).read(x)
    assert torch.equal(maps[1, :, 1, 0], x[1, 3])
    assert torch.equal(maps, Tap("x", layout="nhwc").read(x.reshape(2, 2, 3, 5)))
    more = torch.cat([torch.ones(2, 2, 5), x], 1)
    assert torch.equal(maps, Tap("x", layout="tokens", prefix=2, grid=(2, 3)).read(more))
    assert Tap("x").read(maps) is maps
