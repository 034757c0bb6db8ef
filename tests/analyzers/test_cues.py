"""cues: networks that read one cue only, one that reads none, and counting by hand."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.analyzers._conflicts import partners
from landscape.analyzers._noise import Pixels
from landscape.numerics.recombine import recombine


class Wave(nn.Module):
    """Two classes by one Fourier coefficient: the side of its phase, or how large it is."""

    def __init__(self, cue):
        super().__init__()
        self.cue = cue
        self.cut = nn.Parameter(torch.tensor(8.0, dtype=torch.float64))

    def forward(self, x):
        wave = torch.fft.fft2(x).sum(1)[:, 1, 2]
        level = wave.angle().cos() if self.cue == "phase" else wave.abs() - self.cut
        return torch.stack([level, -level], 1)


class Patch(nn.Module):
    """Reads one class from each corner: where which cue is shown, and looks at one of them."""

    def __init__(self, corner):
        super().__init__()
        self.corner = corner
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        at = x[:, 0, 0, :4] if self.corner == "left" else x[:, 0, -1, -4:]
        return self.scale * at


def waves(cue, n=60):
    draw = torch.Generator().manual_seed(3)
    images = torch.randn(n, 1, 8, 8, generator=draw, dtype=torch.float64)
    net = Wave(cue).double()
    classes = net(images).argmax(1)
    assert 10 < classes.sum() < n - 10
    return net, [(images[:37], classes[:37]), (images[37:], classes[37:])]


@pytest.mark.parametrize(("cue", "share"), [("phase", 1), ("amplitude", 0)])
def test_a_network_that_reads_one_of_both_always_decides_for_it(cue, share):
    """Positive control, both ways."""
    net, batches = waves(cue)
    result = landscape.cues(net, batches)
    assert result.conflict.values.tolist() == ["phase/amplitude"]
    assert result.clean_accuracy == 1
    for name in ("share", "first", "right_share"):
        assert result[name].item() == share, name
    assert result.second.item() == 1 - share
    assert result.either.item() == 1
    assert (result.decision == share).all()
    assert result.images.item() == 60


def test_a_network_that_sees_neither_decides_for_both_alike():
    """Null: one answer for all images, whatever they show."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).double()
    net[1].weight.data.zero_()
    net[1].bias.data = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
    images = torch.rand(800, 1, 8, 8, dtype=torch.float64)
    result = landscape.cues(net, [(images, torch.arange(800) % 4)])
    gap = result.share.item() - 0.5
    assert abs(gap) < 4 * result.share_se.item()
    assert 0 < result.share_se.item() < 0.05
    assert result["first"].item() == pytest.approx(0.25)
    assert result.either.item() == pytest.approx(0.5, abs=0.08)


def test_phases_and_amplitudes_count_as_by_hand(network, batches):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    result = landscape.cues(network, batches, mean=mean, std=std, clip=True, seed=5)
    x, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    pixels = Pixels(mean, std, True)
    other = torch.from_numpy(partners(y.numpy(), 5))
    mixed = recombine(pixels.read(x), pixels.read(x[other]))
    scale = torch.tensor(std, dtype=torch.float64)[:, None, None]
    shift = torch.tensor(mean, dtype=torch.float64)[:, None, None]
    with torch.no_grad():
        said = network((mixed.clamp(0, 1) - shift) / scale).argmax(1)
        plain = network(x).argmax(1)
    codes = [
        1 if s == a else 0 if s == b else -1 for s, a, b in zip(said, y, y[other], strict=True)
    ]
    assert result.decision.values[0].tolist() == codes
    decided = np.array([c for c in codes if c >= 0], float)
    if len(decided):
        assert result.share.item() == pytest.approx(decided.mean())
    assert result.either.item() == pytest.approx(len(decided) / 7)
    both = (plain == y) & (plain[other] == y[other])
    known = np.array([c for c, ok in zip(codes, both, strict=True) if ok and c >= 0], float)
    expected = known.mean() if len(known) else np.nan
    assert result.right_share.item() == pytest.approx(expected, nan_ok=True)
    assert result.clean_accuracy.item() == pytest.approx((plain == y).double().mean().item())
    outside = ((mixed < 0) | (mixed > 1)).double().mean().item()
    assert result.outside.item() == pytest.approx(outside)


