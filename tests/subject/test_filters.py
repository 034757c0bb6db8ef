import numpy as np
import pytest
import torch
from torch import nn

from landscape.numerics.directions import gaussian
from landscape.subject.filters import draw, layout
from landscape.subject.forward import substitute, trainable

SCHEMES = ("filter", "layer", "none", "paper")


def directed(net, scheme="filter", ignore=None, **which):
    return draw(trainable(net), layout(net, scheme, ignore), **which)


def filled(net):
    """Weights away from zero, whatever their start."""
    draw = torch.Generator().manual_seed(0)
    for p in net.parameters():
        p.data = torch.randn(p.shape, generator=draw, dtype=p.dtype)
    return net


def test_filters_of_every_network_move_by_their_norm_and_vectors_stay(network):
    moved = directed(network)
    for name, p in trainable(network).items():
        if p.ndim < 2 or p.shape[0] == 1:
            assert (moved[name] == 0).all(), name
        else:
            ratio = moved[name].flatten(1).norm(dim=1) / p.flatten(1).norm(dim=1)
            assert torch.allclose(ratio, torch.ones_like(ratio), rtol=1e-12, atol=0), name


def test_single_precision_keeps_the_ratio():
    net = filled(nn.Conv2d(16, 64, 3))
    ratio = directed(net)["weight"].flatten(1).norm(dim=1) / net.weight.flatten(1).norm(dim=1)
    assert (ratio - 1).abs().max() < 1e-6


@pytest.mark.parametrize(
    "net",
    [
        nn.Linear(4, 6, bias=False),
        nn.Conv2d(4, 6, 3, bias=False),
        nn.Conv2d(4, 6, 3, groups=2, bias=False),
        nn.Conv1d(4, 4, 3, groups=4, bias=False),
        nn.ConvTranspose2d(4, 6, 3, bias=False),
        nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False),
        nn.ConvTranspose1d(6, 6, 3, groups=6, bias=False),
        nn.ConvTranspose3d(4, 2, 2, groups=2, bias=False),
    ],
    ids=str,
)
def test_a_filter_is_what_makes_one_output_channel(net):
    """The weights that the forward pass uses for a channel move by their norm."""
    net = filled(net.double())
    first = net.in_features if isinstance(net, nn.Linear) else net.in_channels
    last = net.out_features if isinstance(net, nn.Linear) else net.out_channels
    dims = net.weight.ndim - 2
    size = (2, first, *[4] * dims)
    x = torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    before = directed(net)
    for channel in range(last):
        weight = net.weight.detach().clone().requires_grad_()
        with substitute(net, {"weight": weight}):
            out = net(x)
        part = torch.autograd.grad(out[:, channel].sum(), weight)[0] != 0
        assert part.sum() == net.weight.numel() / last
        assert before["weight"][part].norm() == pytest.approx(
            net.weight[part].norm().item(), rel=1e-12
        )


def values(scheme, scale, whole=False, statistics=False):
    """Loss one step along a direction, where a convolution under BatchNorm is rescaled."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, eps=1e-14, track_running_stats=statistics)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm, nn.Flatten(), nn.Linear(144, 3))
    net = net.double().eval()
    if statistics:
        norm.running_mean = torch.randn(4, dtype=torch.float64)
        norm.running_var = torch.rand(4, dtype=torch.float64) + 0.5
    which = slice(None) if whole else 1
    net[0].weight.data[which] *= scale
    if statistics:
        norm.running_mean[which] *= scale
        norm.running_var[which] *= scale**2
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    origin = trainable(net)
    moved = directed(net, scheme)
    with substitute(net, {n: p + 0.5 * moved[n] for n, p in origin.items()}):
        return nn.functional.cross_entropy(net(x), torch.arange(8) % 3).item()


@pytest.mark.parametrize("statistics", [False, True])
def test_only_filters_are_invariant_to_the_scale_of_a_normalised_filter(statistics):
    same = values("filter", 1.0, statistics=statistics)
    assert values("filter", 7.0, statistics=statistics) == pytest.approx(same, rel=1e-9)
    for scheme in ("layer", "paper", "none"):  # the negative controls
        before = values(scheme, 1.0, statistics=statistics)
        assert abs(values(scheme, 7.0, statistics=statistics) - before) > 1e-2 * before, scheme


def test_layers_are_invariant_to_the_scale_of_a_whole_layer():
    for scheme in ("filter", "layer", "paper"):
        same = values(scheme, 1.0, whole=True)
        assert values(scheme, 7.0, whole=True) == pytest.approx(same, rel=1e-9), scheme
    assert abs(values("none", 7.0, whole=True) - values("none", 1.0, whole=True)) > 1e-2


def test_the_layer_has_its_norm_and_its_filters_have_not():
    net = filled(nn.Conv2d(4, 6, 3).double())
    d, w = directed(net, "layer")["weight"], net.weight.detach()
    assert d.norm() == pytest.approx(w.norm().item(), rel=1e-12)
    ratio = d.flatten(1).norm(dim=1) / w.flatten(1).norm(dim=1)
    assert (ratio - 1).abs().max() > 0.05


def test_without_a_scheme_entries_are_standard_normal():
    net = filled(nn.Linear(300, 200).double())
    d = directed(net, "none", seed=3, index=1)
    assert torch.equal(d["weight"], gaussian("weight", net.weight.detach(), 7))
    assert abs(d["weight"].std() - 1) < 0.01
    assert (d["bias"] == 0).all()


def test_the_papers_scheme_is_its_formula(build):
    net = build("msa")
    d, noise = directed(net, "paper", seed=2), directed(net, "none", seed=2)
    for name, p in trainable(net).items():
        if p.ndim < 2 or name == "pos_embed":
            assert (d[name] == 0).all(), name
            continue
        w = p.numpy()
        b = gaussian(name, p, 4).numpy()
        want = np.linalg.norm(w, axis=0, keepdims=True) / np.linalg.norm(b, axis=0, keepdims=True)
        assert np.allclose(d[name], want * b, rtol=1e-12), name
    assert torch.allclose(d["cls_token"].abs(), net.cls_token.abs())  # it moves, by its own size
    assert (noise["cls_token"] == 0).all()
    head = d["head.weight"].norm(dim=1) / net.head.weight.norm(dim=1)
    assert (head - 1).abs().max() > 1e-3


class Attention(nn.Module):
    """Tables that are no filters, with the names and shapes of published networks."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(4, 12)
        self.relative_position_bias_table = nn.Parameter(torch.ones(9, 2))
        self.rel_pos_h = nn.Parameter(torch.ones(5, 4))
        self.attention_biases = nn.Parameter(torch.ones(2, 9))
        self.logit_scale = nn.Parameter(torch.ones(2, 1, 1))
        self.register_token = nn.Parameter(torch.ones(1, 3, 4))
        self.position_embedding = nn.Embedding(7, 4)
        self.words = nn.Embedding(7, 4)
        self.rel_mlp = nn.Linear(4, 4, bias=False)
        self.own = nn.Parameter(torch.ones(3, 4))
        self.head = nn.Linear(4, 1)


