"""Images with labels, named by a spec: one file a scheme, found by folder.

``SCHEME[:PATH]`` resolves to ``datasets/SCHEME.py`` and its function ``load(path, *, split, size,
limit, seed) -> Images``. Adding a data set is adding a file.
"""

from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """A labelled set of images in memory.

    Attributes
    ----------
    images
        uint8 ``(n, 3, h, w)``, RGB.
    targets
        int64 ``(n,)``.
    classes
        Names, so ``len(classes)`` is the number of classes.
    mean, std
        Channel statistics in [0, 1] for networks trained on this set.
    cues
        Further labels of the same images by name, each int64 ``(n,)``.
    """

    images: Tensor
    targets: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cues: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


def schemes() -> list[str]:
    """Names of the data-set files in this folder."""
    here = Path(__file__).parent
    return sorted(p.stem for p in here.glob("*.py") if not p.stem.startswith("_"))


def load(
    spec: str,
    *,
    split: str = "test",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Images:
    """Load the data set that ``spec`` names.

    Examples
    --------
    >>> load("deadleaves", limit=3).images.shape
    torch.Size([3, 3, 32, 32])
    """
    scheme, _, path = spec.partition(":")
    if scheme not in schemes():
        near = get_close_matches(scheme, schemes(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"unknown data set '{spec}'{hint} Choices: {', '.join(schemes())}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 image, got {limit}")
    module = import_module(f"landscape.datasets.{scheme}")
    return module.load(path or None, split=split, size=size, limit=limit, seed=seed)


def order(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Which of ``count`` images to take: ``limit`` of them without replacement, or all."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.random.default_rng(seed).permutation(count)[:limit]


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Uint8 ``(n, 3, h, w)`` to float32, ``(x / 255 - mean) / std`` per channel."""
    m, s = (torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std))
    return (images.float() / 255 - m) / s
