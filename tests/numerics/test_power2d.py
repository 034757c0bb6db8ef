"""Power on half of the plane: closed forms, and the whole plane by plain loops."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from landscape.numerics.power2d import ANGLES, WINDOWS, plane, squares, taper
from landscape.numerics.spectrum2d import log_amplitude, log_mean, log_read

SHAPES = [(8, 8), (7, 7), (6, 9), (1, 5), (2, 2), (16, 16), (12, 20)]


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def means(maps, window="none"):
    """Power in rings, over all frequencies, in both bands and four directions: ``(b, ...)``."""
    half = plane(*maps.shape[2:], window)
    values = squares(maps, window).mean(1) @ half.matrix
    return values.split([half.rings, 1, 2, len(ANGLES)], 1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tokens", [False, True])
def test_half_of_the_plane_is_the_fft(shape, tokens):
    maps = noise(2, 3, *shape) + 1
    if tokens:  # channels last in memory, after a class token
        wide = torch.cat([noise(2, 1, 3), maps.flatten(2).transpose(1, 2)], 1)
        maps = wide[:, 1:].transpose(1, 2).reshape(2, 3, *shape)
    whole = torch.fft.fft2(maps).abs() ** 2
    want = whole[..., : shape[1] // 2 + 1].flatten(2)
    assert torch.allclose(squares(maps), want, rtol=1e-10, atol=1e-10)
    single = squares(maps.float()).double()
    assert ((single - want).abs() <= 1e-5 * want + 1e-8 * whole.amax((2, 3))[..., None]).all()
    assert squares(maps.half()).dtype == torch.float32


@pytest.mark.parametrize("axis", ["radial", "diagonal"])
@pytest.mark.parametrize("shape", SHAPES)
def test_log_amplitudes_are_those_of_the_whole_plane(shape, axis):
    maps = noise(2, 3, *shape) + 1
    level = log_read(log_mean(squares(maps), *shape, axis), *shape, axis)
    assert torch.allclose(level, log_amplitude(maps, axis), atol=1e-10)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (16, 16)])
def test_rings_and_bands_by_plain_loops(shape, window):
    h, w = shape
    maps = noise(1, 2, h, w) + 3
    if window == "dct":
        full, unit, side = dctn(maps.numpy(), axes=(2, 3), norm="ortho") ** 2, 0.5, 2 * min(shape)
    else:
        hann = taper(h, w).numpy() if window == "hann" else np.ones(shape)
        calm = maps.numpy() - maps.numpy().mean((2, 3), keepdims=True)
        full = np.abs(np.fft.fft2(calm * hann)) ** 2 / (hann**2).sum()
        unit, side = 1.0, min(shape)
    power = full.mean((0, 1))
    radii, rings, low, high = {}, {}, [], []
    for i in range(h):
        for j in range(w):
            y = i * unit / h if window == "dct" else min(i, h - i) / h
            x = j * unit / w if window == "dct" else min(j, w - j) / w
            r = math.hypot(y, x)
            if r == 0:
                continue
            rings.setdefault(max(1, round(r * side)), []).append(power[i, j])
            radii.setdefault(max(1, round(r * side)), []).append(r)
            if r <= 0.125 + 1e-9 or (r < 1.0001 / min(max(shape), 7) and shape == (7, 10)):
                low.append(power[i, j])
            elif r >= 0.25 - 1e-9:
                high.append(power[i, j])
    got, every, bands, _ = means(maps, window)
    assert np.allclose(got[0], [np.mean(p) for _, p in sorted(rings.items())])
    half = plane(h, w, window)
    assert np.allclose(half.radius(), [np.mean(r) for _, r in sorted(radii.items())])
    assert half.modes.tolist() == [len(r) for _, r in sorted(radii.items())]
    assert half.modes.sum() == h * w - 1
    assert np.isclose(every[0, 0], sum(map(sum, rings.values())) / (h * w - 1))
    if shape != (7, 10):
        assert np.allclose(bands[0], [np.mean(low), np.mean(high)])


@pytest.mark.parametrize("window", ["none", "dct"])
@pytest.mark.parametrize("shape", SHAPES)
def test_parseval_of_the_ac_power(shape, window):
    maps = noise(3, 4, *shape) + 2
    half = plane(*shape, window)
    rings, every, _, _ = means(maps, window)
    variance = maps.var((2, 3), correction=0).mean(1)
    pixels = shape[0] * shape[1]
    assert torch.allclose(rings @ half.modes / pixels, variance)
    assert torch.allclose(every[:, 0] * (pixels - 1) / pixels, variance)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("side", [7, 16])
def test_white_noise_is_flat_at_its_variance(side, window):
    maps = 2 * noise(1, 20000, side, side) + 5
    half = plane(side, side, window)
    for part in means(maps, window):
        known = part[torch.isfinite(part)]
        # removing the mean before the window takes a little from the lowest ring
        slack = 0.25 if window == "hann" else 0.03
        assert torch.allclose(known / 4, torch.ones_like(known), atol=slack)
    assert (means(maps, window)[0][0, 2:] / 4 - 1).abs().max() < 0.03
    assert half.rings == len(means(maps, window)[0][0])


def test_a_sinusoid_has_one_ring_and_one_direction():
    t = torch.arange(32, dtype=torch.float64)
    for y, x, angle in ((0, 5, 0), (5, 5, 45), (5, 0, 90), (-5, 5, 135)):
        phase = 2 * math.pi * (y * t[:, None] + x * t) / 32
        rings, _, _, ways = means(phase.cos()[None, None])
        half = plane(32, 32)
        peak = int(rings[0].argmax())
        assert half.radius()[peak] == pytest.approx(math.hypot(y, x) / 32, abs=0.5 / 32)
        # half a variance, all of it in this ring
        assert rings[0, peak] * half.modes[peak] / 1024 == pytest.approx(0.5)
        assert rings[0].sum() - rings[0, peak] < 1e-20
        assert ways[0].argmax() == ANGLES.index(angle)
        assert ways[0].sum() - ways[0].max() < 1e-20


def test_box_blur_has_its_cosine_law_everywhere():
    maps = noise(2, 3, 16, 16)
    blurred = sum(maps.roll((a, b), (2, 3)) for a in (0, 1) for b in (0, 1)) / 4
    half = plane(16, 16)
    gain = (math.pi * half.y).cos() ** 2 * (math.pi * half.x).cos() ** 2
    assert torch.allclose(squares(blurred), squares(maps) * gain, atol=1e-10)


def test_hann_ends_the_leakage_of_a_wave_that_does_not_fit():
    t = torch.arange(32, dtype=torch.float64)
    wave = (2 * math.pi * 4.5 * t / 32).cos().expand(1, 1, 32, 32)
    plain, _, _, _ = means(wave)
    calm, _, _, _ = means(wave, "hann")
    far = plane(32, 32).radius() > 0.3
    assert 10 * (calm[0, far].mean() / plain[0, far].mean()).log10() < -20


def test_dct_has_mirrors_for_borders():
    """A ramp is smooth between mirrors and has a cliff when it is repeated."""
    ramp = torch.arange(32, dtype=torch.float64).expand(1, 1, 32, 32)
    plain, mirrored = (means(ramp, window)[2][0] for window in ("none", "dct"))
    assert mirrored[1] / mirrored[0] < 0.05 * plain[1] / plain[0]


def test_constant_maps_have_no_ac_power():
    for shape in SHAPES:
        rings, every, _, _ = means(torch.full((1, 2, *shape), 3.0, dtype=torch.float64))
        assert rings.abs().max() < 1e-25
        assert every.abs().max() < 1e-25
    assert means(torch.zeros(1, 2, 8, 8, dtype=torch.float64))[0].abs().max() == 0


def test_bands_on_small_grids():
    for side in (3, 4, 5, 7):
        half = plane(side, side)
        low, high = half.bands
        assert (low & high).sum() == 0
        assert half.weight[low].sum() == 4  # one wave along each axis and its mirror image
        assert high.any()
    low, high = plane(8, 8).bands
    share = 2 * torch.hypot(plane(8, 8).y, plane(8, 8).x)
    assert torch.equal(low, (share > 0) & (share <= 0.25))
    assert torch.equal(high, share >= 0.5)


def test_frequency_per_pixel_does_not_depend_on_the_grid():
    coarse, fine = plane(8, 8), plane(16, 16)
    assert torch.allclose(coarse.radius(4, 4)[:2], fine.radius(2, 2)[:2])
    assert coarse.radius(4, 4)[0] == pytest.approx((4 / 32 + 4 * 2**0.5 / 32) / 8)
    wide = plane(8, 8).radius(4, 8)
    assert torch.allclose(wide[0], torch.tensor((2 / 32 + 2 / 64 + 4 * 5**0.5 / 64) / 8).double())


def test_an_unknown_window_is_refused():
    with pytest.raises(ValueError, match="unknown window 'kaiser'; choose none, hann, dct"):
        squares(torch.zeros(1, 1, 4, 4), "kaiser")
