"""What analyzers of feature maps share: one pass, a statistic of each image at each tap."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.numerics.moments import Moments
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap, capture, discover

Found = list[tuple[Tap, tuple[int, int]]]


@torch.no_grad()
def heard(
    model: nn.Module,
    batches: Batches,
    taps: Sequence[Tap] | None,
    statistic: Callable[[Tensor], Tensor],
    progress: Progress,
    label: str,
) -> tuple[Found, list[Moments]]:
    """Moments over images of ``statistic`` ``(b, c, h, w) -> (b, ...)`` at every tap, in one pass.

    Memory does not depend on the number of images: maps are folded inside the hooks.
    """
    items = list(batches)
    if taps is None:
        taps = discover(model, items[0][0])
    if not taps:
        raise ValueError("taps is an empty list")
    where = next(model.parameters(), items[0][0]).device
    total: dict[Tap, Moments] = {}
    sizes: dict[Tap, tuple[int, int]] = {}

    def fold(maps: Tensor) -> tuple[tuple[int, int], Moments]:
        return (maps.shape[2], maps.shape[3]), Moments.of(statistic(maps).cpu())

    with capture(model, taps, fold) as live:
        for inputs, _ in progress(items, len(items), label):
            model(inputs.to(where))
            for tap, (size, part) in live.items():
                if sizes.setdefault(tap, size) != size:
                    raise ValueError(
                        f"tap {tap} has maps of {sizes[tap]} and of {size}: all images must have "
                        "one size"
                    )
                total[tap] = total[tap] + part if tap in total else part
    for tap in taps:
        if not torch.isfinite(total[tap].mean).all():
            raise ValueError(f"the feature maps at tap {tap} are not finite")
    return [(tap, sizes[tap]) for tap in taps], [total[tap] for tap in taps]


def tap_coordinates(found: Found) -> dict[str, Any]:
    """Coordinates along ``tap``, shared by all results over taps."""
    names = [str(tap) for tap, _ in found]
    last = max(len(found) - 1, 1)

    def entry(values: Any, long_name: str) -> tuple[str, np.ndarray, dict[str, str]]:
        return "tap", np.asarray(values), {"long_name": long_name, "units": "1"}

    return {
        "tap": entry(names, "tap"),
        "depth": entry([i / last for i in range(len(found))], "normalised depth"),
        "kind": entry([tap.kind for tap, _ in found], "kind of operation"),
        "module": entry([tap.module for tap, _ in found], "module"),
        "side": entry([tap.side for tap, _ in found], "side of the module"),
        "grid": entry([f"{h}x{w}" for _, (h, w) in found], "grid of the map"),
    }
