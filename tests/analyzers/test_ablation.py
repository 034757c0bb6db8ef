"""ablation: attention that is fixed, attention that is near, and what they lose."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.analyzers._attention import narrowed, near
from landscape.subject.site import Tokens
from landscape.subject.sites import sites

SIDE, DIM = 6, 8
PLACES = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))


class Attends(nn.Module):
    """One attention, written out, over the pixels of an image; answers with its first token."""

    def __init__(self, scores, reads=0):
        super().__init__()
        self.scores, self.reads = scores, reads
        self.value = nn.Parameter(torch.eye(3, dtype=torch.float64))

    def weights(self, tokens):
        return self.scores(tokens).softmax(-1)

    def forward(self, x, weights=None):
        tokens = x.flatten(2).transpose(1, 2)
        a = self.weights(tokens) if weights is None else weights
        return (a @ (tokens[..., :3] @ self.value))[:, self.reads]


class Fixed(nn.Module):
    """Every place looks at the one opposite, in any image."""

    def forward(self, tokens):
        far = 40 * torch.eye(SIDE**2, dtype=torch.float64).flip(0)
        return far + 0 * (tokens @ tokens.transpose(1, 2))


class Marked(nn.Module):
    """Every place looks at marked ones near it: where the fourth channel is 1."""

    def forward(self, tokens):
        gap = (PLACES[:, None] - PLACES[None]).abs().amax(-1)
        mark = torch.zeros(4, 4, dtype=torch.float64)
        mark[3, 3] = 40
        ones = torch.cat([tokens[..., :3], torch.ones_like(tokens[..., 3:])], -1)
        return (ones @ mark @ tokens.transpose(1, 2)).masked_fill(gap > 1, -torch.inf)


def images(n=80, seed=0):
    """Noise, one place marked beside the one that answers."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, SIDE, SIDE, generator=draw, dtype=torch.float64)
    x[:, 3] = 0
    at = torch.randint(3, (2, n), generator=draw)
    x[torch.arange(n), 3, at[0], at[1]] = 1
    return x


def batched(net, x, *cuts):
    with torch.no_grad():
        y = net(x).argmax(1)
    return list(zip(x.tensor_split(cuts), y.tensor_split(cuts), strict=True))


MIDDLE = SIDE + 1  # its neighbours are rows and columns 0 to 2


def test_attention_that_is_the_same_for_all_images_loses_nothing_when_frozen():
    """And much when narrowed, as it looks at the other end."""
    net = Attends(Fixed())
    result = landscape.ablation(net, batched(net, images(), 33))
    assert result.condition.values.tolist() == ["whole", "frozen", "places frozen", "3x3", "5x5"]
    assert result.attentions == 1
    for name in ("frozen", "places frozen"):
        at = result.sel(condition=name)
        assert at.accuracy_drop == 0
        assert abs(at.nll_increase) < 1e-12
        assert abs(at.moved) < 1e-12
    for name in ("3x3", "5x5"):
        at = result.sel(condition=name)
        assert at.accuracy_drop > 0.3
        assert at.nll_increase > 5 * at.nll_increase_se > 0
        assert at.moved > 0.5


def test_attention_that_is_near_loses_nothing_when_narrowed():
    """And much when frozen, as it looks where the image says."""
    net = Attends(Marked(), MIDDLE)
    result = landscape.ablation(net, batched(net, images(), 33))
    for name in ("3x3", "5x5"):
        at = result.sel(condition=name)
        assert at.accuracy_drop == 0
        assert abs(at.nll_increase) < 1e-12
        assert abs(at.moved) < 1e-12
    at = result.sel(condition="frozen")
    assert at.accuracy_drop > 0.3
    assert at.nll_increase > 5 * at.nll_increase_se > 0
    assert at.moved > 0.1


class Content(nn.Module):
    """By what places hold, near or far."""

    def forward(self, tokens):
        return tokens @ tokens.transpose(1, 2) / 2


