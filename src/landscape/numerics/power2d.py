"""Power of feature maps along true frequency, all out of one transform.

The amplitude of a real map is the same at ``f`` and ``-f``: half of the plane holds all of it, and
every mean over frequencies is a product with one small matrix. Frequencies are in cycles per sample
of the map's own grid; the Nyquist frequency ``f_N`` of an axis is 0.5. Power is a density: white
noise of variance 1 has power 1 at every frequency, on every grid and in every window, and the mean
over all frequencies is the mean square of the map (Parseval).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import pi
from typing import Literal

import torch
from torch import Tensor

Window = Literal["none", "hann", "dct"]
WINDOWS: tuple[Window, ...] = ("none", "hann", "dct")
#: directions of the wave vector in degrees from the horizontal, each 22.5 to both sides
ANGLES = (0, 45, 90, 135)
#: ends of the low and of the high band, as shares of the Nyquist frequency
LOW, HIGH = 0.25, 0.5

_SMALL = 100  # positions up to which a product with the full matrix is faster than an FFT


def squares(maps: Tensor, window: Window = "none") -> Tensor:
    """Squared coefficients of maps on half of the plane: ``(b, c, h, w)`` to ``(b, c, k)``.

    Zero frequency comes first; a `Plane` knows where the others lie. The dtype is that of the maps,
    float32 for half precision.

    Parameters
    ----------
    maps
        Real.
    window
        ``"none"``: ``|FFT2|^2``. ``"hann"``: that of the map without its mean, times a periodic
        Hann window, against leakage from the borders of a map that is not periodic. ``"dct"``:
        squares of the orthonormal DCT-II, to which the borders are mirrors.

    Examples
    --------
    >>> squares(torch.ones(1, 1, 2, 2))
    tensor([[[16.,  0.,  0.,  0.]]])
    """
    if window not in WINDOWS:
        raise ValueError(f"unknown window '{window}'; choose {', '.join(WINDOWS)}")
    if maps.dtype in (torch.float16, torch.bfloat16):
        maps = maps.float()
    h, w = maps.shape[-2:]
    if window == "dct":
        return (_cosines(h).to(maps) @ maps @ _cosines(w).to(maps).T).square().flatten(2)
    if window == "hann":
        maps = (maps - maps.mean((2, 3), keepdim=True)) * taper(h, w).to(maps)
    if h * w <= _SMALL:
        return _by_matrix(maps)
    pairs = torch.view_as_real(torch.fft.rfft2(maps.contiguous())).square_()
    return (pairs[..., 0] + pairs[..., 1]).flatten(2)


def taper(h: int, w: int) -> Tensor:
    """Periodic Hann window of a map, float64 ``(h, w)``."""
    rows, columns = (torch.hann_window(n, dtype=torch.float64) for n in (h, w))
    return rows[:, None] * columns


@dataclass(frozen=True)
class Plane:
    """Where the coefficients of `squares` lie, and the means over parts of the plane.

    Attributes
    ----------
    scale
        Turns squares into power.
    y, x
        Frequency of each coefficient along both axes, ``(k,)`` float64.
    weight
        How many frequencies it stands for: 2 where ``-f`` is left out.
    ring
        Number of its ring, one fundamental of the coarser axis wide; 0 is zero frequency alone.

    Examples
    --------
    >>> half = plane(4, 4)
    >>> half.radius()
    tensor([0.3018, 0.5393, 0.7071], dtype=torch.float64)
    >>> half.modes
    tensor([8., 6., 1.], dtype=torch.float64)
    """

    scale: float
    y: Tensor
    x: Tensor
    weight: Tensor
    ring: Tensor

    @cached_property
    def rings(self) -> int:
        """Number of rings but zero frequency, out to the corners."""
        return int(self.ring.max())

    @cached_property
    def modes(self) -> Tensor:
        """Number of frequencies in each ring: ``(rings,)`` float64."""
        return self.weight @ self._rings

    def radius(self, vertical: float = 1.0, horizontal: float = 1.0) -> Tensor:
        """Radius of each ring, ``(rings,)``, in cycles per unit, if samples lie so far apart."""
        radius = torch.hypot(self.y / vertical, self.x / horizontal)
        return (self.weight * radius) @ self._rings / self.modes

    @cached_property
    def bands(self) -> tuple[Tensor, Tensor]:
        """Which coefficients are low and which are high frequencies, bool ``(k,)`` each.

        Low is ``0 < |f| <= 0.25 f_N``, or the lowest frequencies where a grid has none so low; high
        is the rest from ``0.5 f_N``, the corners included.
        """
        share = 2 * torch.hypot(self.y, self.x)
        lowest = share[self.ring > 0].min() if self.rings else torch.tensor(0.0)
        low = (self.ring > 0) & (share <= max(LOW, lowest.item()) + 1e-9)
        return low, (share >= HIGH - 1e-9) & ~low

    @cached_property
    def matrix(self) -> Tensor:
        """Means of the power: ``(k, rings + 7)`` float64.

        ``squares.mean(1) @ matrix`` has the power in each ring, over all frequencies but zero, in
        the low and in the high band, and in each direction of `ANGLES` up to the Nyquist frequency.
        What a grid does not have is NaN.
        """
        turn = torch.rad2deg(torch.atan2(self.y, self.x)) % 180
        inside = (self.ring > 0) & (torch.hypot(self.y, self.x) <= 0.5 + 1e-9)
        away = [(turn - angle).abs() for angle in ANGLES]
        towards = [inside & (torch.minimum(a, 180 - a) <= 22.5 + 1e-9) for a in away]
        parts = torch.stack([self.ring > 0, *self.bands, *towards], 1).double()
        every = torch.cat([self._rings, parts], 1) * self.weight[:, None]
        return every * (self.scale / every.sum(0))

    @cached_property
    def _rings(self) -> Tensor:
        return torch.nn.functional.one_hot(self.ring, self.rings + 1)[:, 1:].double()


@lru_cache(maxsize=64)
def plane(h: int, w: int, window: Window = "none") -> Plane:
    """The half plane of `squares` of ``h x w`` maps."""
    weight = torch.full((h, w if window == "dct" else w // 2 + 1), 1.0 if window == "dct" else 2.0)
    if window == "dct":
        y, x = torch.arange(h).double() / (2 * h), torch.arange(w).double() / (2 * w)
        scale = 1.0
    else:
        y, x = (
            f(n, dtype=torch.float64) for f, n in ((torch.fft.fftfreq, h), (torch.fft.rfftfreq, w))
        )
        weight[:, 0] = 1
        if w % 2 == 0:
            weight[:, -1] = 1
        scale = 1 / (float(taper(h, w).square().sum()) if window == "hann" else h * w)
    y, x = (part.flatten() for part in torch.meshgrid(y, x, indexing="ij"))
    side = min(h, w) if min(h, w) > 1 else max(h, w)  # a single row has only its own axis
    number = (torch.hypot(y, x) * side * (2 if window == "dct" else 1)).round().long()
    number = number.clamp(min=1) * (torch.arange(len(y)) > 0)
    return Plane(scale, y, x, weight.flatten().double(), number.unique(return_inverse=True)[1])


def _by_matrix(maps: Tensor) -> Tensor:
    """``|FFT2|^2`` on half of the plane by a product, where channels come first or last."""
    matrix = _fourier(*maps.shape[-2:]).to(maps)
    k = matrix.shape[1] // 2
    flat = maps.flatten(2)
    if flat.stride(1) == 1 and flat.stride(2) != 1:  # tokens
        parts = (matrix.T @ flat.transpose(1, 2)).square_()
        return (parts[:, :k] + parts[:, k:]).transpose(1, 2)
    parts = (flat @ matrix).square_()
    return parts[..., :k] + parts[..., k:]


@lru_cache(maxsize=64)
def _fourier(h: int, w: int) -> Tensor:
    """Real and imaginary parts of all coefficients beside each other: ``(h w, 2 k)`` float64."""
    spectra = torch.fft.rfft2(torch.eye(h * w, dtype=torch.float64).view(-1, h, w)).flatten(1)
    return torch.cat([spectra.real, spectra.imag], 1)


@lru_cache(maxsize=64)
def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II, ``(n, n)`` float64."""
    k, t = torch.arange(n).double()[:, None], torch.arange(n).double()
    rows = (2 / n) ** 0.5 * torch.cos(pi * k * (t + 0.5) / n)
    rows[0] /= 2**0.5
    return rows
