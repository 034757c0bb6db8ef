"""Networks whose classes nobody knows: own attention, dictionaries, keywords, two streams."""

import pytest
import torch
from torch import nn

from landscape.subject.probe import capture, discover


def build(maker, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return maker(*args, **options).eval()


def images(h, w=None):
    return torch.randn(2, 3, h, w or h, generator=torch.Generator().manual_seed(0))


def told(taps):
    return [(str(tap), tap.kind) for tap in taps]


class Mixing(nn.Module):
    """Softmax attention without PyTorch's function for it."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.to_all = nn.Linear(dim, 3 * dim)
        self.back = nn.Linear(dim, dim)

    def forward(self, x, bias=None):
        b, n, c = x.shape
        parts = self.to_all(x).reshape(b, n, 3, self.heads, c // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1)
        return self.back((weights @ v).transpose(1, 2).reshape(b, n, c))


class Scale(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 0.5))

    def forward(self, x):
        return x.mul_(self.gamma)


class Drop(nn.Module):
    def forward(self, x):
        return x * (torch.rand(len(x), 1, 1) > 0.2) / 0.8 if self.training else x


class Layer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.before_mixing, self.before_mlp = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mixing = Mixing(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.scale1, self.scale2, self.drop = Scale(dim), Scale(dim), Drop()

    def forward(self, x):
        def mixed(x, bias=None):
            return self.scale1(self.mixing(self.before_mixing(x), bias=bias))

        x = x + self.drop(mixed(x))
        return x + self.drop(self.scale2(self.mlp(self.before_mlp(x))))


class Backbone(nn.Module):
    """A class token and registers; positions fit the image; features in a dictionary."""

    def __init__(self, dim=12, depth=2, heads=3, registers=4, features=False):
        super().__init__()
        self.features = features
        self.patches = nn.Conv2d(3, dim, 8, 8)
        self.first = nn.Parameter(torch.randn(1, 1, dim))
        self.registers = nn.Parameter(torch.randn(1, registers, dim))
        self.places = nn.Parameter(torch.randn(1, dim, 5, 5))
        self.layers = nn.ModuleList(Layer(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def embed(self, x):
        x = self.patches(x)
        x = x + nn.functional.interpolate(self.places, x.shape[2:], mode="bicubic")
        x = x.flatten(2).transpose(1, 2)
        front = [p.expand(len(x), -1, -1) for p in (self.first, self.registers)]
        return torch.cat([*front, x], 1)

    def forward_features(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        y = self.norm(x)
        parts = {"class": y[:, 0], "registers": y[:, 1:5], "patches": y[:, 5:]}
        return parts | {"raw": x, "mask": None}

    def forward(self, x):
        found = self.forward_features(x)
        return found if self.features else self.head(found["class"])


@torch.no_grad()
@pytest.mark.parametrize("features", [False, True])
def test_a_transformer_with_registers_and_its_own_attention(features):
    model, x = build(Backbone, features=features), images(32, 48)
    taps = discover(model, x)
    assert told(taps) == [
        ("layers.0:in", "stem"),
        ("layers.0.before_mlp:in", "msa"),
        ("layers.0:out", "mlp"),
        ("layers.1.before_mlp:in", "msa"),
        ("layers.1:out", "mlp"),
    ]
    assert {(t.layout, t.prefix, t.grid) for t in taps} == {("tokens", 5, (4, 6))}
    with capture(model, taps) as heard:
        model(x)
    tokens = model.embed(x)
    by_hand = [tokens]
    for layer in model.layers:
        tokens = tokens + layer.scale1(layer.mixing(layer.before_mixing(tokens)))
        by_hand.append(tokens)
        tokens = layer(by_hand[-2])
        by_hand.append(tokens)
    for tap, value in zip(taps, by_hand, strict=True):
        maps = value[:, 5:].transpose(1, 2).reshape(2, -1, 4, 6)
        assert torch.allclose(heard[tap], maps, atol=1e-5), tap


def test_discovery_draws_nothing_in_training_mode():
    model = build(Backbone).train()
    state = torch.get_rng_state()
    assert len(discover(model, images(32))) == 5
    assert torch.equal(torch.get_rng_state(), state)


class Keywords(Backbone):
    def forward_features(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x=x)
        return {"class": self.norm(x)[:, 0]}


def test_layers_that_are_called_with_keywords_have_a_stem_too():
    assert told(discover(build(Keywords), images(32))) == told(
        discover(build(Backbone), images(32))
    )


class Both(nn.Module):
    """Two streams through one module, which gives a pair."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, pair):
        x, y = pair
        return x + self.one(x).relu(), y + self.two(y).relu()


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 4, 2, 2), nn.Conv2d(3, 4, 4, 4)
        self.both = Both()

    def forward(self, x):
        x, y = self.both((self.fine(x), self.coarse(x)))
        return x.mean((2, 3)) + y.mean((2, 3))


@torch.no_grad()
def test_the_second_of_two_streams_is_heard():
    model, x = build(Pair), images(16)
    taps = discover(model, x)
    assert told(taps) == [
        ("both:in", "stem"),
        ("both:out", "conv"),
        ("both:in[1]", "stem"),
        ("both:out[1]", "mlp"),
    ]
    with capture(model, taps) as heard:
        model(x)
    streams = model.fine(x), model.coarse(x)
    wanted = [pair[i] for i in (0, 1) for pair in (streams, model.both(streams))]
    for tap, maps in zip(taps, wanted, strict=True):
        assert torch.equal(heard[tap], maps), tap


class Parallel(nn.Module):
    """Attention and an MLP beside each other, or one after the other where nobody can listen."""

    def __init__(self, dim, parallel):
        super().__init__()
        self.parallel = parallel
        self.norm, self.mixing = nn.LayerNorm(dim), Mixing(dim, 2)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x):
        y = self.norm(x)
        if self.parallel:
            return x + self.mixing(y) + self.down(self.up(y).relu())
        x = x + self.mixing(y)
        y = x * 2
        return x + self.down(self.up(y).relu())


@pytest.mark.parametrize("parallel", [True, False])
def test_a_step_of_attention_and_mlp_says_both(parallel):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.blocks = nn.Sequential(Parallel(8, parallel), Parallel(8, parallel))

        def forward(self, x):
            return self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1)

    taps = discover(build(Net), images(16, 24))
    assert [tap.kind for tap in taps] == ["stem", "msa+mlp", "msa+mlp"]
