"""The object of a dead-leaves image: silhouettes, fine patterns, hues."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def pose(placement: NDArray, x: Array, y: Array) -> tuple[Array, Array]:
    """Image coordinates to object coordinates (the silhouette is about one unit in radius)."""
    cx, cy, r, t, a = (placement[:, i, None, None] for i in range(5))
    c, s = np.cos(t), np.sin(t)
    dx, dy = (x - cx) / r, (y - cy) / r
    return c * dx + s * dy, (c * dy - s * dx) / a


def _polygon(u: Array, v: Array, points: list[tuple[float, float]]) -> Array:
    """Signed inside-distance (positive inside) to a polygon."""
    distance, sign = np.full(u.shape, np.inf), np.full(u.shape, -1.0)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        ex, ey, px, py = bx - ax, by - ay, u - ax, v - ay
        t = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        distance = np.minimum(distance, np.hypot(px - t * ex, py - t * ey))
        crosses = (v >= ay) != (v >= by)
        sign = np.where(crosses & ((px * ey < py * ex) == (ey > 0)), -sign, sign)
    return sign * distance


def _star(points: int, inner: float, radius: float) -> list[tuple[float, float]]:
    turn = [np.pi * k / points for k in range(2 * points)]
    length = [radius * (1 if k % 2 == 0 else inner) for k in range(2 * points)]
    return [(r * np.cos(t), r * np.sin(t)) for r, t in zip(length, turn, strict=True)]


_CROSS = [
    (-1.0, -0.3), (-0.3, -0.3), (-0.3, -1.0), (0.3, -1.0), (0.3, -0.3), (1.0, -0.3),
    (1.0, 0.3), (0.3, 0.3), (0.3, 1.0), (-0.3, 1.0), (-0.3, 0.3), (-1.0, 0.3),
]  # fmt: skip
_CORNER = [(-0.9, -0.9), (0.9, -0.9), (0.9, -0.3), (-0.3, -0.3), (-0.3, 0.9), (-0.9, 0.9)]
_HOURGLASS = [(-0.95, -0.95), (0.95, -0.95), (0.18, 0.0), (0.95, 0.95), (-0.95, 0.95), (-0.18, 0.0)]


# inside-distances in object units; sizes chosen so that no silhouette is told by its area alone
_SILHOUETTES: tuple[Callable[[Any, Any], Any], ...] = (
    lambda u, v: 0.82 - np.hypot(u, v),
    lambda u, v: _polygon(u, v, [(-0.75, -0.75), (0.75, -0.75), (0.75, 0.75), (-0.75, 0.75)]),
    lambda u, v: _polygon(u, v, [(1.1, 0.0), (-0.6, 0.95), (-0.6, -0.95)]),
    lambda u, v: _polygon(u, v, _star(5, 0.42, 1.15)),
    lambda u, v: _polygon(u, v, _CROSS),
    lambda u, v: 0.27 - np.abs(np.hypot(u, v) - 0.75),
    lambda u, v: np.minimum(1.0 - np.hypot(u, v), np.hypot(u - 0.55, v) - 0.72),
    lambda u, v: 0.36 - np.hypot(np.maximum(np.abs(u) - 0.8, 0), v),
    lambda u, v: _polygon(u, v, _CORNER),
    lambda u, v: _polygon(u, v, _HOURGLASS),
)


def silhouette(kinds: NDArray[np.int64], u: Array, v: Array) -> Array:
    """Signed inside-distance to the outline of each image's kind, in object units."""
    out = np.empty_like(u)
    for kind in np.unique(kinds):
        own = kinds == kind
        out[own] = _SILHOUETTES[kind](u[own], v[own])
    return out


def pattern(kinds: NDArray[np.int64], draw: dict[str, NDArray], x: Array, y: Array) -> Array:
    """Ten fine patterns in [-1, 1]: 1-, 2-, 3-fold gratings, rings and noise at two fine scales."""
    size = x.shape[-1]
    out = np.empty((len(kinds), size, size), np.float32)
    for kind in np.unique(kinds):
        own = kinds == kind
        fold, fine = divmod(int(kind), 2)
        cycles = (6.5, 11.0)[fine]  # per image side: periods of 4.9 and 2.9 px at 32 px
        tilt, phase = draw["tilt"][own, None, None], draw["phase"][own]
        if fold < 3:
            waves = [
                np.cos(
                    2 * np.pi * cycles * (np.cos(t) * x + np.sin(t) * y) + phase[:, k, None, None]
                )
                for k in range(fold + 1)
                for t in [tilt + np.pi * k / (fold + 1)]
            ]
            out[own] = np.sum(waves, axis=0) / (fold + 1) ** 0.5
        elif fold == 3:
            cx, cy = draw["pose"][own, 0, None, None], draw["pose"][own, 1, None, None]
            out[own] = np.cos(
                2 * np.pi * cycles * np.hypot(x - cx, y - cy) + phase[:, 0, None, None]
            )
        else:
            f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]) * size
            band = np.exp(-(((f - cycles) / 1.5) ** 2))
            noise = np.fft.irfft2(np.fft.rfft2(draw["noise"][own, 1]) * band, s=(size, size))
            out[own] = noise / noise.std(axis=(-2, -1), keepdims=True) / 2**0.5
    return np.clip(out, -1.2, 1.2)


def hue(turn: NDArray) -> NDArray:
    """Zero-mean colour direction of a hue in turns: (n,) -> (n, 3)."""
    return np.cos(2 * np.pi * (turn[:, None] - np.array([0.0, 1 / 3, 2 / 3])))
