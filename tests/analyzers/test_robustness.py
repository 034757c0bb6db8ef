"""robustness: planted weaknesses, networks that cannot feel the noise, exact energies."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.analyzers._noise import Noise, Pixels, white
from landscape.numerics.bands import edges, radius, rings


class Band(nn.Module):
    """A linear classifier of two classes that looks at one band only: the sign of a product."""

    def __init__(self, pattern):
        super().__init__()
        self.pattern = nn.Parameter(pattern)

    def forward(self, x):
        level = (x * self.pattern).mean((1, 2, 3))
        return torch.stack([level, -level], 1)


def planted(low, high, seed=0, n=64, size=16):
    """A network that looks between two frequencies, and images that it tells apart."""
    draw = torch.Generator().manual_seed(seed)
    at = radius(size, size)
    mask = (at > low) & (at <= high)
    noise = torch.randn(2, size, size, generator=draw, dtype=torch.float64)
    noise = noise - noise.mean((1, 2), keepdim=True)
    pattern = torch.fft.ifft2(torch.fft.fft2(noise) * mask).real
    pattern = pattern / pattern.square().mean().sqrt()
    side = torch.randint(2, (n,), generator=draw)
    images = 0.5 + 0.05 * (1 - 2.0 * side)[:, None, None, None] * pattern
    images = images + 0.02 * torch.randn(images.shape, generator=draw, dtype=torch.float64)
    return Band(pattern).double(), [(images[:40], side[:40]), (images[40:], side[40:])]


@pytest.mark.parametrize(("low", "high", "hit"), [(0.0, 0.25, [0, 1]), (0.75, 1.0, [6, 7])])
def test_a_network_that_looks_at_one_band_is_hurt_only_there(low, high, hit):
    """Positive control: the drop is in the planted band, and nowhere else."""
    net, batches = planted(low, high)
    # ripple of the noise in a linear score, relative to the signal, is far above 1 only there
    result = landscape.robustness(net, batches, bands=8, strengths=(1.0, 20.0))
    assert result.clean_accuracy == 1
    drop = result.accuracy_drop.sel(strength=20.0).values
    assert (drop[hit] > 0.25).all()
    assert (np.delete(drop, hit) == 0).all()
    rise = result.nll_increase.sel(strength=20.0).values
    assert (rise[hit] > 0.3).all()
    assert np.abs(np.delete(rise, hit)).max() < 1e-9
    slope = result.slope.sel(strength=20.0).item()
    assert slope * (high - 0.5) > 0
    assert abs(slope) > 5 * result.slope_se.sel(strength=20.0).item() > 0


@pytest.mark.parametrize("norm", ["energy", "snr"])
def test_the_mean_of_an_image_does_not_feel_noise(norm):
    """Null: zero frequency is in no band."""
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).double()
    x = torch.rand(12, 3, 8, 8, dtype=torch.float64)
    result = landscape.robustness(
        net, [(x, net(x).argmax(1))], norm=norm, strengths=(1.0, 100.0), heat=5
    )
    assert not result.accuracy_drop.any()
    assert float(abs(result.nll_increase).max()) < 1e-10
    assert not result.slope.any()
    error = result.heat_error.values.copy()
    assert error[2, 2] >= 0  # zero frequency, in the centre, moves the mean
    error[2, 2] = 0
    assert not error.any()


def test_accuracy_equals_adding_the_noise_by_hand(network, batches):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    result = landscape.robustness(
        network, batches, mean=mean, std=std, strengths=(0.1, 0.3), replicates=2, seed=5
    )
    x, y = torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])
    scale = torch.tensor(std, dtype=torch.float64)[:, None, None]
    shift = torch.tensor(mean, dtype=torch.float64)[:, None, None]
    bounds = edges(8, 8)
    with torch.no_grad():
        clean = network(x)
        for band, mask in enumerate(rings(8, 8, bounds)):
            hits, losses, outside = [], [], []
            for replicate in (0, 1):
                drawn = [
                    np.random.default_rng([5, replicate, i]).standard_normal((3, 8, 8))
                    for i in range(7)
                ]
                plain = torch.fft.ifft2(torch.fft.fft2(torch.tensor(np.stack(drawn))) * mask).real
                length = plain.flatten(1).norm(dim=1)[:, None, None, None]
                noise = 0.3 * (3 * 8 * 8) ** 0.5 * plain / length
                pixels = x * scale + shift + noise
                outputs = network((pixels - shift) / scale)
                hits.append((outputs.argmax(1) == y).double())
                losses.append(nn.functional.cross_entropy(outputs, y, reduction="none"))
                outside.append(((pixels < 0) | (pixels > 1)).double().mean())
            at = result.sel(strength=0.3, band=band)
            hit, loss = torch.stack(hits).mean(0), torch.stack(losses).mean(0)
            drop = (clean.argmax(1) == y).double() - hit
            rise = loss - nn.functional.cross_entropy(clean, y, reduction="none")
            for name, values in (("accuracy", hit), ("accuracy_drop", drop), ("nll", loss)):
                assert at[name].item() == pytest.approx(values.mean().item(), abs=1e-12)
                error = values.std().item() / 7**0.5
                assert at[f"{name}_se"].item() == pytest.approx(error, abs=1e-12)
            assert at.nll_increase.item() == pytest.approx(rise.mean().item(), abs=1e-12)
            assert at.outside.item() == pytest.approx(torch.stack(outside).mean().item())
            each = [h.mean().item() for h in hits]
            assert at.replicate_accuracy.values == pytest.approx(each)


def test_energies_are_exact():
    x = torch.rand(6, 3, 32, 32)
    masks = rings(32, 32, edges(32, 32))
    pixels = Pixels((0.5,), (0.25,), False)
    energy = Noise("energy", masks, (1.0,), 1, pixels, 0)
    image = pixels.read(x)
    for mask, field in zip(masks, energy.fields(x, 0, 0), strict=True):
        norms = field.flatten(1).norm(dim=1)
        assert torch.allclose(norms, torch.full_like(norms, (3 * 32 * 32) ** 0.5), rtol=1e-12)
        assert torch.fft.fft2(field)[..., ~mask].abs().max() < 1e-9
        assert not field.is_complex()
    ratio = Noise("snr", masks, (1.0,), 1, pixels, 0)
    for mask, field in zip(masks, ratio.fields(x, 0, 0), strict=True):
        own = torch.fft.fft2(image)[..., mask].abs().square().sum((1, 2))
        added = torch.fft.fft2(field)[..., mask].abs().square().sum((1, 2))
        assert torch.allclose(own, added, rtol=1e-10)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 3))
    batches = [(x, torch.zeros(6, dtype=torch.int64))]
    result = landscape.robustness(net, batches, strengths=(0.1,), mean=(0.5,), std=(0.25,))
    assert np.allclose(result.noise_rms, 0.1, rtol=1e-6)
    power = torch.fft.fft2(image).abs().square().mean((0, 1)) / 32**4
    own = [power[mask].sum().sqrt().item() for mask in masks]
    assert np.allclose(result.image_rms, own, rtol=1e-9)
    snr = landscape.robustness(net, batches, norm="snr", strengths=(0.5,), mean=(0.5,), std=(0.25,))
    assert np.allclose(snr.noise_rms[0], 0.5 * result.image_rms, rtol=1e-9)


def test_an_image_without_the_band_gets_no_noise_by_ratio():
    x = torch.full((2, 1, 8, 8), 0.5, dtype=torch.float64)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).double()
    result = landscape.robustness(net, [(x, torch.zeros(2, dtype=torch.int64))], norm="snr")
    assert not result.noise_rms.values.round(14).any()
    assert float(abs(result.nll_increase).max()) < 1e-12


def test_the_published_noise_grows_with_frequency_and_is_in_units_of_inputs():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 3))
    batches = [(torch.randn(4, 3, 32, 32), torch.zeros(4, dtype=torch.int64))]
    result = landscape.robustness(
        net, batches, norm="paper", strengths=(0.7,), mean=(0.5,) * 3, std=(0.2,) * 3
    )
    assert np.allclose(result.frequency, np.arange(1, 10) / 10)
    power = (result.noise_rms[0].values / 0.2 / 0.7) ** 2
    from landscape.numerics.bands import square_ring

    for band, f in enumerate(result.frequency.values):
        mask = square_ring(32, 32, f, 0.1).numpy()
        negative = np.roll(np.flip(mask), (1, 1), (0, 1))
        expected = ((mask.astype(float) + negative) / 2) ** 2  # the real part halves the edges
        assert power[band] == pytest.approx(expected.mean(), rel=0.15)
    assert power[-1] > 3 * power[0]


def test_noise_does_not_depend_on_batches_or_networks(build):
    x = torch.randn(7, 3, 8, 8, dtype=torch.float64)
    y = torch.randint(3, (7,))
    net = build("conv")
    one = landscape.robustness(net, [(x, y)], heat=3)
    two = landscape.robustness(net, [(x[:2], y[:2]), (x[2:], y[2:])], heat=3)
    for name in one.data_vars:
        assert np.allclose(one[name], two[name], atol=1e-12, equal_nan=True), name
    assert torch.equal(white(x, 0, 0, 3)[4:], white(x[4:], 4, 0, 3))
    other = landscape.robustness(net, [(x, y)], seed=1)
    assert not np.allclose(one.nll, other.nll)


def test_the_heat_map_equals_adding_waves_by_hand(build):
    net = build("msa")
    x = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    y = net(x).argmax(1)
    result = landscape.robustness(net, [(x, y)], heat=9, heat_strength=0.7, seed=2)
    assert result.vertical.values.tolist() == (np.arange(-4, 5) / 4).tolist()
    error = result.heat_error.values
    assert np.array_equal(error, error[::-1, ::-1])
    sign = [np.random.default_rng([2, i, 1 << 20]).choice([-1.0, 1.0], 3) for i in range(5)]
    sign = torch.tensor(np.stack(sign))[:, :, None, None]
    grid = torch.arange(8, dtype=torch.float64)
    for row, column in ((1, 2), (-3, 1), (0, 4), (2, 0)):
        basis = torch.cos(2 * torch.pi * (row * grid[:, None] + column * grid) / 8)
        basis = basis / basis.norm() * 8
        with torch.no_grad():
            wrong = (net(x + 0.7 * sign * basis).argmax(1) != y).double().mean().item()
        at = result.heat_error.sel(vertical=row / 4, horizontal=column / 4)
        assert at.item() == pytest.approx(wrong)


def test_clipping_keeps_pixels_in_range_and_is_told():
    seen = []

    class Watch(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 2).double()

        def forward(self, x):
            seen.append(x.detach().clone())
            return self.head(x.mean((2, 3)))

    x = (torch.rand(4, 3, 8, 8, dtype=torch.float64) - 0.5) / 0.25
    batches = [(x, torch.zeros(4, dtype=torch.int64))]
    settings = {"strengths": (0.5,), "mean": (0.5,), "std": (0.25,)}
    free = landscape.robustness(Watch(), batches, **settings)
    assert max(t.abs().max() for t in seen) > 2
    assert (free.outside > 0.1).all()
    seen.clear()
    kept = landscape.robustness(Watch(), batches, clip=True, **settings)
    assert max(t.abs().max() for t in seen) <= 2 + 1e-12
    assert np.array_equal(kept.outside, free.outside)
    assert np.isnan(landscape.robustness(Watch(), batches).outside).all()


def test_soft_targets_count_by_their_largest():
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double()
    x = torch.randn(5, 3, 4, 4, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 1, 0])
    soft = nn.functional.one_hot(y, 3).double() * 0.8 + 0.2 / 3
    one, two = (landscape.robustness(net, [(x, t)]) for t in (y, soft))
    assert np.array_equal(one.accuracy, two.accuracy)
    assert not np.array_equal(one.nll, two.nll)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"norm": "l1"}, "norm is one of energy, snr, paper, not 'l1'"),
        ({"strengths": (0.2, 0.1)}, "positive numbers that rise"),
        ({"strengths": ()}, "positive numbers that rise"),
        ({"replicates": 0}, "replicates must be at least 1, got 0"),
        ({"bands": 9}, "bands must be from 1 to 4"),
        ({"norm": "paper", "bands": 4}, "bands of its own"),
        ({"clip": True}, "clip needs mean and std"),
        ({"mean": (0.5,)}, "mean and std both"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "mean has 2 numbers for 3 channels"),
        ({"mean": (0.5,), "std": (0.0,)}, "std must be positive"),
        ({"heat": 4}, "odd number of frequencies"),
        ({"heat": 3, "heat_strength": -1.0}, "heat_strength must be a positive number"),
        ({"width": 0.0}, "width must be a positive number"),
    ],
)
def test_bad_settings_are_refused(build, batches, settings, told):
    with pytest.raises(ValueError, match=told):
        landscape.robustness(build("conv"), batches, **settings)


def test_what_is_no_image_is_refused(build):
    with pytest.raises(ValueError, match=r"images \(c, h, w\) of one size"):
        landscape.robustness(nn.Linear(4, 2), [(torch.zeros(2, 4), torch.zeros(2).long())])
