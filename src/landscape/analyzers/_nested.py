"""Batches of several sizes from one set of images, the smaller within the larger."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.subject.objective import Batches


@dataclass(frozen=True)
class Nested:
    """Which images are together in a batch.

    Attributes
    ----------
    sizes
        Rising; each divides the last.
    units
        How many batches of the last size there are; each is a unit, which shares no image with
        another.
    order
        The images, shuffled; a unit after the other.
    parts
        For each size the images ``(unit, batch, size)``.
    """

    sizes: tuple[int, ...]
    units: int
    order: Tensor
    parts: tuple[Tensor, ...]

    @property
    def counts(self) -> list[int]:
        """Batches of each size."""
        return [part.shape[0] * part.shape[1] for part in self.parts]

    def numbers(self) -> np.ndarray:
        """Give the unit of each batch ``(size, batch)``, -1 where there is none."""
        found = np.full((len(self.parts), max(self.counts)), -1)
        for row, part, count in zip(found, self.parts, self.counts, strict=True):
            row[:count] = np.repeat(np.arange(self.units), part.shape[1])
        return found


def nest(images: int, sizes: Sequence[int] | None, per_unit: int | None, seed: int) -> Nested:
    """Shuffle so many images and cut them.

    Examples
    --------
    >>> found = nest(16, None, None, seed=0)
    >>> found.sizes, found.units, found.counts
    ((1, 2, 4), 4, [16, 8, 4])
    """
    if per_unit is not None and per_unit < 1:
        raise ValueError(f"per_unit must be at least 1, got {per_unit}")
    chosen = _sizes(images, sizes)
    largest = chosen[-1]
    units = images // largest
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))[: units * largest]
    parts = tuple(order.view(units, -1, size)[:, :per_unit] for size in chosen)
    return Nested(chosen, units, order, parts)


def join(batches: Batches) -> tuple[Tensor, Tensor]:
    """Make one batch of all.

    Raises
    ------
    ValueError
        If images or targets differ in shape.
    """
    items = list(batches)
    for part, name in ((0, "inputs"), (1, "targets")):
        shapes = list(dict.fromkeys(tuple(item[part].shape[1:]) for item in items))
        if len(shapes) > 1:
            raise ValueError(
                f"{name} of shapes {shapes[0]} and {shapes[1]} do not join to one batch: "
                "pass images of one size and targets of one kind"
            )
    return torch.cat([x for x, _ in items]), torch.cat([y for _, y in items])


def _sizes(images: int, sizes: Sequence[int] | None) -> tuple[int, ...]:
    if images < 4:
        raise ValueError(f"batches of several sizes need at least 4 images, got {images}")
    if sizes is None:
        most = max(1, (images // 4).bit_length() - 1)
        return tuple(2**e for e in range(max(0, most - 3), most + 1))
    found = tuple(sorted({int(size) for size in sizes}))
    if len(found) < 2 or found[0] < 1:
        raise ValueError(
            f"sizes must be at least two different numbers from 1 on, got {list(sizes)}"
        )
    wrong = [size for size in found if found[-1] % size]
    if wrong:
        raise ValueError(
            f"each size must divide the largest, {found[-1]}, but {wrong[0]} does not: take powers "
            "of two, as 8, 16, 32"
        )
    if images < 2 * found[-1]:
        raise ValueError(
            f"the largest size must fit twice into the {images} images, but {found[-1]} does not: "
            f"take at most {images // 2}, or more images"
        )
    return found
