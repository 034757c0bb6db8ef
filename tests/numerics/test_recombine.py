"""Phases of one image, amplitudes of another."""

import pytest
import torch

from landscape.numerics.recombine import recombine


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (5, 9)])
def test_spectra_have_the_phases_of_one_and_the_amplitudes_of_the_other(size):
    a, b = torch.randn(2, 4, 3, *size, dtype=torch.float64)
    both = torch.fft.fft2(recombine(a, b))
    ours, theirs = torch.fft.fft2(a), torch.fft.fft2(b)
    assert torch.allclose(both.abs(), theirs.abs(), atol=1e-10)
    assert torch.allclose(both / both.abs(), ours / ours.abs(), atol=1e-9)


def test_an_image_with_itself_is_itself_and_the_way_back_leads_back():
    a, b = torch.randn(2, 2, 1, 8, 6, dtype=torch.float64)
    assert torch.allclose(recombine(a, a), a)
    assert torch.allclose(recombine(recombine(a, b), a), a)


def test_an_image_of_one_colour_has_no_phases_to_give():
    flat = torch.full((1, 4, 4), 2.0, dtype=torch.float64)
    wave = recombine(flat, torch.randn(1, 4, 4, dtype=torch.float64))
    assert torch.fft.fft2(wave).imag.abs().max() < 1e-12
    assert torch.fft.fft2(wave).real.min() > -1e-12


def test_images_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="not of 4x4 and 4x5"):
        recombine(torch.zeros(4, 4), torch.zeros(4, 5))
