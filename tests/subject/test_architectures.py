"""Taps of published architectures against statements that know nothing of taps.

The width of a module's own layers, the model's own number of prefix tokens, the classes of its
modules, and the network itself: put what a tap heard back, and the rest of the network follows.
"""

import re
from collections import Counter
from contextlib import ExitStack
from functools import partial
from itertools import islice

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torchvision.models.convnext import CNBlockConfig

from landscape.models import alternet, blurnet, resnet, sasa, vit
from landscape.subject.places import tensors
from landscape.subject.probe import capture, discover

WIDE = (64, 96)


def from_timm(name, size=WIDE, sized=True, **options):
    """Builder, and the size of the images; most networks are built for that size."""
    if sized:
        options["img_size"] = size
    return lambda: timm.create_model(name, **options), size


def own(module):
    return lambda: module.CARDS[0].build(), (32, 32)


def swin_of_torchvision():
    shape = {"patch_size": [4, 4], "embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2]}
    return tv.SwinTransformer(window_size=[4, 4], **shape)


def convnext_of_torchvision():
    return tv.ConvNeXt(
        [CNBlockConfig(8, 16, 2), CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)]
    )


def maxvit_of_torchvision():
    shape = {"stem_channels": 8, "partition_size": 2, "head_dim": 4}
    return tv.MaxVit(
        (64, 64), block_channels=[8, 16], block_layers=[1, 2], stochastic_depth_prob=0, **shape
    )


def vit_of_torchvision():
    size = {"image_size": 64, "patch_size": 16, "hidden_dim": 32, "mlp_dim": 64}
    return tv.VisionTransformer(num_layers=2, num_heads=2, **size)


class Count:
    """Number of modules of some classes, by name, and perhaps with a trait."""

    def __init__(self, model):
        self.modules = list(model.modules())

    def __call__(self, *names, where=lambda module: True):
        found = {name: [m for m in self.modules if type(m).__name__ == name] for name in names}
        assert all(found.values()), names
        return sum(where(m) for modules in found.values() for m in modules)


def depthwise(module):
    return any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in module.modules())


def spatial(module):
    return any(isinstance(m, nn.Conv2d) and m.kernel_size > (1, 1) for m in module.modules())


def pointwise(module):
    return not spatial(module)


def transformer(n, attention="Attention", mlp="Mlp", **more):
    return {"stem": 1, "msa": n(attention), "mlp": n(mlp), **more}


