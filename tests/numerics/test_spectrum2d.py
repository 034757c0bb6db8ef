import math

import pytest
import torch

from landscape.numerics.spectrum2d import (
    amplitude,
    frequencies,
    log_amplitude,
    log_mean,
    log_read,
    profile,
)


@pytest.mark.parametrize("size", [7, 8, 14, 32])
def test_a_diagonal_sinusoid_has_one_bin(size):
    k = size // 4
    t = torch.arange(size, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * k * (t[:, None] + t[None, :]) / size)
    line = profile(amplitude(wave), "diagonal")
    assert int(line.argmax()) == k
    assert torch.allclose(line[k], torch.tensor(size**2 / 2, dtype=torch.float64))
    rest = torch.cat([line[:k], line[k + 1 :]])
    assert rest.max() < 1e-9
    assert frequencies(size, size, "diagonal")[k] == pytest.approx(2 * k / size)


@pytest.mark.parametrize("size", [9, 16])
def test_a_horizontal_sinusoid_lies_on_its_ring(size):
    k = 3
    t = torch.arange(size, dtype=torch.float64)
    wave = torch.cos(2 * math.pi * k * t / size).expand(size, size)
    ring = profile(amplitude(wave), "radial")
    assert int(ring.argmax()) == k


def test_box_blur_has_its_cosine_law():
    size = 16
    impulse = torch.zeros(size, size, dtype=torch.float64)
    impulse[0, 0] = 1
    blurred = sum(impulse.roll((a, b), (0, 1)) for a in (0, 1) for b in (0, 1)) / 4
    gain = profile(amplitude(blurred), "diagonal")
    want = torch.cos(frequencies(size, size, "diagonal") * math.pi / 2) ** 2
    assert torch.allclose(gain, want, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (6, 9), (1, 5), (4, 6)])
def test_bins_and_frequencies_agree(shape):
    for axis in ("radial", "diagonal"):
        bins = profile(torch.zeros(shape), axis).shape[-1]
        f = frequencies(*shape, axis)
        assert len(f) == bins
        assert f[0] == 0
        assert (f.diff() > 0).all()
        assert f.max() <= 1 + 1e-12 or axis == "radial"


def test_radial_frequency_is_the_mean_radius_by_a_plain_loop():
    h, w = 8, 12
    f = frequencies(h, w, "radial")
    rings = {}
    for i in range(h):
        for j in range(w):
            y, x = min(i, h - i) * 2 / h, min(j, w - j) * 2 / w
            r = math.hypot(y, x)
            n = round(r / (2 / h))
            if n <= h // 2:
                rings.setdefault(n, []).append(r)
    want = [sum(r) / len(r) for _, r in sorted(rings.items())]
    assert torch.allclose(f, torch.tensor(want, dtype=torch.float64))


def test_log_amplitude_is_the_papers_formula_by_a_plain_loop():
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    got = log_amplitude(x, "diagonal")
    for b in range(2):
        for k in range(4):
            total = 0.0
            for c in range(3):
                value = 0j
                for i in range(6):
                    for j in range(6):
                        turn = -2j * math.pi * (k * i + k * j) / 6
                        value += x[b, c, i, j].item() * complex(
                            math.cos(turn.imag), math.sin(turn.imag)
                        )
                total += math.log(abs(value) + 1e-6)
            assert got[b, k].item() == pytest.approx(total / 3, abs=1e-9)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (9, 6), (1, 5)])
@pytest.mark.parametrize("axis", ["radial", "diagonal"])
def test_half_of_the_plane_tells_all_of_it(shape, axis):
    x = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    half = torch.fft.rfft2(x).abs().square().flatten(2)
    level = log_read(log_mean(half, *shape, axis), *shape, axis)
    assert torch.allclose(level, log_amplitude(x, axis), atol=1e-12)


def test_large_maps_need_no_matrix_over_all_pairs_of_places():
    size = 512  # which would take 550 GB
    half = torch.ones(1, 1, size * (size // 2 + 1), dtype=torch.float64)
    level = log_read(log_mean(half, size, size), size, size)
    assert level.shape == (1, size // 2 + 1)
    assert level.abs().max() < 2e-6


def test_parseval():
    x = torch.randn(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (amplitude(x) ** 2).sum().item() == pytest.approx(35 * (x**2).sum().item())


def test_an_unknown_axis_is_refused():
    with pytest.raises(ValueError, match="radial or diagonal"):
        profile(torch.zeros(4, 4), "sideways")
