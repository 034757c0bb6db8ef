"""Bands of 2-D frequency, noise inside a band, and Fourier basis images.

Frequencies are in units of pi radians per sample: the Nyquist frequency of an axis is 1, that is
0.5 cycles per sample; the corner of the plane lies at radius sqrt(2).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor


def radius(h: int, w: int) -> Tensor:
    """Radius of every frequency of an ``h x w`` grid, float64 ``(h, w)``, zero frequency first.

    Examples
    --------
    >>> radius(2, 2)
    tensor([[0.0000, 1.0000],
            [1.0000, 1.4142]], dtype=torch.float64)
    """
    y = torch.fft.fftfreq(h, dtype=torch.float64).abs() * 2
    x = torch.fft.fftfreq(w, dtype=torch.float64).abs() * 2
    return torch.hypot(y[:, None], x[None, :])


def edges(h: int, w: int, count: int | None = None) -> tuple[float, ...]:
    """Edges of ``count`` rings of one width up to the Nyquist frequency, and of the corners beyond.

    By default 8 rings, or as many as the shorter side has frequencies.

    Examples
    --------
    >>> [round(edge, 3) for edge in edges(8, 8)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.415]
    """
    most = max(min(h, w) // 2, 1)
    count = min(8, most) if count is None else count
    if not 1 <= count <= most:
        raise ValueError(f"bands must be from 1 to {most} for {h}x{w} images, got {count}")
    return (*(i / count for i in range(count + 1)), 1.415)


def rings(h: int, w: int, bounds: Sequence[float]) -> Tensor:
    """Masks of the rings ``lower < radius <= upper`` between neighbouring bounds.

    They do not overlap, and ``-f`` is in the ring of ``f``: filtered by a mask, what was real stays
    real. From 0 to 1.415 they hold every frequency but zero.

    Returns
    -------
    Tensor
        bool ``(bands, h, w)``, zero frequency first.

    Raises
    ------
    ValueError
        If the bounds do not rise, or a ring holds no frequency of the grid.

    Examples
    --------
    >>> rings(4, 4, (0.0, 0.5, 1.0)).sum((1, 2))
    tensor([4, 6])
    """
    bounds = [float(bound) for bound in bounds]
    if len(bounds) < 2 or bounds[0] < 0 or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError(f"edges of bands must rise from 0 or above, got {tuple(bounds)}")
    where = radius(h, w)
    near = 1e-9  # a frequency on an edge is below it, however the edge was rounded
    masks = []
    for lower, upper in pairwise(bounds):
        mask = (where > lower + near) & (where <= upper + near)
        if not mask.any():
            raise ValueError(
                f"no frequency of {h}x{w} images is between {lower:g} and {upper:g} pi rad/sample: "
                "give fewer bands, or edges that are further apart"
            )
        masks.append(mask)
    return torch.stack(masks)


def square_ring(h: int, w: int, centre: float, width: float) -> Tensor:
    """Mask of a square ring as in the code of Park & Kim (2022): a centred box minus a smaller one.

    The boxes are ``2 int((centre +- width / 2) h / 2)`` bins wide and leave out their upper end, so
    the mask is not symmetric; what it makes of a real image is not real.

    Examples
    --------
    >>> square_ring(8, 8, 0.5, 0.5).sum()  # 6 x 6 minus 2 x 2
    tensor(32)
    """

    def box(bound: float) -> Tensor:
        sides = []
        for n in (h, w):
            half = int(max(bound, 0.0) * n / 2 + 1e-9)
            place = (torch.fft.fftfreq(n, dtype=torch.float64) * n).round()
            sides.append((place >= -half) & (place < half))
        return sides[0][:, None] & sides[1][None, :]

    return box(centre + width / 2) & ~box(centre - width / 2)


def within(maps: Tensor, mask: Tensor) -> Tensor:
    """Part of real maps ``(..., h, w)`` whose frequencies a symmetric mask ``(h, w)`` holds.

    Examples
    --------
    >>> checks = torch.tensor([[3.0, 1.0], [1.0, 3.0]])
    >>> within(checks, radius(2, 2) > 1)
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    half = mask[:, : mask.shape[1] // 2 + 1].to(maps.device)
    return torch.fft.irfft2(torch.fft.rfft2(maps) * half, s=mask.shape)


def rms(maps: Tensor) -> Tensor:
    """Root mean square over channels and pixels, ``(b, c, h, w)`` to ``(b, 1, 1, 1)``."""
    return maps.square().mean((1, 2, 3), keepdim=True).sqrt()


def unit(maps: Tensor) -> Tensor:
    """Scale the maps of each image to root mean square 1; what is zero stays zero."""
    size = rms(maps)
    return torch.where(size > 0, maps / torch.where(size > 0, size, 1.0), 0.0)


def wave(h: int, w: int, row: int, column: int) -> Tensor:
    """Fourier basis image ``cos 2 pi (row y / h + column x / w)`` of root mean square 1.

    float64 ``(h, w)``; its only frequencies are ``(row, column)`` and its negative.

    Examples
    --------
    >>> wave(2, 2, 1, 0)
    tensor([[ 1.,  1.],
            [-1., -1.]], dtype=torch.float64)
    """
    y = torch.arange(h, dtype=torch.float64) * row / h
    x = torch.arange(w, dtype=torch.float64) * column / w
    phase = (y[:, None] + x[None, :]) % 1
    image = torch.cos(2 * torch.pi * phase)
    alone = (2 * row) % h == 0 and (2 * column) % w == 0  # its own negative
    return image.round() if alone else image * sqrt(2)


def plane(n: int, count: int) -> list[int]:
    """``count`` frequencies of ``n`` samples from ``-n // 2`` to ``n // 2``, evenly, 0 in between.

    Examples
    --------
    >>> plane(8, 5)
    [-4, -2, 0, 2, 4]
    """
    if count < 3 or count % 2 == 0 or count // 2 > n // 2:
        raise ValueError(
            f"the heat map needs an odd number of frequencies, from 3 to {n // 2 * 2 + 1} for "
            f"{n} pixels, got {count}"
        )
    side = count // 2
    half = [round(step * (n // 2) / side) for step in range(1, side + 1)]
    return [-step for step in reversed(half)] + [0, *half]


def conjugate(row: int, column: int, h: int, w: int) -> tuple[int, int]:
    """One name for a frequency and its negative, which are one wave of a real image.

    Examples
    --------
    >>> conjugate(-1, 2, 8, 8) == conjugate(1, -2, 8, 8) == conjugate(7, 10, 8, 8)
    True
    """
    return min((row % h, column % w), (-row % h, -column % w))