#: name: (builder, size of the images), kinds as the architecture's classes tell them
NETS = {
    "resnet50": (
        from_timm("resnet50", sized=False, layers=(1, 2, 1, 1)),
        lambda n: {"stem": 1, "conv": n("Bottleneck")},
    ),
    "convnext": (
        from_timm("convnext_tiny", sized=False, depths=(1, 1, 2, 1)),
        lambda n: {"stem": 1, "dwconv": n("ConvNeXtBlock"), "pool": n("ConvNeXtStage") - 1},
    ),
    "vit_small": (from_timm("vit_small_patch16_224", depth=2), transformer),
    "vit_base": (from_timm("vit_base_patch16_224", depth=1), transformer),
    "deit_tiny": (from_timm("deit_tiny_patch16_224", depth=2), transformer),
    "deit_small": (from_timm("deit_small_patch16_224", depth=2), transformer),
    "deit_base": (from_timm("deit_base_patch16_224", depth=1), transformer),
    "deit_distilled": (from_timm("deit_small_distilled_patch16_224", depth=2), transformer),
    "registers": (from_timm("vit_small_patch14_reg4_dinov2", (56, 84), depth=2), transformer),
    "swin": (
        from_timm("swin_tiny_patch4_window7_224", window_size=4, depths=(2, 2, 2, 1)),
        lambda n: transformer(n, "WindowAttention", pool=n("PatchMerging")),
    ),
    "pit": (from_timm("pit_s_224", depth=(1, 2, 1)), lambda n: transformer(n, pool=n("Pooling"))),
    "pit_distilled": (
        from_timm("pit_s_distilled_224", depth=(1, 1, 1)),
        lambda n: transformer(n, pool=n("Pooling")),
    ),
    "mixer": (
        from_timm("mixer_s16_224", (64, 64)),
        lambda n: {"stem": 1, "mlp": n("Mlp")},
    ),
    "maxvit": (
        from_timm("maxvit_tiny_tf_224", (64, 64), depths=(1, 1, 2, 1)),
        lambda n: transformer(n, "AttentionCl", dwconv=n("MbConvBlock")),
    ),
    "hybrid": (
        from_timm("vit_small_r26_s32_224", depth=2),
        lambda n: transformer(n, conv=n("Bottleneck")) | {"mlp": n("Mlp") + n("HybridEmbed")},
    ),
    "levit_128s": (
        from_timm("levit_128s", (128, 128)),
        lambda n: {"stem": 1, "msa": n("Attention", "AttentionDownsample"), "mlp": n("LevitMlp")},
    ),
    "levit_192": (
        from_timm("levit_192", (128, 128)),
        lambda n: {"stem": 1, "msa": n("Attention", "AttentionDownsample"), "mlp": n("LevitMlp")},
    ),
    "mobilevit": (
        from_timm("mobilevit_s", (64, 128), sized=False),
        lambda n: {
            "stem": 1,
            "dwconv": n("BottleneckBlock"),
            "conv": 2 * n("MobileVitBlock"),
            "msa": n("Attention"),
            "mlp": n("Mlp") + 1,
        },
    ),
    "mobilevitv2": (
        from_timm("mobilevitv2_050", (64, 128), sized=False),
        lambda n: {
            "stem": 1,
            "dwconv": n("BottleneckBlock", "MobileVitV2Block"),
            "msa": n("LinearSelfAttention"),
            "mlp": n("ConvMlp", "MobileVitV2Block"),
        },
    ),
    "mobilevitv2 folded": (
        from_timm("mobilevitv2_050", (96, 96), sized=False),
        lambda n: {
            "stem": 1,
            "dwconv": n("BottleneckBlock", "MobileVitV2Block"),
            "msa": n("LinearSelfAttention"),
            "mlp": n("ConvMlp", "MobileVitV2Block"),
        },
    ),
    "xcit": (
        from_timm("xcit_small_12_p16_224", sized=False, depth=2),
        lambda n: {
            "stem": 1,
            "msa": n("XCA"),
            "dwconv": n("LPI"),
            "mlp": n("XCABlock"),
            "norm": 2 * n("ClassAttentionBlock"),
        },
    ),
    "visformer": (
        from_timm("visformer_tiny", (64, 64)),
        lambda n: {
            "stem": 1,
            "msa": n("Attention"),
            "conv": n("SpatialMlp", where=spatial),
            "mlp": n("SpatialMlp", where=pointwise),
            "pool": 2,
        },
    ),
    "torchvision vit": (
        (vit_of_torchvision, (64, 64)),
        lambda n: {"stem": 1, "msa": n("EncoderBlock"), "mlp": n("MLPBlock")},
    ),
    "torchvision swin": (
        (swin_of_torchvision, WIDE),
        lambda n: {
            "stem": 1,
            "msa": n("ShiftedWindowAttention"),
            "mlp": n("MLP"),
            "pool": n("PatchMerging"),
        },
    ),
    "torchvision convnext": (
        (convnext_of_torchvision, WIDE),
        lambda n: {"stem": 1, "dwconv": n("CNBlock"), "pool": 2},
    ),
    "torchvision resnet50": ((tv.resnet50, WIDE), lambda n: {"stem": 1, "conv": n("Bottleneck")}),
    "torchvision maxvit": (
        (maxvit_of_torchvision, (64, 64)),
        lambda n: {
            "stem": 1,
            "dwconv": n("MBConv"),
            "msa": n("PartitionAttentionLayer"),
            "mlp": n("PartitionAttentionLayer"),
        },
    ),
    "resnet_s": (own(resnet), lambda n: {"stem": 1, "conv": n("BasicBlock")}),
    "blurnet_s": (own(blurnet), lambda n: {"stem": 1, "conv": n("BasicBlock"), "pool": n("Blur")}),
    "vit_s": (own(vit), lambda n: {"stem": 1, "msa": n("Block"), "mlp": n("Block")}),
    "alternet_s": (
        own(alternet),
        lambda n: {"stem": 1, "conv": n("ConvBlock"), "msa": n("AttentionBlock")},
    ),
    "sasa_s": (own(sasa), lambda n: {"stem": 1, "msa": n("LocalAttention")}),
    "hiera": (
        from_timm("hiera_tiny_224", (128, 192), stages=(1, 1, 2, 1)),
        lambda n: transformer(n, "MaskUnitAttention"),
    ),
    "nest": (
        from_timm("nest_tiny", (64, 64)),
        lambda n: transformer(n, pool=n("ConvPool")),
    ),
    "efficientnet": (
        from_timm("efficientnet_b0", sized=False),
        lambda n: {"stem": 1, "dwconv": n("DepthwiseSeparableConv", "InvertedResidual"), "mlp": 1},
    ),
    "mobilenetv3": (
        from_timm("mobilenetv3_small_100", sized=False),
        lambda n: {
            "stem": 1,
            "dwconv": n("DepthwiseSeparableConv", "InvertedResidual"),
            "mlp": n("ConvBnAct"),
        },
    ),
    "mobilenetv4": (
        from_timm("mobilenetv4_conv_small", sized=False),
        lambda n: {
            "stem": 1,
            "conv": n("ConvBnAct", where=spatial),
            "dwconv": n("UniversalInvertedResidual", where=depthwise),
            "mlp": n("ConvBnAct", where=pointwise),
        },
    ),
    "regnet": (
        from_timm("regnetx_002", sized=False),
        lambda n: {"stem": 1, "conv": n("Bottleneck")},
    ),
    "coat": (
        from_timm("coat_lite_tiny"),
        lambda n: transformer(n, "FactorAttnConvRelPosEnc", pool=3, dwconv=n("SerialBlock")),
    ),
    "cait": (
        from_timm("cait_xxs24_224", depth=2),
        lambda n: {"stem": 1, "msa": n("TalkingHeadAttn"), "mlp": n("LayerScaleBlock")},
    ),
    "crossvit": (
        from_timm("crossvit_tiny_240", (240, 240), sized=False, depth=((1, 1, 0), (1, 2, 0))),
        lambda n: {"stem": 2, "msa": n("Attention"), "mlp": n("Mlp")},
    ),
    "tnt": (
        from_timm("tnt_s_patch16_224", (64, 64), depth=2),
        lambda n: {"stem": 1, "msa": n("Attention"), "mlp": n("Mlp") + n("Block") - 1, "pool": 1},
    ),
    "naflexvit": (from_timm("naflexvit_base_patch16_gap", sized=False, depth=2), transformer),
    "edgenext": (
        from_timm("edgenext_xx_small", sized=False),
        lambda n: {
            "stem": 1,
            "dwconv": n("ConvBlock"),
            "pool": 3,
            "msa+mlp": 1,
            "dwconv+msa+mlp": 2,
        },
    ),
    "poolformer": (
        from_timm("poolformer_s12", sized=False),
        lambda n: {"stem": 1, "pool": n("Pooling", "Downsampling"), "mlp": n("Mlp")},
    ),
    "efficientformer": (
        from_timm("efficientformer_l1", (224, 224), sized=False, depths=(1, 1, 1, 2)),
        lambda n: {
            "stem": 1,
            "pool": n("Pooling", "Downsample"),
            "mlp": n("ConvMlpWithNorm", "Mlp"),
            "msa": n("Attention"),
        },
    ),
    "efficientvit": (
        from_timm("efficientvit_b0", sized=False),
        lambda n: {"stem": 1, "msa": n("LiteMLA"), "dwconv": n("MBConv", "DSConv"), "mlp": 1},
    ),
    "twins": (
        from_timm("twins_svt_small", sized=False, depths=(1, 1, 2, 1)),
        lambda n: {
            "stem": 1,
            "msa": n("Block"),
            "mlp": n("Mlp"),
            "dwconv": n("PosConv"),
            "pool": 3,
        },
    ),
    "repvgg": (from_timm("repvgg_a0", sized=False), lambda n: {"conv": n("RepVggBlock")}),
    "res2net": (
        from_timm("res2net50_26w_4s", sized=False, layers=(1, 2, 1, 1)),
        lambda n: {"stem": 1, "conv": n("Bottle2neck")},
    ),
}

