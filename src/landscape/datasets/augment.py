"""Augmentation policies, applied to a uint8 batch and frozen by a seed.

``none``
    normalisation only.
``basic``
    random crop (padding of an eighth; from 96 px on, a random resized crop), horizontal flip.
``deit``
    ``basic``, then per image RandAugment (2 operations, magnitude 9 +- 0.5) and, from 96 px on,
    random erasing (probability 0.25); then three samples in ten get mixup (Beta 0.8) or cutmix
    (Beta 1.0), one lambda per *sample*; label smoothing 0.1. Targets become soft. (Touvron et al.
    2021, table 9; no erasing on small images, as in Park & Kim 2022.)

The transforms are torchvision's and timm's. A lambda per batch, timm's default, would make the
effective sample size the number of batches; hence ``mode="elem"``.
"""

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from landscape.datasets import normalise

POLICIES = ("none", "basic", "deit")
SMOOTHING = 0.1


def augment(
    images: Tensor,
    targets: Tensor,
    policy: str,
    *,
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Augment and normalise one batch.

    Parameters
    ----------
    images, targets
        uint8 ``(n, 3, h, w)`` and int64 ``(n,)``.
    policy
        ``"none"``, ``"basic"`` or ``"deit"``.
    classes
        Width of the soft targets.
    mean, std
        Channel statistics in [0, 1].
    seed
        The result is a function of the arguments alone; global generators are put back.

    Returns
    -------
    tuple of Tensor
        float32 ``(n, 3, h, w)`` and int64 ``(n,)`` or, for ``"deit"``, float32 ``(n, classes)``.

    Examples
    --------
    >>> x = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    >>> a, t = augment(x, torch.arange(4), "deit", classes=10, mean=(0.5,) * 3, std=(0.2,) * 3,
    ...                seed=0)
    >>> a.shape, t.shape, bool(t.sum(1).allclose(torch.ones(4)))
    (torch.Size([4, 3, 32, 32]), torch.Size([4, 10]), True)
    """
    if policy not in POLICIES:
        raise ValueError(f"unknown augmentation '{policy}'; choose {', '.join(POLICIES)}")
    if policy == "none":
        return normalise(images, mean, std), targets
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            return _augment(images, targets, policy, classes, mean, std)
        finally:
            random.setstate(python)
            np.random.set_state(array)  # noqa: NPY002


def _augment(
    images: Tensor,
    targets: Tensor,
    policy: str,
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[Tensor, Tensor]:
    from timm.data.auto_augment import rand_augment_transform
    from timm.data.random_erasing import RandomErasing
    from torchvision.transforms import v2

    size = images.shape[-1]
    if size < 96:
        crop = v2.RandomCrop(size, padding=size // 8)
    else:
        crop = v2.RandomResizedCrop(size, antialias=True)
    steps = [v2.ToPILImage(), crop, v2.RandomHorizontalFlip()]
    if policy == "deit":
        fill = tuple(round(255 * m) for m in mean)
        # PIL images on purpose: ten times faster than tensors at 32 px
        steps.append(rand_augment_transform("rand-m9-n2-mstd0.5", {"img_mean": fill}))
    each = v2.Compose([*steps, v2.PILToTensor()])
    pixels = normalise(torch.stack([each(x) for x in images]), mean, std)
    if policy == "basic":
        return pixels, targets
    if size >= 96:
        pixels = RandomErasing(0.25, mode="pixel", device="cpu")(pixels)
    return _mix(pixels, targets, classes)


def _mix(pixels: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    from timm.data import Mixup

    mix = Mixup(
        mixup_alpha=0.8,
        cutmix_alpha=1.0,
        prob=0.3,
        switch_prob=0.5,
        mode="elem",
        label_smoothing=SMOOTHING,
        num_classes=classes,
    )
    n = len(pixels)
    if n % 2:  # timm pairs an image with its mirror in the batch and wants an even number
        pixels, targets = torch.cat([pixels, pixels[:1]]), torch.cat([targets, targets[:1]])
    # timm writes into its input
    pixels, soft = mix(pixels.clone(), targets)
    return pixels[:n], soft[:n]
