import numpy as np
import pytest
import torch

from landscape.datasets import load
from landscape.datasets.deadleaves import MEAN, MIXTURES, SHAPES, STD, render

LUMINANCE = np.array([0.299, 0.587, 0.114])


def exponent(images):
    """Slope of the radial power spectrum of the luminance, bins 2 to n/2, both axes logarithmic."""
    n = images.shape[-1]
    grey = np.tensordot(images / 255, LUMINANCE, axes=(1, 0))
    window = np.outer(np.hanning(n), np.hanning(n))
    power = np.abs(np.fft.fft2((grey - grey.mean((1, 2), keepdims=True)) * window)) ** 2
    cycles = np.fft.fftfreq(n) * n
    radius = np.rint(np.hypot(cycles[:, None], cycles)).astype(int)
    radial = np.bincount(radius.ravel(), power.mean(0).ravel()) / np.bincount(radius.ravel())
    bins = np.arange(2, n // 2 + 1)
    return np.polyfit(np.log(bins), np.log(radial[bins]), 1)[0]


def test_the_spectrum_falls_like_that_of_photographs():
    assert exponent(render(np.arange(500))[0]) == pytest.approx(-2, abs=0.35)
    assert exponent(render(np.arange(8), size=224)[0]) == pytest.approx(-2, abs=0.7)


def test_the_exponent_tells_white_noise_and_a_ramp_apart():
    noise = np.random.default_rng(0).uniform(0, 255, (200, 3, 32, 32))
    assert abs(exponent(noise)) < 0.1
    steps = np.zeros((1, 3, 32, 32))
    steps[..., 16:] = 255
    assert exponent(steps) < -2.3


@pytest.mark.parametrize("mixture", sorted(MIXTURES))
def test_an_image_does_not_depend_on_which_others_are_rendered(mixture):
    alone = render(np.array([7]), mixture=mixture)
    among = render(np.array([400, 7, 3, 7]), mixture=mixture)
    for one, many in ((alone[0], among[0]), (alone[1], among[1])):
        assert np.array_equal(one[0], many[1])
        assert np.array_equal(one[0], many[3])
        assert not np.array_equal(one[0], many[0]) or one.ndim == 1
    for cue in ("shape", "texture", "palette"):
        assert alone[2][cue][0] == among[2][cue][1]


def test_chunks_leave_no_seam():
    whole = render(np.arange(260))[0]
    assert np.array_equal(render(np.arange(245, 260))[0], whole[245:])


def test_the_seed_picks_images_and_draws_nothing_else():
    first, again = load("deadleaves", limit=20, seed=1), load("deadleaves", limit=20, seed=1)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    index = np.random.default_rng(1).permutation(5000)[:20]
    assert np.array_equal(first.images.numpy(), render(index)[0])
    assert not torch.equal(first.images, load("deadleaves", limit=20, seed=2).images)
    train = load("deadleaves", split="train", limit=20, seed=1)
    assert not torch.equal(first.images, train.images)


def test_global_generators_are_left_alone():
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    load("deadleaves", limit=3)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_the_constants_are_those_of_the_training_mixture():
    images = render(np.arange(2000), split="train")[0] / 255
    assert images.mean((0, 2, 3)) == pytest.approx(MEAN, abs=0.008)
    assert images.std((0, 2, 3)) == pytest.approx(STD, abs=0.008)


@pytest.mark.parametrize("mixture", sorted(MIXTURES))
def test_cues_agree_with_the_class_as_often_as_stated(mixture):
    n = 1000
    _, targets, cues = render(np.arange(n), mixture=mixture, size=8)
    stated = dict(zip(("shape", "texture", "palette"), MIXTURES[mixture], strict=True))
    for cue, share in stated.items():
        expected = share + (1 - share) / 10  # a random cue agrees one time in ten
        if mixture == "conflict" and cue == "texture":
            expected = 0.0
        found = (cues[cue] == targets).mean()
        assert abs(found - expected) <= 4 * (expected * (1 - expected) / n) ** 0.5
        assert len(np.unique(cues[cue])) == 10
    counts = np.bincount(targets, minlength=10)
    assert abs(counts - n / 10).max() <= 4 * (n * 0.09) ** 0.5


def test_every_cue_is_seen():
    """The cue that tells the class apart shows in the pixels: its images differ, in its own way."""
    _, targets, cues = (x := render(np.arange(600), mixture="palette"))
    assert np.array_equal(cues["palette"], targets)
    centre = x[0][:, :, 10:22, 10:22].mean((2, 3))
    chroma = centre - centre.mean(1, keepdims=True)
    means = np.stack([chroma[targets == k].mean(0) for k in range(10)])
    nearest = ((chroma[:, None] - means) ** 2).sum(-1).argmin(1)
    assert (nearest == targets).mean() > 0.3
    conflict = render(np.arange(600), mixture="conflict")
    assert not (conflict[2]["texture"] == conflict[1]).any()
    assert (conflict[2]["shape"] == conflict[1]).all()


def test_sizes_and_classes():
    data = load("deadleaves:shape", limit=3, size=48)
    assert data.images.shape == (3, 3, 48, 48)
    assert data.images.dtype == torch.uint8
    assert data.classes == SHAPES
    assert set(data.cues) == {"shape", "texture", "palette"}
    assert torch.equal(data.cues["shape"], data.targets)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"unknown mixture 'deadleaves:colour'; choose .*palette"):
        load("deadleaves:colour")
    with pytest.raises(ValueError, match="unknown split 'val' of deadleaves"):
        load("deadleaves", split="val")
    with pytest.raises(
        ValueError, match=r"unknown data set 'dedleaves'; did you mean deadleaves\?"
    ):
        load("dedleaves")
    with pytest.raises(ValueError, match="limit must be at least 1"):
        load("deadleaves", limit=0)
