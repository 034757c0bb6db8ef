"""Power of maps along frequency: Parseval, filters, aliases."""

from math import cos, pi

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

import landscape
from landscape.numerics.power2d import plane
from landscape.selftest import check
from landscape.selftest.spectra import batch, box, impulse, noise, taken


@check(1e-12)
def parseval() -> ArrayLike:
    """The mean power over all frequencies but zero is the variance over places (Parseval)."""
    off = []
    for shape in ((4, 3, 16, 16), (4, 3, 7, 7), (4, 3, 12, 18)):
        x = noise(*shape) * torch.tensor([1.0, 2.0, 5.0]).view(1, 3, 1, 1) + 3
        net = nn.Sequential(taken(x), taken(x))
        space = landscape.variance(net, batch(x)).variance.values
        off.append(landscape.fourier(net, batch(x)).ac.values / space - 1)
    return np.concatenate(off)


@check(1e-12)
def filtered_power() -> ArrayLike:
    """A blur multiplies the power of a white map by its squared gain, ring by ring."""
    size = 16
    x = impulse(size)
    net = nn.Sequential(taken(x), box(), taken(x))
    taps = [landscape.Tap("0"), landscape.Tap("1")]
    power = landscape.fourier(net, batch(x), taps=taps).power.values
    half = plane(size, size)
    gain = (half.weight * (torch.cos(pi * half.y) * torch.cos(pi * half.x)) ** 2).numpy()
    sums = np.bincount(half.ring, gain) / np.bincount(half.ring, half.weight)
    return power[1] / power[0] - sums[1:]


@check(1e-12)
def aliasing() -> ArrayLike:
    """Every second pixel of a cosine of frequency f > 1/2 is one of 1 - f, weaker if averaged."""
    size, off = 32, []
    place = torch.arange(size, dtype=torch.float64)
    for k in range(size // 4 + 1, size // 2):
        wave = torch.cos(2 * pi * k * place / size).expand(1, 1, size, size).contiguous()
        for shrink, gain in ((taken(wave, stride=2), 1.0), (nn.AvgPool2d(2), cos(pi * k / size))):
            found = landscape.fourier(nn.Sequential(taken(wave), shrink), batch(wave))
            power = found.power.values[1, : plane(size // 2, size // 2).rings]
            off.append(power / power.sum() - (np.arange(1, len(power) + 1) == size // 2 - k))
            before, after = found.ac.values * [1 - size**-2.0, 1 - 4 * size**-2.0]
            off.append([after / before - gain**2])
    return np.concatenate(off)
