"""Taps are where an architecture has its blocks, as told from the network and no list of names."""

import pytest
import timm
import torch
import torchvision.models as tv
from torch import nn
from torch.nn.modules import module as hooks
from torchvision.models.swin_transformer import SwinTransformer

from landscape.models.alternet import AlterNet, AttentionBlock
from landscape.models.resnet import ResNet
from landscape.models.vit import ViT
from landscape.subject.probe import capture, discover


def build(maker, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return maker(*args, **options).eval()


def small(name, **options):
    return build(timm.create_model, name, **options)


def images(h, w=None):
    return torch.randn(2, 3, h, w or h, generator=torch.Generator().manual_seed(0))


def named(model, *kinds):
    """Names of a model's modules of the given classes, in order."""
    return [n for n, m in model.named_modules() if type(m).__name__ in kinds]


def whole(blocks, kind="conv"):
    """One residual sum a block."""
    return [(f"{blocks[0]}:in", "stem"), *((f"{name}:out", kind) for name in blocks)]


def halves(blocks, inner, mix):
    """Two residual sums a block: after the tokens were mixed, and after the MLP."""
    taps = [(f"{blocks[0]}:in", "stem")]
    for name in blocks:
        taps += [(f"{name}.{inner}:in", mix), (f"{name}:out", "mlp")]
    return taps


def with_pools(expected, firsts):
    """A tap before each of the given blocks, where the grid has shrunk outside of a block."""
    taps = []
    for tap in expected:
        module = tap[0].partition(":")[0]
        for first in [f for f in firsts if module == f or module.startswith(f + ".")]:
            if (f"{first}:in", "pool") not in taps:
                taps.append((f"{first}:in", "pool"))
        taps.append(tap)
    return taps


def told(taps):
    return [(str(tap), tap.kind) for tap in taps]


def sizes(model, taps, x):
    """Shapes ``(c, h, w)`` of the maps at the taps."""
    with torch.no_grad(), capture(model, taps, lambda maps: tuple(maps.shape[1:])) as heard:
        model(x)
    return [heard[tap] for tap in taps]


TOKENS = {
    "own": (lambda: build(ViT, size=16, dim=8, depth=2, heads=2), (16, 16)),
    "vit": (lambda: small("vit_tiny_patch16_224", img_size=64, depth=2), (64, 64)),
    "wide": (lambda: small("vit_tiny_patch16_224", img_size=(32, 48), depth=2), (32, 48)),
    "distilled": (lambda: small("deit_tiny_distilled_patch16_224", img_size=64, depth=2), (64, 64)),
    "registers": (lambda: small("vit_small_patch14_reg4_dinov2", img_size=56, depth=2), (56, 56)),
    "mixer": (lambda: small("mixer_s16_224", img_size=64), (64, 64)),
}


@pytest.mark.parametrize("name", TOKENS)
def test_transformers_on_tokens(name):
    maker, size = TOKENS[name]
    model = maker()
    taps = discover(model, images(*size))
    blocks = [f"blocks.{i}" for i in range(len(model.blocks))]
    assert told(taps) == halves(blocks, "norm2", "mlp" if name == "mixer" else "msa")
    prefix = getattr(model, "num_prefix_tokens", 0)
    patch = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    grid = (size[0] // patch.stride[0], size[1] // patch.stride[1])
    assert {(t.layout, t.prefix, t.grid) for t in taps} == {("tokens", prefix, grid)}
    assert set(sizes(model, taps, images(*size))) == {(patch.out_channels, *grid)}


def test_the_transformer_of_torchvision():
    size = {"image_size": 64, "patch_size": 16, "hidden_dim": 32, "mlp_dim": 64}
    model = build(tv.VisionTransformer, num_layers=2, num_heads=2, **size)
    taps = discover(model, images(64))
    assert told(taps) == halves(named(model, "EncoderBlock"), "ln_2", "msa")
    assert {(t.layout, t.prefix, t.grid) for t in taps} == {("tokens", 1, (4, 4))}


def test_class_tokens_that_return_at_a_coarser_scale():
    model = small("pit_ti_224", img_size=64)
    taps = discover(model, images(64))
    firsts = [f"transformers.{i}.blocks.0" for i in (1, 2)]
    assert told(taps) == with_pools(halves(named(model, "Block"), "norm2", "msa"), firsts)
    assert {t.prefix for t in taps} == {1}
    grids = [t.grid for t in taps if t.module.endswith("0.norm2") and ".blocks.0." in t.module]
    assert grids == [(7, 7), (4, 4), (2, 2)]


def swin(size):
    shape = {"patch_size": [4, 4], "embed_dim": 8, "depths": [2, 1], "num_heads": [1, 2]}
    return build(SwinTransformer, window_size=[4, 4], **shape)


def timm_swin(size):
    return small("swin_tiny_patch4_window7_224", img_size=size, window_size=4)


@pytest.mark.parametrize("size", [(56, 56), (32, 48)])
@pytest.mark.parametrize("maker", [swin, timm_swin])
def test_swin_is_channels_last_and_its_grid_halves(maker, size):
    model, x = maker(size), images(*size)
    taps = discover(model, x)
    blocks = named(model, "SwinTransformerBlock")
    stages = list(dict.fromkeys(name.split(".")[1] for name in blocks))
    stem = blocks[0].split(".")[0]
    firsts = [f"{stem}.{stage}.blocks.0" for stage in stages[1:]]
    firsts = [first if first in blocks else first.replace(".blocks", "") for first in firsts]
    assert told(taps) == with_pools(halves(blocks, "norm2", "msa"), firsts)
    assert {t.layout for t in taps if not t.module.endswith("norm2")} == {"nhwc"}
    for tap, shape in zip(taps, sizes(model, taps, x), strict=True):
        c, h, w = model.get_submodule(blocks[0]).norm1.weight.numel(), size[0] // 4, size[1] // 4
        for _ in range(stages.index(tap.module.split(".")[1])):
            c, h, w = 2 * c, -(-h // 2), -(-w // 2)
        assert shape == (c, h, w), tap


CONVS = {
    "own": (lambda: build(ResNet, blocks=(2, 1), widths=(4, 6)), ["BasicBlock"], 2),
    "timm resnet": (lambda: small("resnet18"), ["BasicBlock"], 32),
    "resnet": (lambda: build(tv.resnet18), ["BasicBlock"], 32),
    "timm convnext": (lambda: small("convnext_atto"), ["ConvNeXtBlock"], 32),
    "convnext": (lambda: build(tv.convnext_tiny), ["CNBlock"], 32),
    "timm efficientnet": (
        lambda: small("tf_efficientnet_lite0"),
        ["DepthwiseSeparableConv", "InvertedResidual"],
        32,
    ),
    "efficientnet": (lambda: build(tv.efficientnet_b0), ["MBConv"], 32),
}
POOLED = {
    "timm convnext": [f"stages.{i}.blocks.0" for i in (1, 2, 3)],
    "convnext": [f"features.{i}.0" for i in (3, 5, 7)],
}
LAST = {"timm efficientnet": "bn2.act:out", "efficientnet": "features.8.2:out"}


@pytest.mark.parametrize("name", CONVS)
def test_every_block_of_a_residual_convolutional_network(name):
    """Also the blocks without a skip, what is between blocks, and images that are not square."""
    maker, classes, reduction = CONVS[name]
    model, x = maker(), images(64, 96)
    taps = discover(model, x)
    kind = "conv" if "resnet" in name or name == "own" else "dwconv"
    expected = with_pools(whole(named(model, *classes), kind), POOLED.get(name, []))
    expected += [(LAST[name], "mlp")] if name in LAST else []
    assert told(taps) == expected
    assert {(t.layout, t.prefix, t.grid) for t in taps} == {("nchw", 0, None)}
    assert sizes(model, taps, x)[-1][1:] == (64 // reduction, 96 // reduction)


def test_alternet_tells_its_attentions_from_its_convolutions():
    model = build(AlterNet, widths=(4, 6, 8), head_dim=4)
    blocks = named(model, "ConvBlock", "AttentionBlock")
    attends = [isinstance(model.get_submodule(b), AttentionBlock) for b in blocks]
    assert 0 < sum(attends) < len(attends)
    kinds = ["stem", *("msa" if a else "conv" for a in attends)]
    names = [name for name, _ in whole(blocks)]
    assert told(discover(model, images(32))) == list(zip(names, kinds, strict=True))


def test_poolformer_pools_where_others_attend():
    model = small("poolformer_s12")
    expected = [("stages.0.blocks.0:in", "stem")]
    for s, stage in enumerate(model.stages):
        for b, _ in enumerate(stage.blocks):
            name = f"stages.{s}.blocks.{b}"
            if b == 0 and not isinstance(stage.downsample, nn.Identity):
                expected.append((f"{name}:in", "pool"))
            expected.append((f"{name}.res_scale2:in", "pool"))
            expected.append((f"{name}:out", "mlp"))
    assert told(discover(model, images(64))) == expected


def test_a_network_without_skips_is_heard_at_its_operations():
    model = build(tv.vgg11, init_weights=False)
    listed = [
        (f"{name}:out", "conv" if isinstance(module, nn.Conv2d) else "pool")
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AdaptiveAvgPool2d)
    ]
    assert told(discover(model, images(64))) == listed


@torch.no_grad()
def test_windows_are_put_together():
    """Blocks on (window, place in it): the maps are those that the blocks of a level are given."""
    model, x = small("nest_tiny", img_size=64), images(64)
    taps = {str(tap): tap for tap in discover(model, x)}
    stem = taps["levels.0.transformer_encoder.0:in"]
    maps = []
    level = model.levels[0]
    level.register_forward_pre_hook(lambda module, args: maps.append(args[0]))
    blind = model.levels[0].pos_embed
    blind.zero_()
    with capture(model, [stem]) as heard:
        model(x)
    assert stem.order is not None
    assert torch.equal(heard[stem], maps[0])


def test_windows_in_the_batch_are_put_together():
    taps = discover(small("tnt_s_patch16_224", img_size=64, depth=1), images(64))
    kinds = {str(tap): (tap.kind, tap.grid, tap.prefix) for tap in taps}
    assert kinds["blocks.0.norm_mlp_in:in"] == ("msa", (16, 16), 0)
    assert kinds["blocks.0:out"] == ("mlp", (16, 16), 0)
    assert kinds["blocks.0.norm_mlp:in"] == ("msa", (4, 4), 1)
    assert kinds["blocks.0:out[1]"] == ("mlp", (4, 4), 1)


def test_a_single_pixel_is_no_map():
    layers = [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.Flatten()]
    model = build(nn.Sequential, *layers)
    assert told(discover(model, images(8))) == [("0:out", "conv")]
    with pytest.raises(ValueError, match="no feature maps found in Sequential"):
        discover(model[2:], torch.zeros(2, 4, 1, 1))


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.zeros(2, 3, 4, 4)),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.Conv1d(4, 4, 3)), torch.zeros(2, 3, 9)),
    ],
)
def test_a_model_without_maps_is_refused(model, x):
    with pytest.raises(ValueError, match=r"no feature maps found in Sequential: pass taps="):
        discover(model, x)


def state(model):
    return (
        {name: value.numpy().tobytes() for name, value in model.state_dict().items()},
        [module.training for module in model.modules()],
        [len(v) for m in model.modules() for k, v in vars(m).items() if k.endswith("_hooks")],
        [len(v) for k, v in vars(hooks).items() if k.startswith("_global_") and v is not None],
        torch.get_rng_state().numpy().tobytes(),
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fails", [None, RuntimeError, KeyboardInterrupt])
def test_discovery_leaves_no_trace(training, fails):
    class Head(nn.Module):
        def forward(self, x):
            if fails:
                raise fails
            return x.mean((2, 3))

    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), Head()]
    model = build(nn.Sequential, *layers).train(training)
    before = state(model)
    with pytest.raises(fails) if fails else torch.no_grad():
        discover(model, images(8))
    assert state(model) == before