#: taps that are one of several streams, and why
BESIDE = {
    "mobilevit": (".transformer", "the block's input is concatenated to what the transformer made"),
    "crossvit": ("", "two streams, of small and of large patches"),
    "tnt": ("", "two streams, of patches and of the pixels inside them"),
}
#: patches that overlap or do not divide the image
UNEVEN = {"pit", "pit_distilled", "crossvit", "mobilevitv2 folded"}
#: the class token joins late, or not in all streams, or looks at the map from outside
LATE = {"xcit", "cait", "tnt"}


def build(maker, x):
    """Random weights that let everything through, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = maker().double()
        for p in model.parameters():
            if p.ndim < 2:
                nn.init.uniform_(p, 0.5, 1)
            elif p.abs().max() < 1e-3:
                nn.init.normal_(p, std=0.05)
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d):
                m.momentum = 1.0
        with torch.no_grad():
            model.train()(x)  # statistics of the layers as they are now
    return model.eval()


@pytest.fixture(scope="module", params=NETS)
def case(request):
    (maker, size), kinds = NETS[request.param]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    model = build(maker, x)
    return request.param, model, x, discover(model, x), kinds(Count(model))


def test_kinds_are_those_of_the_architecture(case):
    _, _, _, taps, kinds = case
    assert Counter(tap.kind for tap in taps) == Counter(kinds)
    assert len({str(tap) for tap in taps}) == len(taps)


def widths(model, name):
    """Numbers of channels that the layers inside a module state, or those beside it."""
    names = "in_channels out_channels num_features in_features out_features num_channels embed_dim"
    inside = list(model.get_submodule(name).modules())
    found = {getattr(m, n) for m in inside for n in names.split() if hasattr(m, n)}
    found |= {m.normalized_shape[-1] for m in inside if isinstance(m, nn.LayerNorm)}
    return found or widths(model, name.rpartition(".")[0])


def extra_tokens(model):
    """Class, distillation and register tokens, as the parameters say; -1 if streams differ."""
    tokens = {}
    for name, p in model.named_parameters():
        if re.search(r"(cls|class|dist|reg)_token", name):
            tokens[name.rstrip("0123456789_.")] = p.shape[-2]
    return sum(tokens.values())


@torch.no_grad()
def test_channels_grid_and_prefix(case):
    name, model, x, taps, _ = case
    with capture(model, taps, lambda maps: tuple(maps.shape)) as heard:
        model(x)
    h, w = x.shape[2:]
    for tap in taps:
        b, c, *grid = heard[tap]
        assert b == len(x)
        assert c in widths(model, tap.module), tap
        assert h % grid[0] == 0 or name in UNEVEN
        assert grid[0] * w == pytest.approx(grid[1] * h, rel=0.05 if name in UNEVEN else 0)
    prefix = extra_tokens(model)
    assert prefix == getattr(model, "num_prefix_tokens", prefix)
    on_tokens = {tap.prefix for tap in taps if tap.layout == "tokens"}
    assert on_tokens <= {prefix, 0} if name in LATE else on_tokens <= {prefix}


@torch.no_grad()
def test_a_change_of_a_corner_is_heard_in_that_corner(case):
    """Rows are rows and columns are columns, and windows lie where they belong."""
    _, model, x, taps, _ = case
    h, w = x.shape[2:]
    other = x.clone()
    other[:, :, : h // 4, -w // 4 :] += 3.0  # the upper right
    with capture(model, taps) as heard:
        model(x)
        before = dict(heard)
        model(other)
    local = 0
    for tap in taps:
        change = (heard[tap] - before[tap]).abs().mean((0, 1))
        m, n = change.shape
        up = change[: m // 2].mean() / change[m - m // 2 :].mean()
        right = change[:, n - n // 2 :].mean() / change[:, : n // 2].mean()
        assert min(up, right) > 0.8, (str(tap), up, right)
        local += bool(min(up, right) > 1.2)
        assert local or tap != taps[0]


@torch.no_grad()
def test_horizontal_stripes_are_horizontal_after_the_stem(case):
    _, model, x, taps, _ = case
    h = x.shape[2]
    bands = torch.zeros_like(x)
    bands[:, :, h // 4 : h // 2] = 1
    bands[:, :, 3 * h // 4 :] = 1
    with capture(model, taps[:1]) as heard:
        model(bands)
        seen = heard[taps[0]]
        model(torch.zeros_like(x))
        seen = seen - heard[taps[0]]  # less what the positions and the edges give by themselves
    assert seen.mean(3).var(2).mean() > 5 * seen.mean(2).var(2).mean()


def hooked(model, tap, act):
    """Let ``act`` see the very tensor at a tap, so that it can be overwritten."""

    def reach(value):
        act(next(islice(tensors(value), tap.item, None)))

    module = model.get_submodule(tap.module)
    if tap.side == "out":
        return module.register_forward_hook(lambda module, args, out: reach(out))
    return module.register_forward_pre_hook(
        lambda module, args, kwargs: reach((args, kwargs)), with_kwargs=True
    )


@torch.no_grad()
def test_the_rest_of_the_network_follows_from_a_tap(case):
    """Image i of a batch of images B is given at tap i what was heard on A: its outcome is A's."""
    name, model, x, taps, _ = case
    a, b = x[:1], x[1:]
    heard = {}
    with ExitStack() as stack:
        for tap in taps:
            keep = partial(lambda tap, value: heard.update({tap: value.clone()}), tap)
            stack.enter_context(hooked(model, tap, keep))
        wanted = model(a)

    def overwrite(i, tap, value):
        value.unflatten(0, (len(taps) + 1, -1))[i] = heard[tap]

    with ExitStack() as stack:
        for i, tap in enumerate(taps):
            stack.enter_context(hooked(model, tap, partial(overwrite, i, tap)))
        outcome = model(b.expand(len(taps) + 1, -1, -1, -1))
    *errors, effect = (outcome - wanted).abs().amax(1).tolist()
    scale = wanted.abs().max().item()
    assert effect > 1e-9 * scale  # the precision is double
    beside = [t for t, e in zip(taps, errors, strict=True) if e > 1e-5 * min(effect, scale)]
    part, _ = BESIDE.get(name, (None, ""))
    assert bool(beside) == (part is not None)
    assert all(part in tap.module for tap in beside)
