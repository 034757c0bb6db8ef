"""Spectra and variances of maps: closed forms."""

from math import pi

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

import landscape
from landscape.numerics.spectrum2d import amplitude, frequencies, profile
from landscape.selftest import check

Batch = list[tuple[Tensor, Tensor]]


def batch(images: Tensor) -> Batch:
    """Images as the one batch of an analyzer, targets of no meaning."""
    return [(images, torch.zeros(len(images)))]


def impulse(size: int) -> Tensor:
    """One pixel of 1 in a map of zeros, ``(1, 1, size, size)``: all frequencies alike."""
    image = torch.zeros(1, 1, size, size, dtype=torch.float64)
    image[..., size // 2, size // 3] = 1
    return image


def noise(*shape: int) -> Tensor:
    """White noise, float64."""
    return torch.randn(*shape, dtype=torch.float64)


class Circular(nn.Module):
    """Let a map go on at its other side, then run a module on it."""

    def __init__(self, module: nn.Module, right: int, below: int) -> None:
        super().__init__()
        self.module, self.pad = module, (0, right, 0, below)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return self.module(nn.functional.pad(x, self.pad, mode="circular"))


def box() -> nn.Module:
    """Mean over 2x2 neighbours, circular."""
    return Circular(nn.AvgPool2d(2, 1), 1, 1)


def taken(x: Tensor, stride: int = 1) -> nn.Module:
    """Convolution of one pixel that hands on what it gets, every so many pixels."""
    one = nn.Conv2d(x.shape[1], x.shape[1], 1, stride, bias=False).double()
    one.weight.data = torch.eye(x.shape[1], dtype=torch.float64)[:, :, None, None]
    return one


@check(1e-12)
def box_blur() -> ArrayLike:
    """A 2x2 box blur has the gain cos(w_x / 2) cos(w_y / 2)."""
    worst = 0.0
    for size in (15, 16):
        gain = amplitude(box()(impulse(size)))[0, 0]
        half = torch.cos(pi * torch.fft.fftfreq(size, dtype=torch.float64))
        worst = max(worst, float((gain - torch.outer(half, half)).abs().max()))
    return worst


@check(1e-12)
def sinusoid() -> ArrayLike:
    """A sinusoid along the diagonal has one bin, at its frequency, of amplitude n^2 / 2."""
    size, off = 16, []
    place = torch.arange(size, dtype=torch.float64)
    for k in range(1, size // 2):
        wave = torch.cos(2 * pi * k * (place[:, None] + place) / size)
        line = profile(amplitude(wave), "diagonal") / (size**2 / 2)
        want = (frequencies(size, size, "diagonal") - 2 * k / size).abs() < 1e-9
        off.append(line - want.double())
    return torch.stack(off)


@check(0.0)
def constant_maps() -> ArrayLike:
    """Constant maps have variance 0."""
    x = torch.full((3, 2, 8, 8), 0.1, dtype=torch.float64)
    found = landscape.variance(nn.Sequential(taken(x), nn.MaxPool2d(2)), batch(x))
    return np.stack([found.variance.values, found.normalised_variance.values])


@check(1e-12)
def wave_variance() -> ArrayLike:
    """A cosine about m has the variance 1/2 n/(n-1), and that over m^2 + 1/2 if normalised."""
    size, m = 16, 3.0
    place = torch.arange(size, dtype=torch.float64)
    x = m + torch.cos(2 * pi * 3 * place / size).expand(1, 1, size, size).contiguous()
    found = landscape.variance(nn.Sequential(taken(x), taken(x)), batch(x))
    want = size**2 / (size**2 - 1) / 2
    scaled = found.normalised_variance.values - want / (m**2 + 0.5)
    return np.concatenate([found.variance.values - want, scaled])
