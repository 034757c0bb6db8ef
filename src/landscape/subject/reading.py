"""How a tensor is read as feature maps, told from the places of its elements."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from landscape.subject.places import Places, varies


@dataclass(frozen=True)
class Reading:
    """How to read a tensor as maps: see `landscape.subject.probe.Tap`."""

    layout: str
    prefix: int
    grid: tuple[int, int]
    order: tuple[int, ...] | None = None


def read_off(places: Places | None) -> Reading | None:
    """How a tensor with these places is read as maps of whole images, if it can be.

    Examples
    --------
    >>> from landscape.subject.places import of_images
    >>> pixels = of_images(torch.zeros(2, 3, 4, 5))
    >>> tokens = tuple(p.flatten(2).transpose(1, 2) for p in pixels)
    >>> read_off(pixels).layout, read_off(tokens).layout, read_off(tokens).grid
    ('nchw', 'tokens', (4, 5))
    """
    if places is None or places[0].ndim < 2:
        return None
    shape = places[0].shape
    same = [d for d in (1, len(shape) - 1) if not varies(places, d)]
    for dim in sorted(same, key=lambda d: shape[d] == 1):
        image, row, column = (p.select(dim, 0).flatten() for p in places)
        b = int(image.nan_to_num().max())
        if b < 1 or len(image) % b:
            continue
        image, row, column = (p.view(b, -1) for p in (image, row, column))
        real = ~row[0].isnan()
        mark = torch.arange(1, b + 1, device=image.device)[:, None].expand_as(image)
        marked = image.isnan() | (image == mark)
        alike = all(
            torch.equal(p.nan_to_num(), p[:1].nan_to_num().expand_as(p)) for p in (row, column)
        )
        if not (marked.all() and alike and real.any()):
            continue
        rows, at_row = _ranks(row[0, real])
        columns, at_column = _ranks(column[0, real])
        h, w = len(rows), len(columns)
        if h * w == 1:  # one place has no frequency and no variance
            continue
        place = at_row * w + at_column
        if not (_whole(rows) and _whole(columns)) or len(place) != h * w:
            continue
        if len(place.unique()) != h * w:
            continue
        order = real.nonzero().flatten()[place.argsort()]
        return _named(shape, dim, b, (h, w), row.shape[1] - h * w, order)
    return None


def _ranks(values: Tensor) -> tuple[Tensor, Tensor]:
    levels, rank = (values * 2e4).round().unique(return_inverse=True)
    return levels / 2e4, rank


def _whole(levels: Tensor) -> bool:
    """Whether rows or columns reach from one side of the image to the other."""
    slack = 1.5 / len(levels)
    return bool(levels[0] - 1 <= slack and 2 - levels[-1] <= slack)


def _named(
    shape: Any, dim: int, b: int, grid: tuple[int, int], prefix: int, order: Tensor
) -> Reading:
    layout = "nchw" if dim == 1 and len(shape) > 2 else "tokens"
    plain = shape[0] == b and torch.equal(order.cpu(), torch.arange(prefix, prefix + len(order)))
    if plain and len(shape) == 4 and not prefix:
        if layout == "nchw" and shape[2:] == grid:
            return Reading("nchw", 0, grid)
        if layout == "tokens" and shape[1:3] == grid:
            return Reading("nhwc", 0, grid)
    if plain and len(shape) == 3 and layout == "tokens":
        return Reading("tokens", prefix, grid)
    return Reading(layout, prefix, grid, tuple(order.tolist()))
