"""Losses, one number for each example."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each example, ``(n, classes)`` and ``(n,)`` or soft ``(n, classes)``.

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).exp()
    tensor([4.])
    """
    if outputs.ndim != 2:
        raise ValueError(f"cross-entropy needs outputs (n, classes), got {tuple(outputs.shape)}")
    if targets.ndim == 1:
        top = int(targets.max())
        if int(targets.min()) < 0 or top >= outputs.shape[1]:
            raise ValueError(
                f"targets run from {int(targets.min())} to {top}, but the network has only "
                f"{outputs.shape[1]} outputs"
            )
        targets = targets.long()
    elif targets.shape != outputs.shape:
        raise ValueError(
            f"soft targets {tuple(targets.shape)} do not fit outputs {tuple(outputs.shape)}"
        )
    if outputs.dtype in (torch.float16, torch.bfloat16):
        outputs = outputs.float()
    if targets.is_floating_point():
        targets = targets.to(outputs.dtype)
    return nn.functional.cross_entropy(outputs, targets, reduction="none")