def test_conditions_equal_changing_the_weights_by_hand():
    net = Attends(Content())
    x = images(11)
    batches = batched(net, x, 4, 7)
    result = landscape.ablation(net, batches, windows=(1, 3), seed=4)
    half = torch.from_numpy(np.random.default_rng(4).permutation(11) % 2)
    y = torch.cat([t for _, t in batches])
    with torch.no_grad():
        a = net.weights(x.flatten(2).transpose(1, 2))
        held = torch.stack([a[half != side].mean(0) for side in half])
        gap = (PLACES[:, None] - PLACES[None]).abs().amax(-1)
        changed = {"whole": a, "frozen": held, "places frozen": held}
        for k in (1, 3):
            kept = a * (gap <= k // 2)
            changed[f"{k}x{k}"] = kept / kept.sum(-1, keepdim=True)
        for name, weights in changed.items():
            at = result.sel(condition=name)
            out = net(x, weights)
            nll = nn.functional.cross_entropy(out, y, reduction="none")
            assert np.allclose(at.image_nll, nll), name
            right = out.argmax(1) == y
            assert np.array_equal(at.right, right)
            assert at.nll == pytest.approx(nll.mean().item())
            assert at.accuracy == pytest.approx(right.double().mean().item())
            rise = nll - nn.functional.cross_entropy(net(x, a), y, reduction="none")
            assert at.nll_increase == pytest.approx(rise.mean().item(), abs=1e-12)
            assert at.nll_increase_se == pytest.approx(rise.std().item() / 11**0.5, abs=1e-12)
            moved = (a - weights).abs().sum(-1).mean(-1) / 2
            assert at.moved == pytest.approx(moved.mean().item(), abs=1e-12)


def test_a_class_token_is_frozen_only_with_all_and_is_never_narrowed(build, batches):
    net = build("msa")
    (site, _) = sites(net, batches[0][0])
    assert site.queries.prefix.sum() == 1
    found = near(site, 1)[0]
    token = site.queries.prefix[0]
    assert found[token].all()
    assert found[:, token].all()
    assert torch.equal(found[~token][:, ~token], torch.eye(4, dtype=torch.bool))
    result = landscape.ablation(net, batches, windows=(1, 3))
    frozen, places = (result.sel(condition=c) for c in ("frozen", "places frozen"))
    assert 0 < places.moved < frozen.moved
    assert abs(result.sel(condition="3x3").nll_increase) < 1e-12  # 3 places hold all of 2 x 2
    assert result.sel(condition="1x1").moved > 0


def test_squares_are_of_places_in_windows_and_on_coarser_keys(build, batches):
    (site, *_) = sites(build("hybrid"), batches[0][0])
    queries, keys = site.queries, site.keys
    found = near(site, 3)
    for w, n, m in np.ndindex(*found.shape):
        rows = abs(queries.rows[w, n] - keys.rows[w, m])
        columns = abs(queries.columns[w, n] - keys.columns[w, m])
        assert found[w, n, m] == (max(rows, columns) <= 1)
    wide = landscape.ablation(build("hybrid"), batches, windows=(15,))
    assert abs(wide.sel(condition="15x15").nll_increase) < 1e-12


def test_what_is_left_may_be_as_small_as_numbers_get(build, batches):
    (site, *_) = sites(build("hybrid"), batches[0][0])
    square = near(site, 1)
    count, m = square.shape[0], square.shape[-1]
    for least in (1e-44, 0.0):  # not a normal number, and none
        weights = torch.full((2 * count, site.heads, m, m), 1 / (m - 1))
        weights[square[:, None].expand(-1, site.heads, -1, -1).repeat(2, 1, 1, 1)] = least
        found = narrowed(1)(site, weights)
        assert torch.allclose(found, square.float()[:, None].repeat(2, site.heads, 1, 1))


@pytest.mark.parametrize(("cells", "seen"), [(6, 1), (3, 1), (2, 1), (12, 4)])
def test_a_square_holds_every_cell_that_it_touches(cells, seen):
    rows, columns = PLACES.T.double()[:, None]
    keys = torch.cartesian_prod(torch.arange(cells), torch.arange(cells)).T.double()[:, None]
    site = SimpleNamespace(
        queries=Tokens(rows, columns, (SIDE, SIDE)), keys=Tokens(*keys, (cells, cells))
    )
    inner = (rows[0] > 0) & (rows[0] < SIDE - 1) & (columns[0] > 0) & (columns[0] < SIDE - 1)
    assert set(near(site, 1).sum(-1)[0, inner].tolist()) == {seen}


def test_results_do_not_depend_on_how_images_are_cut(build, batches):
    x, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    one = landscape.ablation(build("hybrid"), [(x, y)])
    two = landscape.ablation(build("hybrid"), [(x[:1], y[:1]), (x[1:], y[1:])])
    for name in one.data_vars:
        assert np.allclose(one[name], two[name], atol=1e-10), name


@pytest.mark.parametrize("windows", [(), (2,), (5, 3), (3, 3), (-1,)])
def test_windows_that_have_no_middle_or_order_are_refused(build, batches, windows):
    with pytest.raises(ValueError, match="odd numbers of places that rise"):
        landscape.ablation(build("msa"), batches, windows=windows)


def test_what_cannot_be_frozen_is_refused(build, batches):
    with pytest.raises(ValueError, match="the network has none"):
        landscape.ablation(build("conv"), batches)
    with pytest.raises(ValueError, match="there is only one"):
        landscape.ablation(build("msa"), [(x[:1], y[:1]) for x, y in batches[:1]])
