"""Power of feature maps: plain references, planted effects, nulls."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape import Tap
from landscape.subject.probe import capture, discover

PAPER = ("log_amplitude", "log_amplitude_se", "relative_log_amplitude", "relative_log_amplitude_se")


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def data(x, *cuts):
    return [(part, torch.zeros(len(part))) for part in x.split(list(cuts) or [len(x)])]


def identity(channels):
    same = nn.Conv2d(channels, channels, 1, bias=False).double()
    nn.init.dirac_(same.weight)
    return same


def chain(*steps):
    """Named taps after each module of a chain."""
    return nn.Sequential(*steps).double(), [Tap(str(i)) for i in range(len(steps))]


class Blur(nn.Module):
    """The 2x2 box on a torus."""

    def forward(self, x):
        return sum(x.roll((a, b), (2, 3)) for a in (0, 1) for b in (0, 1)) / 4


def plain(maps):
    """Power of each image by the whole FFT in numpy: the ratio in dB, DC and AC power."""
    maps = maps.double().numpy()
    h, w = maps.shape[2:]
    power = np.abs(np.fft.fft2(maps - maps.mean((2, 3), keepdims=True))) ** 2 / (h * w)
    power = power.mean(1)
    radius = 2 * np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))
    lowest = radius[radius > 0].min()
    low = (radius > 0) & (radius <= max(0.25, lowest) + 1e-9)
    high = (radius >= 0.5 - 1e-9) & ~low
    bands = [
        power[:, part].mean(1) if part.any() else np.full(len(maps), np.nan) for part in (low, high)
    ]
    ratio = 10 * np.log10(bands[1] / bands[0])
    return ratio, (maps.mean((2, 3)) ** 2).mean(1), power[:, radius > 0].mean(1)


def test_power_equals_collecting_everything(network, batches):
    result = landscape.fourier(network, batches)
    taps = discover(network, batches[0][0])
    parts = []
    with torch.no_grad():
        for x, _ in batches:
            with capture(network, taps) as heard:
                network(x)
            parts.append([plain(heard[tap]) for tap in taps])
    before = grid = None
    for i, tap in enumerate(taps):
        ratio, dc, ac = (np.concatenate([part[i][j] for part in parts]) for j in range(3))
        row = result.sel(tap=str(tap))
        for name, values in (("ratio", ratio), ("dc", dc), ("ac", ac)):
            assert np.allclose(row[name], values.mean(), rtol=1e-9, equal_nan=True)
            error = values.std(ddof=1) / 7**0.5
            assert np.allclose(row[f"{name}_se"], error, rtol=1e-6, equal_nan=True)
        step = ratio - before if row.grid.item() == grid else np.full(7, np.nan)
        assert np.allclose(row.step, step.mean(), atol=1e-9, equal_nan=True)
        assert np.allclose(row.step_se, step.std(ddof=1) / 7**0.5, atol=1e-9, equal_nan=True)
        before, grid = ratio, row.grid.item()


def test_a_planted_low_pass_is_found_and_the_identity_is_exactly_none():
    net, taps = chain(identity(3), identity(3), Blur(), identity(3))
    result = landscape.fourier(net, data(noise(64, 3, 16, 16) + 1, 40, 24), taps=taps)
    assert np.isnan(result.step[0])
    assert result.step[1].item() == result.step_se[1].item() == result.step[3].item() == 0.0
    half = torch.fft.fftfreq(16, dtype=torch.float64)
    gain = (np.pi * half[:, None]).cos() ** 2 * (np.pi * half).cos() ** 2
    radius = 2 * torch.hypot(half[:, None], half)
    low = gain[(radius > 0) & (radius <= 0.25)].mean()
    want = 10 * (gain[radius >= 0.5].mean() / low).log10().item()
    step, error = result.step[2].item(), result.step_se[2].item()
    assert step < -3
    assert abs(step - want) < 4 * error + 0.1  # means of logarithms


def test_no_step_across_a_change_of_the_grid_whatever_happens_there():
    net, taps = chain(identity(2), nn.AvgPool2d(2), Blur(), nn.Upsample(scale_factor=2))
    result = landscape.fourier(net, data(noise(8, 2, 32, 32)), taps=taps)
    assert np.isnan(result.step).values.tolist() == [True, True, False, True]
    assert np.isnan(result.step_se).values.tolist() == [True, True, False, True]
    assert result.low_resolution.values.tolist() == [False] * 4
    small = landscape.fourier(net, data(noise(8, 2, 14, 14)), taps=taps)
    assert small.low_resolution.values.tolist() == [False, True, True, False]


def test_a_wave_keeps_its_frequency_per_pixel_when_the_grid_shrinks():
    t = torch.arange(32, dtype=torch.float64)
    wave = (2 * np.pi * 4 * t / 32).cos().expand(3, 1, 32, 32)
    net, taps = chain(identity(1), nn.AvgPool2d(2))
    result = landscape.fourier(net, data(wave), taps=taps)
    peak = result.power.argmax("ring")
    at = result.frequency_pixel.isel(ring=peak)
    assert np.allclose(at, 4 / 32, atol=0.5 / 32)
    own = result.frequency_sample.isel(ring=peak)
    assert own[1] / own[0] == pytest.approx(2, rel=0.1)


def test_what_all_images_share_is_parted_from_what_they_do_not():
    t = torch.arange(16, dtype=torch.float64)
    pattern = 3 * (2 * np.pi * 6 * t / 16).cos().expand(2, 16, 16)
    net, taps = chain(identity(2))
    own = noise(200, 2, 16, 16)
    result = landscape.fourier(net, data(pattern + own, 80, 80, 40), taps=taps).isel(tap=0)
    ring = int(result.fixed_power.values.argmax())
    modes = {round(r, 6): 0 for r in result.frequency_sample.values if np.isfinite(r)}
    assert len(modes) == result.sizes["ring"]
    share = result.fixed_power.values
    z = (result.content_power - 1) / result.content_power_se
    assert abs(z).max() < 5
    rest = np.arange(result.sizes["ring"]) != ring
    assert np.abs(share[rest] / result.fixed_power_se.values[rest]).max() < 6
    total = np.abs(np.fft.fft2(pattern[0].numpy())) ** 2 / 256
    radius = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.fftfreq(16))
    want = total[np.round(radius * 16) == ring + 1].mean()
    assert share[ring] == pytest.approx(want, abs=5 * result.fixed_power_se.values[ring])
    assert np.allclose(result.content_power + result.fixed_power, result.power)


def test_parts_are_unbiased_and_their_errors_the_jackknife():
    """Of five images, one by one: the mean over pairs of different images, and leaving one out."""
    maps = noise(5, 2, 8, 8)
    net, taps = chain(identity(2))
    result = landscape.fourier(net, data(maps, 3, 2), taps=taps).isel(tap=0)
    spectra = np.fft.fft2(maps.numpy())
    radius = np.round(8 * np.hypot(np.fft.fftfreq(8)[:, None], np.fft.fftfreq(8)))

    def fixed(kept):
        pairs = [
            (spectra[i] * spectra[j].conj()).real.mean(0) / 64 for i in kept for j in kept if i != j
        ]
        return np.array([np.mean(pairs, 0)[radius == r].mean() for r in range(1, 7)])

    assert np.allclose(result.fixed_power, fixed(range(5)))
    without = np.array([fixed([i for i in range(5) if i != k]) for k in range(5)])
    error = np.sqrt(4 * ((without - without.mean(0)) ** 2).mean(0))
    assert np.allclose(result.fixed_power_se, error)


def test_parts_do_not_depend_on_the_batches():
    net, taps = chain(identity(2))
    maps = noise(24, 2, 8, 8) + 1
    one, two = (landscape.fourier(net, data(maps, *c), taps=taps) for c in ([24], [10, 10, 4]))
    for name in ("power", "content_power", "fixed_power", "ratio", "dc", "direction_power"):
        assert np.allclose(one[name], two[name], rtol=1e-10)
    assert (one.fixed_power_se > 0).all()
    single = landscape.fourier(net, data(maps[:1]), taps=taps)
    assert np.isnan(single.content_power).all()
    assert np.isfinite(single.power).all()
    pair = landscape.fourier(net, data(maps[:2]), taps=taps)
    assert np.isfinite(pair.fixed_power).all()
    assert np.isnan(pair.fixed_power_se).all()


def test_dead_channels_are_counted():
    conv = nn.Conv2d(1, 4, 1)
    with torch.no_grad():
        conv.weight[:] = torch.tensor([0.0, 0.0, 1.0, 2.0])[:, None, None, None]
    net, taps = chain(conv, nn.ReLU())
    result = landscape.fourier(net, data(noise(4, 1, 8, 8)), taps=taps)
    assert result.dead.values.tolist() == [0.5, 0.5]
    first = torch.cat([torch.zeros(3, 1, 8, 8, dtype=torch.float64), noise(1, 1, 8, 8)])
    assert landscape.fourier(net, data(first), taps=taps).dead[0] == 0.5  # alive in the last image


def test_outlier_tokens_are_counted_and_their_white_spectrum_goes_with_the_median():
    t = torch.arange(16, dtype=torch.float64)
    calm = 1 + 0.5 * (2 * np.pi * t / 16).cos().expand(4, 3, 16, 16)
    calm = calm + 0.01 * noise(4, 3, 16, 16)
    spiked = calm.clone()
    spiked[:, :, 5, 7] = 60.0
    net, taps = chain(identity(3))
    clean = landscape.fourier(net, data(calm), taps=taps)
    kept = landscape.fourier(net, data(spiked), taps=taps)
    tamed = landscape.fourier(net, data(spiked), taps=taps, outliers="median")
    assert clean.outliers[0] == 0
    assert kept.outliers[0] == tamed.outliers[0] == pytest.approx(1 / 256)
    assert kept.ratio[0] > clean.ratio[0] + 10
    assert abs(tamed.ratio[0] - clean.ratio[0]) < 0.3 * abs(kept.ratio[0] - clean.ratio[0])
    again = landscape.variance(net, data(spiked), taps=taps, outliers="median")
    want = landscape.variance(net, data(calm), taps=taps)
    assert again.variance[0] == pytest.approx(want.variance[0].item(), rel=0.05)
    assert again.outliers[0] == pytest.approx(1 / 256)


def test_constant_maps_have_no_ratio_and_no_power():
    net, taps = chain(identity(1), identity(1))
    flat = torch.full((3, 1, 14, 14), 0.1, dtype=torch.float64)
    for x, model in ((flat, net), (flat.float(), chain(identity(1), identity(1))[0].float())):
        result = landscape.fourier(model, data(x), taps=taps)
        assert np.isnan(result.ratio).all()
        assert np.isnan(result.step).all()
        assert (result.power < 1e-10).all()
        assert np.allclose(result.dc, 0.01)
        assert (result.dead == 1).all()


@pytest.mark.parametrize("window", ["hann", "dct"])
def test_a_window_changes_the_power_and_not_the_papers_statistic(window, build, batches):
    net = build("conv")
    none, other = (landscape.fourier(net, batches, window=w) for w in ("none", window))
    for name in PAPER:
        assert np.allclose(none[name], other[name], rtol=1e-12, atol=1e-12, equal_nan=True)
    assert not np.allclose(none.ratio[0], other.ratio[0])
    white = landscape.fourier(
        chain(identity(64))[0], data(noise(20, 64, 16, 16)), taps=[Tap("0")], window=window
    )
    assert abs(white.ratio[0]) < 0.3
    assert np.allclose(white.power[0, 2:], 1, atol=0.1)


def test_single_precision_is_enough():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2))
    x = noise(6, 3, 32, 32) + 1
    taps = [Tap("0"), Tap("1"), Tap("2")]
    single = landscape.fourier(net, data(x.float()), taps=taps)
    double = landscape.fourier(net.double(), data(x), taps=taps)
    for name in ("power", "content_power", "dc", "ac", "direction_power"):
        assert np.allclose(single[name], double[name], rtol=1e-4, equal_nan=True)
    for name in (*PAPER, "ratio", "step"):
        assert np.allclose(single[name], double[name], atol=2e-4, equal_nan=True)


def test_odd_taps():
    net, taps = chain(identity(2), nn.AdaptiveAvgPool2d(1))
    result = landscape.fourier(net, data(noise(3, 2, 4, 4)), taps=taps[1:])
    assert result.sizes["ring"] == 1
    assert np.isnan(result.power).all()
    assert np.isfinite(result.dc).all()
    with pytest.raises(ValueError, match="0:out twice"):
        landscape.fourier(net, data(noise(3, 2, 4, 4)), taps=[taps[0], taps[0]])
    with pytest.raises(ValueError, match="unknown outliers 'drop'; choose keep or median"):
        landscape.fourier(net, data(noise(3, 2, 4, 4)), outliers="drop")
    with pytest.raises(ValueError, match="0:out are not finite"):
        broken = nn.Sequential(nn.Conv2d(2, 2, 1), nn.AdaptiveAvgPool2d(1)).double()
        broken[0].weight.data[:] = 1e300
        landscape.fourier(broken, data(1e10 + noise(3, 2, 4, 4)), taps=[Tap("0")])


def test_steps_of_the_variance_are_paired_and_only_on_one_grid():
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    net, taps = chain(identity(2), Twice(), Blur(), nn.AvgPool2d(2))
    maps = noise(6, 2, 8, 8) * torch.arange(1, 7).double()[:, None, None, None] + 1
    result = landscape.variance(net, data(maps, 4, 2), taps=taps)
    assert np.isnan(result.step).values.tolist() == [True, False, False, True]
    assert result.step[1].item() == pytest.approx(10 * np.log10(4))
    assert result.step_se[1].item() == pytest.approx(0, abs=1e-12)  # whatever the scale of an image
    assert result.normalised_step[1].item() == pytest.approx(0, abs=1e-12)
    x = 2 * maps
    own = 10 * (Blur()(x).var((2, 3)).mean(1) / x.var((2, 3)).mean(1)).log10().numpy()
    assert result.step[2].item() == pytest.approx(np.mean(own))
    assert result.step_se[2].item() == pytest.approx(np.std(own, ddof=1) / 6**0.5)
