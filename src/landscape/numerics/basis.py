"""An orthonormal basis of long vectors, in rows that need not lie where or be what those are."""

from collections.abc import Iterator

import torch
from torch import Tensor


def norm(vector: Tensor) -> float:
    """Euclidean norm, accumulated in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


class Basis:
    """Orthonormal vectors, in rows that need not lie where or be what the vectors are.

    With 16-bit rows new vectors are orthogonal to the rounded rows only: see the numbers in
    ``tests/numerics/test_lanczos.py``.
    """

    def __init__(self, like: Tensor, *, store: torch.dtype | None = None, host: bool = False):
        self.like = like
        self.device = torch.device("cpu") if host else like.device
        self.dtype = store or like.dtype
        # entries are near 1 / sqrt(n), which float16 would round as subnormal numbers
        self.scale = 1.0 if self.dtype == like.dtype else like.numel() ** 0.5
        self.blocks: list[Tensor] = []  # of 8 rows: no copy when it grows, little when widened

    def put(self, index: int, vector: Tensor) -> None:
        """Set one row; the next free one at most."""
        if index == 8 * len(self.blocks):
            shape = (8, self.like.numel())
            self.blocks.append(torch.empty(shape, dtype=self.dtype, device=self.device))
        self.blocks[index // 8][index % 8] = vector * self.scale

    def orthogonalise(self, vector: Tensor, count: int) -> Tensor:
        """Subtract the part in the first ``count`` rows, again if it was large.

        One pass leaves rounding errors as large as what it took away; a second is due if the norm
        fell by more than sqrt(2) (Daniel, Gragg, Kaufman & Stewart 1976).
        """
        vector = vector.to(self.device)
        for _ in range(3):
            before = norm(vector)
            for block in self._rows(count):
                vector = vector - block.T @ (block @ vector)
            if norm(vector) > 0.7 * before:
                break
        return vector.to(self.like.device)

    def combine(self, weights: Tensor) -> Tensor:
        """Linear combinations, ``(m, count)`` to ``(m, n)``."""
        weights = weights.to(self.device, self.like.dtype)
        parts = weights.split(8, dim=1)
        out = weights.new_zeros(len(weights), self.like.numel())
        for part, block in zip(parts, self._rows(weights.shape[1]), strict=True):
            out.addmm_(part, block)
        return out.to(self.like.device)

    def rotate(self, weights: Tensor) -> None:
        """Replace the first rows by combinations of the first ``count``, a slice at a time."""
        weights = weights.to(self.device, self.like.dtype)
        for columns in torch.arange(self.like.numel(), device=self.device).split(1 << 18):
            piece = slice(int(columns[0]), int(columns[-1]) + 1)
            old = torch.cat([block[:, piece] for block in self.blocks])[: weights.shape[1]]
            new = weights @ old.to(weights.dtype)
            for index, part in enumerate(new.split(8)):
                self.blocks[index][: len(part), piece] = part

    def _rows(self, count: int) -> Iterator[Tensor]:
        for first in range(0, count, 8):
            block = self.blocks[first // 8][: count - first]
            yield block if self.scale == 1.0 else block.to(self.like.dtype) / self.scale
