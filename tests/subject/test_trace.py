"""The graph of one forward pass: layouts, residual sums, kinds, and networks of odd build."""

import pytest
import torch
from torch import nn

from landscape.subject.probe import Tap, capture, discover
from landscape.subject.stream import residual_sums
from landscape.subject.trace import trace


def build(maker, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return maker(*args, **options).eval()


def images(h, w=None):
    return torch.randn(2, 3, h, w or h, generator=torch.Generator().manual_seed(0))


class Lambda(nn.Module):
    """A network from a function of its parts and the images."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x):
        return self.function(self, x)


def heard(model, x):
    """Taps with their kinds, after hearing each of them."""
    model.eval()
    taps = discover(model, x)
    with torch.no_grad(), capture(model, taps) as maps:
        model(x)
    assert set(maps) == set(taps)
    return [(str(tap), tap.kind) for tap in taps]


def last(function, **parts):
    """Layout and grid of the last node, for images of 8 x 12; a star where order is not plain."""
    node = trace(Lambda(function, **parts).eval(), images(8, 12)).nodes[-1]
    if node.reading is None:
        return None
    return node.reading.layout + "*" * (node.reading.order is not None), node.reading.grid


def patches(net, x):
    return net.patch(x).flatten(2).transpose(1, 2)


def unfolded(net, x):
    return nn.functional.unfold(net.patch(x), 3, padding=1, stride=2)


def windows(net, x):
    """Two by three windows of two by two patches each."""
    return patches(net, x).view(2, 2, 2, 3, 2, 5).transpose(2, 3)


@pytest.mark.parametrize(
    ("function", "layout", "grid"),
    [
        (lambda net, x: net.patch(x), "nchw", (4, 6)),
        (lambda net, x: net.patch(x).flatten(2), "nchw*", (4, 6)),
        (patches, "tokens", (4, 6)),
        (lambda net, x: net.norm(patches(net, x)), "tokens", (4, 6)),
        (lambda net, x: net.mlp(patches(net, x)), "tokens", (4, 6)),
        (
            lambda net, x: torch.cat([net.token.weight.expand(2, 1, 5), patches(net, x)], 1),
            "tokens",
            (4, 6),
        ),
        (lambda net, x: patches(net, x)[:, 1:], "", None),  # patches are missing
        (lambda net, x: patches(net, x)[:, 0], "", None),
        (lambda net, x: patches(net, x).mean(1), "", None),
        (lambda net, x: patches(net, x).view(2, 4, 6, 5), "nhwc", (4, 6)),
        (lambda net, x: patches(net, x).view(2, 24, 1, 5), "tokens*", (4, 6)),
        (lambda net, x: patches(net, x).mT.reshape(2, 5, 4, 6), "nchw", (4, 6)),
        (lambda net, x: patches(net, x).mT.reshape(2, 5, 8, 3), "nchw*", (4, 6)),
        (lambda net, x: net.patch(x).permute(0, 2, 3, 1), "nhwc", (4, 6)),
        (lambda net, x: net.norm(net.patch(x).permute(0, 2, 3, 1)), "nhwc", (4, 6)),
        (
            lambda net, x: net.mlp(net.patch(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
            "nchw",
            (4, 6),
        ),
        (lambda net, x: net.patch(x)[:, :, ::2, ::2], "nchw", (2, 3)),
        (lambda net, x: nn.functional.avg_pool2d(net.patch(x), 2), "nchw", (2, 3)),
        (lambda net, x: net.patch(x).reshape(4, 5, 4, 3), "", None),  # windows in the batch
        (lambda net, x: net.norm(windows(net, x).reshape(2, 6, 4, 5)), "tokens*", (4, 6)),
        (lambda net, x: windows(net, x).reshape(12, 4, 5), "tokens*", (4, 6)),
        (lambda net, x: windows(net, x).reshape(2, 6, 4, 5)[:, 1:], "", None),  # a window short
        (lambda net, x: windows(net, x).transpose(0, 1).reshape(12, 4, 5), "", None),  # images last
        (
            lambda net, x: nn.functional.unfold(net.patch(x), 2, stride=2),
            "",
            None,
        ),  # 2x2 in channels
        (lambda net, x: net.wide(unfolded(net, x).mT), "tokens", (2, 3)),
        (lambda net, x: net.patch(x).roll((1, 2), (2, 3)), "nchw*", (4, 6)),
        (lambda net, x: nn.functional.pixel_shuffle(net.even(x), 2), "", None),  # four of one place
        (lambda net, x: net.even(nn.functional.pixel_unshuffle(x, 2)[:, :3]), "nchw", (4, 6)),
        (lambda net, x: net.merge(windows(net, x).flatten(3)), "nhwc", (2, 3)),
    ],
)
def test_layouts_are_followed_through_operations(function, layout, grid):
    parts = {"norm": nn.LayerNorm(5), "mlp": nn.Linear(5, 5), "token": nn.Linear(5, 1)}
    parts |= {"patch": nn.Conv2d(3, 5, 2, 2), "merge": nn.Linear(20, 5)}
    parts |= {"wide": nn.Linear(45, 5), "even": nn.Conv2d(3, 8, 1)}
    assert last(function, **parts) == ((layout, grid) if layout else None)


@torch.no_grad()
@pytest.mark.parametrize(
    "move",
    [
        lambda maps: maps,
        lambda maps: maps.permute(0, 2, 3, 1),
        lambda maps: maps.flatten(2).mT,
        lambda maps: maps.flatten(2),
        lambda maps: maps.view(2, 5, 2, 2, 3, 2).permute(0, 2, 4, 3, 5, 1).reshape(12, 2, 2, 5),
        lambda maps: maps.view(2, 5, 2, 2, 3, 2).permute(0, 4, 2, 5, 3, 1).reshape(2, 6, 4, 5),
        lambda maps: nn.functional.unfold(maps, 2, stride=2).view(2, 5, 4, 6),
        lambda maps: maps.roll((1, -2), (2, 3)).flip(2),
        lambda maps: maps.unfold(2, 2, 2).unfold(3, 2, 2),
        lambda maps: nn.functional.pad(maps, (0, 1, 0, 2))[:, :, :-2, :-1],
        lambda maps: torch.cat([maps.flatten(2), torch.zeros(2, 5, 3)], 2).mT,  # registers behind
    ],
)
def test_what_was_moved_is_read_back(move):
    """However the places of a map are arranged, reading gives the map."""
    net = Lambda(lambda net, x: move(net.patch(x)), patch=nn.Conv2d(3, 5, 2, 2)).eval()
    x = images(8, 12)
    read = trace(net, x).nodes[-1].reading
    tap = Tap("", "out", "conv", read.layout, read.prefix, read.grid, read.order)
    assert torch.equal(tap.read(net(x)), net.patch(x))


def attend(net, x):
    """Attention without PyTorch's own function."""
    q = x.flatten(2).transpose(1, 2)
    return ((q @ q.mT).softmax(-1) @ q).transpose(1, 2).reshape(x.shape)


def channels_by_channels(net, x):
    """Weights made from the map, but no softmax."""
    q = x.flatten(2)
    return (q @ q.mT / 96 @ q).reshape(x.shape)


def pooled(net, x):
    """Squeeze and excitation: layers on the global average see no map."""
    return x * net.point(net.point(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


def mixed_tokens(net, x):
    return net.tokens(x.flatten(2)).relu().reshape(x.shape)


def separable(net, x):
    """Attention without any matrix product."""
    weights = net.one(x).flatten(2).softmax(-1)
    return net.point(x) * (x.flatten(2) * weights).sum(-1)[..., None, None]


def gated(net, x):
    """A softmax over channels is no attention."""
    return net.point(x) * x.softmax(1)


@pytest.mark.parametrize(
    ("branch", "kind"),
    [
        (lambda net, x: net.conv(x), "conv"),
        (lambda net, x: net.wide(x), "conv"),
        (lambda net, x: net.point(x).relu(), "mlp"),
        (lambda net, x: net.linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), "mlp"),
        (attend, "msa"),
        (lambda net, x: net.conv(attend(net, x)), "msa"),
        (lambda net, x: net.point(channels_by_channels(net, x)), "msa"),
        (lambda net, x: net.depthwise(x), "dwconv"),
        (lambda net, x: net.depthwise(net.conv(x)), "conv"),
        (lambda net, x: net.conv(pooled(net, x)), "conv"),
        (lambda net, x: net.norm(pooled(net, x)), "norm"),
        (mixed_tokens, "mlp"),
        (separable, "msa"),
        (gated, "mlp"),
        (lambda net, x: nn.functional.max_pool2d(x, 3, 1, 1), "pool"),
        (lambda net, x: net.norm(x), "norm"),
    ],
)
def test_kinds_are_told_from_operations(branch, kind):
    parts = {"conv": nn.Conv2d(4, 4, 3, padding=1), "wide": nn.Conv2d(4, 4, (1, 3), padding=(0, 1))}
    parts |= {"point": nn.Conv2d(4, 4, 1), "linear": nn.Linear(4, 4), "norm": nn.BatchNorm2d(4)}
    parts |= {"depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4), "one": nn.Conv2d(4, 1, 1)}
    parts |= {"tokens": nn.Linear(96, 96)}
    block = Lambda(lambda net, x: x + branch(net, x), **parts)
    net = Lambda(lambda net, x: net.block(net.stem(x)), stem=nn.Conv2d(3, 4, 1), block=block)
    assert heard(net, images(8, 12)) == [("block:in", "stem"), ("block:out", kind)]


@pytest.mark.parametrize(
    ("combine", "count"),
    [
        (lambda net, x: x + net.conv(x), 1),
        (lambda net, x: x.add_(net.conv(x)), 1),
        (lambda net, x: torch.add(net.conv(x), x, alpha=0.5), 1),
        (lambda net, x: sum([x, net.conv(x), x * 2]), 2),
        (lambda net, x: x + 1, 0),
        (lambda net, x: x + x, 0),
        (lambda net, x: x + net.conv.bias[:, None, None], 0),
        (lambda net, x: x + net.conv(x).mean((2, 3), keepdim=True), 0),
        (lambda net, x: x * net.conv(x), 0),
        (lambda net, x: x + torch.ones_like(net.conv.weight[:1, :, :1, :1]), 0),
    ],
)
def test_a_residual_sum_adds_two_maps_of_one_shape_and_source(combine, count):
    net = Lambda(
        lambda net, x: combine(net, net.stem(x)),
        stem=nn.Conv2d(3, 4, 1),
        conv=nn.Conv2d(4, 4, 3, padding=1),
    )
    graph = trace(net.eval(), images(8))
    sums = residual_sums(graph)
    assert len(sums) == count
    assert all(graph.descends(n, graph.outputs["stem"][0][0]) for n in sums)


def block(width=4):
    conv = nn.Conv2d(width, width, 3, padding=1)
    relu = nn.ReLU(inplace=True)
    return Lambda(lambda net, x: net.relu(x + net.conv(x)), conv=conv, relu=relu)


def test_a_module_that_is_called_twice_is_heard_beside_itself():
    again, stem = block(), nn.Conv2d(3, 4, 1)
    shared = nn.Sequential(stem, again, again, nn.Conv2d(4, 4, 1))
    assert heard(shared, images(8)) == [("0:out", "mlp"), ("3:out", "mlp")]
    loop = Lambda(lambda net, x: net.again(net.again(net.stem(x))), again=again, stem=stem)
    assert heard(loop, images(8)) == [("stem:out", "mlp")]
    mixed = nn.Sequential(stem, again, again, block())
    assert heard(mixed, images(8))[-1] == ("3:out", "conv")
    graph = trace(mixed, images(8))
    assert [len(graph.outputs[name]) for name in ("0", "1", "3")] == [1, 2, 1]


def test_a_first_block_that_reads_the_images_has_no_stem():
    assert heard(nn.Sequential(block(3), block(3)), images(8)) == [
        ("0:out", "conv"),
        ("1:out", "conv"),
    ]


def test_a_block_that_is_not_registered_has_no_name():
    hidden = [Lambda(lambda net, x: x + x.relu())]
    net = Lambda(lambda net, x: hidden[0](net.stem(x)), stem=nn.Conv2d(3, 4, 1))
    assert heard(net, images(8)) == [("stem:out", "mlp")]


def test_sums_in_the_networks_own_forward_are_heard_where_they_are_read():
    def forward(net, x):
        x = net.stem(x)
        for conv in net.convs:
            x = x + conv(x)
        return net.head(x.mean((2, 3)))

    convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
    net = Lambda(forward, stem=nn.Conv2d(3, 4, 1), convs=convs, head=nn.Linear(4, 2))
    assert heard(net, images(8)) == [
        ("convs.0:in", "stem"),
        ("convs.1:in", "conv"),
        ("convs.2:in", "conv"),
    ]


class Encoder(nn.Module):
    """PyTorch's own encoder layers, which have a fused path for inference; any image size."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(8, 3)

    def embed(self, x):
        return self.patch(x).flatten(2).transpose(1, 2)

    def forward(self, x):
        return self.head(self.layers(self.embed(x)).mean(1))


@torch.no_grad()
def test_the_fused_path_of_encoder_layers_is_not_taken():
    model, x = build(Encoder), images(16, 24)
    taps = discover(model, x)
    assert [(str(tap), tap.kind) for tap in taps] == [
        ("layers.0:in", "stem"),
        ("layers.0.norm1:in", "msa"),  # post-norm: the sum is read by the norm
        ("layers.0:out", "mlp"),
        ("layers.1.norm1:in", "msa"),
        ("layers.1:out", "mlp"),
    ]
    with capture(model, taps) as heard:
        model(x)
    maps = list(heard.values())
    tokens = model.embed(x)
    for i, layer in enumerate(model.layers):
        mixed = tokens + layer.self_attn(tokens, tokens, tokens, need_weights=False)[0]
        assert torch.allclose(maps[1 + 2 * i], taps[0].read(mixed), atol=1e-6)
        tokens = layer(tokens)
        assert torch.allclose(maps[2 + 2 * i], taps[0].read(tokens), atol=1e-6)


@torch.no_grad()
def test_a_grid_of_another_size_is_refused_while_listening():
    model = build(Encoder)
    taps = discover(model, images(16, 24))
    message = r"tap layers.0:in: 16 tokens after 0 prefix tokens are no 4x6 grid"
    with pytest.raises(ValueError, match=message), capture(model, taps):
        model(images(16))
