"""Rings are a partition, what they filter stays real, waves are what they say."""

import math

import numpy as np
import pytest
import torch

from landscape.numerics.bands import (
    conjugate,
    edges,
    plane,
    radius,
    rings,
    rms,
    square_ring,
    unit,
    wave,
    within,
)

SIZES = [(8, 8), (32, 32), (7, 7), (8, 6), (9, 12)]


@pytest.mark.parametrize("size", SIZES)
def test_rings_and_zero_frequency_are_every_frequency_once(size):
    masks = rings(*size, edges(*size))
    held = masks.sum(0)
    assert held[0, 0] == 0
    held[0, 0] += 1
    assert (held == 1).all()


@pytest.mark.parametrize("size", SIZES)
def test_a_ring_holds_the_negative_of_what_it_holds(size):
    for mask in rings(*size, edges(*size)):
        negative = mask.flip(0, 1).roll((1, 1), (0, 1))
        assert torch.equal(mask, negative)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_filtered_has_only_the_frequencies_of_the_band_and_the_parts_are_the_whole(size):
    maps = torch.randn(3, 2, *size, dtype=torch.float64)
    masks = rings(*size, edges(*size))
    parts = [within(maps, mask) for mask in masks]
    for part, mask in zip(parts, masks, strict=True):
        spectrum = torch.fft.fft2(part)
        assert spectrum[..., ~mask].abs().max() < 1e-10
        plain = torch.fft.ifft2(torch.fft.fft2(maps) * mask)
        assert plain.imag.abs().max() < 1e-12  # Hermitian: real without taking a real part
        assert torch.allclose(part, plain.real, atol=1e-12)
    whole = sum(parts) + maps.mean((2, 3), keepdim=True)
    assert torch.allclose(whole, maps, atol=1e-12)


def test_default_edges_are_eight_rings_and_the_corners():
    assert edges(32, 32) == (*(i / 8 for i in range(9)), 1.415)
    assert rings(32, 32, edges(32, 32)).flatten(1).sum(1).sum() == 32 * 32 - 1
    assert float(radius(32, 32)[16, 16]) == pytest.approx(math.sqrt(2))


def test_a_frequency_on_an_edge_is_below_it():
    (low, high) = rings(32, 32, (0.0, 0.125, 0.25))
    assert low[0, 2]
    assert not high[0, 2]
    (ring,) = rings(20, 20, (0.1, 0.3))  # 0.1 + 0.2, not 0.3, is the third frequency in float64
    assert ring[0, :5].tolist() == [False, False, True, True, False]


def test_units():
    maps = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    maps[2] = 0
    size = rms(unit(maps)).flatten()
    assert np.allclose(size, [1, 1, 0, 1], rtol=1e-12)


@pytest.mark.parametrize("at", [(0, 0), (1, 0), (-3, 2), (4, 4), (4, 0), (4, 1)])
def test_a_wave_has_one_frequency_and_its_negative(at):
    image = wave(8, 8, *at)
    spectrum = torch.fft.fft2(image).abs()
    there = {(at[0] % 8, at[1] % 8), (-at[0] % 8, -at[1] % 8)}
    for row in range(8):
        for column in range(8):
            assert (spectrum[row, column] > 1) == ((row, column) in there)
    assert float(image.square().mean()) == pytest.approx(1, abs=1e-12)
    assert torch.allclose(image, wave(8, 8, *conjugate(*at, 8, 8)), atol=1e-12)


def test_frequencies_of_a_map_are_symmetric_and_end_at_nyquist():
    assert plane(32, 33) == list(range(-16, 17))
    assert plane(7, 7) == [-3, -2, -1, 0, 1, 2, 3]
    assert plane(224, 9) == [-112, -84, -56, -28, 0, 28, 56, 84, 112]


def published(noise, f, s):
    """The ring of noise as the code of Park & Kim makes it, for square images of even side."""
    h = noise.shape[-1]
    spectrum = np.roll(np.fft.fft2(noise), (h // 2, h // 2), (-2, -1))

    def mask(frequency):
        side = 2 * int(frequency * h / (2 * np.pi))
        box, low = np.zeros((h, h)), h // 2 - side // 2
        box[low : low + side, low : low + side] = 1
        return box

    ring = mask(f + s) - mask(f - s)
    return np.fft.ifft2(np.roll(spectrum * ring, (h // 2, h // 2), (-2, -1))).real


@pytest.mark.parametrize("centre", [0.1, 0.5, 0.9])
def test_square_rings_are_those_of_the_published_code(centre):
    noise = np.sign(np.random.default_rng(0).standard_normal((2, 32, 32)))
    mask = square_ring(32, 32, centre, 0.12).numpy()
    ours = np.fft.ifft2(np.fft.fft2(noise) * mask).real
    assert np.allclose(ours, published(noise, centre * np.pi, 0.06 * np.pi), atol=1e-12)
    assert not np.array_equal(mask, np.roll(np.flip(mask), (1, 1), (0, 1)))


def test_bad_bands_are_refused():
    with pytest.raises(ValueError, match="bands must be from 1 to 4 for 8x8 images, got 5"):
        edges(8, 8, 5)
    with pytest.raises(ValueError, match=r"must rise from 0 or above, got \(0.5, 0.5\)"):
        rings(8, 8, (0.5, 0.5))
    with pytest.raises(ValueError, match=r"images is between 0 and 0\.1 pi"):
        rings(8, 8, (0.0, 0.1, 1.0))
    for count in (2, 1, 11):
        with pytest.raises(ValueError, match=f"odd number of frequencies.*got {count}"):
            plane(8, count)