def test_tables_stay_and_layers_move():
    net = Attention()
    moves = {name for name, part in layout(net).items() if part}
    assert moves == {"qkv.weight", "words.weight", "rel_mlp.weight", "own", "head.weight"}
    assert layout(nn.MultiheadAttention(4, 2))["in_proj_weight"].over == (1,)


def test_tied_weights_are_one_and_frozen_ones_none():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5, bias=False))
    net[2].weight = net[0].weight
    net[1].requires_grad_(False)
    assert list(layout(net)) == ["0.weight"]
    moved = directed(filled(net))
    assert torch.allclose(moved["0.weight"].norm(dim=1), net[2].weight.norm(dim=1))


def test_a_zero_filter_stays():
    net = filled(nn.Linear(4, 3))
    net.weight.data[1] = 0
    for scheme in ("filter", "layer", "paper"):
        assert torch.isfinite(directed(net, scheme)["weight"]).all()
    assert (directed(net)["weight"][1] == 0).all()
    net.weight.data.zero_()
    for scheme in ("filter", "layer", "paper"):
        assert (directed(net, scheme)["weight"] == 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_direction_depends_on_seed_index_and_name_only(scheme, build):
    net = build("hybrid")
    d = directed(net, scheme, seed=1, index=2)
    torch.manual_seed(9)
    again = directed(net, scheme, seed=1, index=2)
    assert all(torch.equal(d[n], again[n]) for n in d)
    backwards = dict(reversed(trainable(net).items()))
    turned = draw(backwards, layout(net, scheme), seed=1, index=2)
    assert list(turned) == list(backwards)
    assert all(torch.equal(d[n], turned[n]) for n in d)
    fewer = directed(net, scheme, "stages", seed=1, index=2)
    for name in d:
        assert torch.equal(fewer[name], d[name] * 0 if "stages" in name else d[name])
    single = build("hybrid").float()
    low = directed(single, scheme, seed=1, index=2)
    assert all(torch.allclose(low[n].double(), d[n], rtol=1e-5, atol=1e-5) for n in d)


def test_numbers_stay_those_of_earlier_slices():
    """Bit for bit."""
    net = nn.Linear(3, 2, bias=False).double()
    net.weight.data = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    assert directed(net, seed=1)["weight"].tolist() == [
        [2.9384764252784246, 4.026743203096154, 0.3881951498948098],
        [1.5306639263277044, -0.2858797992862937, 1.2551257646144804],
    ]


def test_no_direction_of_a_seed_is_one_of_another():
    net = filled(nn.Linear(4, 3))
    drawn = [directed(net, seed=s, index=i)["weight"] for s in range(4) for i in range(4)]
    assert len({tuple(d.flatten().tolist()) for d in drawn}) == 16


def test_bad_choices_are_one_line():
    net = nn.Linear(2, 3)
    with pytest.raises(
        ValueError, match="directions are filter, layer, none, paper, not 'hessian'"
    ):
        layout(net, "hessian")
    with pytest.raises(ValueError, match=r"ignore is no regular expression: '\('"):
        layout(net, ignore="(")
    with pytest.raises(
        ValueError, match="ignore='head' matches no parameter; the first is 'weight'"
    ):
        layout(net, ignore="head")
    for bad in (nn.BatchNorm2d(3), nn.Sequential()):
        with pytest.raises(ValueError, match="no parameter has filters"):
            layout(bad)
    with pytest.raises(ValueError, match="ignore='weight' leaves no parameter to move along"):
        layout(net, ignore="weight")
