"""Spectra of feature maps on true frequencies.

Frequencies are in units of pi radians per sample of the map's own grid: the Nyquist frequency of an
axis is 1, the corner ``(1, 1)`` of the diagonal lies at radius sqrt(2), and an odd grid has no bin
at 1 at all. Nothing is interpolated: a bin exists on the grid or it does not exist.
"""

from functools import lru_cache
from math import gcd
from typing import Literal

import torch
from torch import Tensor

Axis = Literal["radial", "diagonal"]
FLOOR = 1e-6


def amplitude(maps: Tensor) -> Tensor:
    """Amplitude ``|FFT2|`` of maps ``(..., h, w)``, not normalised, zero frequency first.

    Examples
    --------
    >>> amplitude(torch.ones(2, 2))
    tensor([[4., 0.],
            [0., 0.]])
    """
    return torch.fft.fft2(maps).abs()


def frequencies(h: int, w: int, axis: Axis = "radial") -> Tensor:
    """Frequencies of the bins of an ``h x w`` grid, float64 ``(bins,)``, in pi rad/sample.

    ``"radial"``: the mean radius of each ring; ``"diagonal"``: the frequency along each axis.

    Examples
    --------
    >>> frequencies(8, 8, "diagonal")
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=torch.float64)
    >>> frequencies(7, 7, "diagonal")[-1]  # an odd grid ends below 1
    tensor(0.8571, dtype=torch.float64)
    """
    if axis == "diagonal":
        common = gcd(h, w)
        return torch.arange(common // 2 + 1, dtype=torch.float64) * 2 / common
    ring, radius = _rings(h, w)
    inside = ring >= 0
    total = torch.zeros(int(ring.max()) + 1, dtype=torch.float64)
    total.index_add_(0, ring[inside], radius[inside])
    return total / torch.bincount(ring[inside])


def profile(spectra: Tensor, axis: Axis = "radial") -> Tensor:
    """Read spectra ``(..., h, w)`` along frequency: ``(..., bins)``, the bins of `frequencies`.

    ``"radial"`` averages over rings one fundamental wide, up to the Nyquist frequency of the finer
    axis (the corners beyond belong to no full ring). ``"diagonal"`` takes the entries whose
    frequency is the same along both axes, as in Park & Kim (2022); on a non-square grid only the
    frequencies that both axes have.

    Examples
    --------
    >>> profile(torch.arange(16.0).view(4, 4), "diagonal")
    tensor([ 0.,  5., 10.])
    """
    h, w = spectra.shape[-2:]
    y, x, into = (part.to(spectra.device) for part in _places(h, w, axis))
    total = spectra.new_zeros(*spectra.shape[:-2], int(into.max()) + 1)
    total.index_add_(-1, into, spectra[..., y, x])
    return total / torch.bincount(into).to(spectra)


def log_amplitude(maps: Tensor, axis: Axis = "radial") -> Tensor:
    """Log amplitude of each image along frequency, averaged over channels: ``(b, bins)``.

    ``mean_c profile(ln(|FFT2(x_c)| + 1e-6))``: natural logarithm, no window, no mean removal, mean
    of the logarithms, as in Park & Kim (2022), figure 2. Minus its first entry, it is their
    relative log amplitude.

    Parameters
    ----------
    maps
        ``(b, c, h, w)``.
    axis
        ``"radial"`` or ``"diagonal"``.

    Examples
    --------
    >>> flat = log_amplitude(torch.ones(1, 1, 4, 4), "diagonal")
    >>> bool((flat[0, 0] - torch.tensor(16.0).log()).abs() < 1e-6)
    True
    """
    if maps.dtype in (torch.float16, torch.bfloat16):
        maps = maps.float()
    return profile((amplitude(maps) + FLOOR).log(), axis).mean(1)


def log_mean(squares: Tensor, h: int, w: int, axis: Axis = "radial") -> Tensor:
    """First half of `log_amplitude`, if there is ``|FFT2|^2`` on half of the plane already.

    Parameters
    ----------
    squares
        ``(b, c, h * (w // 2 + 1))``, as `landscape.numerics.power2d.squares` gives them.

    Returns
    -------
    Tensor
        Log amplitudes averaged over channels, of the coefficients that `log_read` reads.

    Examples
    --------
    >>> flat = torch.ones(1, 1, 4, 4)
    >>> half = torch.fft.rfft2(flat).abs().square().flatten(2)
    >>> level = log_read(log_mean(half, 4, 4), 4, 4)
    >>> bool(torch.allclose(level.float(), log_amplitude(flat)))
    True
    """
    kept, _ = _reading(h, w, axis)
    if 2 * len(kept) < squares.shape[-1]:
        squares = squares[..., kept.to(squares.device)]
    level = squares.sqrt().add_(FLOOR)
    c = level.shape[1]
    if c % 2:
        return level.log_().mean(1)
    return (level[:, : c // 2] * level[:, c // 2 :]).log_().sum(1) / c  # half as many logarithms


def log_read(level: Tensor, h: int, w: int, axis: Axis = "radial") -> Tensor:
    """Second half: what `log_mean` gives along frequency, float64 ``(b, bins)``."""
    kept, matrix = _reading(h, w, axis)
    matrix = matrix[kept] if level.shape[1] == len(kept) else matrix
    return level.double() @ matrix.to(level.device)


@lru_cache(maxsize=64)
def _reading(h: int, w: int, axis: Axis) -> tuple[Tensor, Tensor]:
    """Which coefficients of half of the plane `profile` reads; their shares in each bin."""
    y, x, into = _places(h, w, axis)
    beyond = x > w // 2  # the amplitude at f is that at -f
    place = torch.where(beyond, -y % h * (w // 2 + 1) + (w - x), y * (w // 2 + 1) + x)
    half = torch.zeros(h * (w // 2 + 1), int(into.max()) + 1, dtype=torch.float64)
    half.index_put_((place, into), 1 / torch.bincount(into).double()[into], accumulate=True)
    return half.sum(1).nonzero().flatten(), half


def _places(h: int, w: int, axis: Axis) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns of the frequencies that are read, and the bin of each."""
    if axis == "diagonal":
        common = gcd(h, w)
        step = torch.arange(common // 2 + 1)
        return step * (h // common), step * (w // common), step
    if axis != "radial":
        raise ValueError(f"unknown axis '{axis}'; choose radial or diagonal")
    ring, _ = _rings(h, w)
    y, x = (ring >= 0).nonzero().T
    return y, x, ring[y, x]


def _rings(h: int, w: int) -> tuple[Tensor, Tensor]:
    """Ring number (-1: beyond Nyquist) and radius of every grid frequency, ``(h, w)`` each."""
    y = torch.fft.fftfreq(h, dtype=torch.float64).abs() * 2
    x = torch.fft.fftfreq(w, dtype=torch.float64).abs() * 2
    radius = torch.hypot(y[:, None], x[None, :])
    side = min(h, w) if min(h, w) > 1 else max(h, w)  # a single row has only its own axis
    width = 2 / side
    ring = (radius / width).round().long()
    last = side // 2
    return torch.where((ring <= last) & (radius <= 1 + width / 2), ring, -1), radius
