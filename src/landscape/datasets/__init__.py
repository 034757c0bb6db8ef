"""Images with labels, named by a spec: one file a scheme, found by folder.

``SCHEME[:PATH]`` resolves to ``datasets/SCHEME.py`` and its function ``load(path, *, split, size,
limit, seed) -> Images``. Adding a data set is adding a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

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
    """Names of the data-set files in this folder: those with a function ``load``."""
    files = [p for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_")]
    return sorted(p.stem for p in files if "\ndef load(" in p.read_text("utf-8"))


def load(
    spec: str,
    *,
    split: str = "test",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    crop: float | None = None,
    interpolation: str | None = None,
) -> Images:
    """Load the data set that ``spec`` names.

    ``crop`` and ``interpolation`` are for sets whose files have sizes of their own; the others have
    no such arguments and are drawn or stored at the size asked.

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
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 image, got {limit}")
    module = import_module(f"landscape.datasets.{scheme}")
    how: dict[str, Any] = {"split": split, "size": size, "limit": limit, "seed": seed}
    resize = resizing(spec, crop=crop, interpolation=interpolation)
    how |= {k: v for k, v in resize.items() if v is not None}
    return module.load(path or None, **how)


def resizing(spec: str, **options: Any) -> dict[str, Any]:
    """Those of the options ``crop`` and ``interpolation`` that matter to a data set.

    Examples
    --------
    >>> resizing("deadleaves", crop=0.9), resizing("folder:photos", crop=0.9)
    ({}, {'crop': 0.9})
    """
    module = import_module(f"landscape.datasets.{spec.partition(':')[0]}")
    takes = signature(module.load).parameters
    return {name: value for name, value in options.items() if name in takes}


def order(count: int, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Which of ``count`` images to take: ``limit`` of them without replacement, or all."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.random.default_rng(seed).permutation(count)[:limit]


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Uint8 ``(n, 3, h, w)`` to float32, ``(x / 255 - mean) / std`` per channel."""
    m, s = (torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std))
    return (images.float() / 255 - m) / s