def test_every_partner_is_of_another_class():
    rng = np.random.default_rng(0)
    for classes in (rng.integers(3, size=50), np.r_[np.zeros(40, int), 1], np.array([1, 0])):
        found = partners(classes, 1)
        assert (classes[found] != classes).all()
    assert len(np.unique(partners(np.arange(50), 0))) == 50
    assert not np.array_equal(partners(np.arange(50), 0), partners(np.arange(50), 1))


def corners(n=400):
    """Images that show one class in each of two corners, and a third cue that is not seen."""
    draw = torch.Generator().manual_seed(0)
    left, right, third = torch.randint(4, (3, n), generator=draw)
    images = 0.01 * torch.rand(n, 1, 8, 8, generator=draw, dtype=torch.float64)
    images[torch.arange(n), 0, 0, left] = 1
    images[torch.arange(n), 0, -1, 4 + right] = 1
    return images, {"left": left, "right": right, "third": third}


@pytest.mark.parametrize(("corner", "share"), [("left", 1), ("right", 0)])
def test_a_network_that_reads_one_cue_of_the_images_decides_for_it(corner, share):
    images, labels = corners()
    batches = [(images[:150], labels["left"][:150]), (images[150:], labels["left"][150:])]
    result = landscape.cues(Patch(corner), batches, cue_labels=labels)
    assert result.conflict.values[1:].tolist() == ["left/right", "left/third", "right/third"]
    at = result.sel(conflict="left/right")
    assert at.share == share
    assert at.either == 1
    assert at.right_share.isnull()
    seen = result.sel(conflict=f"{corner}/third")
    unseen = result.sel(conflict="right/third" if corner == "left" else "left/third")
    assert (seen.share, seen.either) == (1, 1)
    assert unseen.either == 0  # the cue that decides shows neither
    assert unseen.share.isnull()
    assert at.first_cue == "left"
    assert at.second_cue == "right"


def test_there_is_a_conflict_only_where_no_third_cue_takes_sides():
    images, labels = corners()
    batches = [(images, labels["left"])]
    result = landscape.cues(Patch("left"), batches, cue_labels=labels)
    one, two, three = (labels[k] for k in ("left", "right", "third"))
    apart = (one != two) & (three != one) & (three != two)
    assert ((result.decision[1] > -2).values == apart.numpy()).all()
    assert result.images[1] == apart.sum()
    pair = landscape.cues(
        Patch("left"), batches, cue_labels={k: labels[k] for k in ("left", "right")}
    )
    assert pair.images[1] == (one != two).sum()


def test_shape_of_one_class_and_texture_of_another_comes_with_the_data():
    case = landscape.prepare("vit_s", "deadleaves:conflict", limit=6, weights="random")
    assert list(case.cues) == ["shape", "texture", "palette"]
    assert torch.equal(case.cues["shape"], case.batches[0][1])
    result = landscape.cues(case.model, case.batches, cue_labels=case.cues)
    assert "shape/texture" in result.conflict
    told = json.loads(result.attrs["settings"])["cue_labels"]
    assert sorted(told) == ["palette", "shape", "texture"]
    mixed = landscape.prepare("vit_s", "deadleaves", limit=2, weights="random", augment="deit")
    assert mixed.cues == {}  # what is shown after mixup is no single class


def test_decisions_do_not_depend_on_batches(build):
    x = torch.randn(9, 3, 8, 8, dtype=torch.float64)
    y = torch.arange(9) % 3
    net = build("msa")
    one = landscape.cues(net, [(x, y)])
    two = landscape.cues(net, [(x[:2], y[:2]), (x[2:], nn.functional.one_hot(y[2:]).double())])
    for name in one.data_vars:
        assert np.allclose(one[name], two[name], equal_nan=True), name


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cue_labels": {"shape": torch.zeros(7)}}, "one cue, 'shape', has nothing"),
        (
            {"cue_labels": {"a": torch.zeros(7), "b": torch.zeros(3)}},
            r"cue_labels\['b'\] has the shape \(3,\), there are 7 images",
        ),
        ({"clip": True}, "clip needs mean and std"),
    ],
)
def test_bad_settings_are_refused(build, batches, settings, told):
    with pytest.raises(ValueError, match=told):
        landscape.cues(build("conv"), batches, **settings)


def test_images_of_one_class_are_refused(build, batches):
    same = [(x, torch.zeros_like(y)) for x, y in batches]
    with pytest.raises(ValueError, match="two or more classes, there is one"):
        landscape.cues(build("conv"), same)
