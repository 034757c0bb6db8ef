"""What analyzers of feature maps share: one pass, statistics of each image at each tap."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.numerics.moments import Moments
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap, capture, discover

Found = list[tuple[Tap, tuple[int, int]]]
Outliers = Literal["keep", "median"]
#: a token is an outlier if its norm is larger than so many times the median norm of its map
FAR = 5.0


@dataclass(frozen=True)
class Heard:
    """What one pass over the images left at the taps.

    Attributes
    ----------
    found
        The taps and the grids of their maps.
    values, levels, steps
        Mean and standard error ``(2, n)`` at each tap: of the statistics of each image, of what is
        compared between taps, and of its difference to the tap before, which is NaN at the first
        tap and where the grid is another one.
    size
        Of the images, if they are images.
    """

    found: Found
    values: list[Tensor]
    levels: list[Tensor]
    steps: list[Tensor]
    size: tuple[int, int] | None


@torch.no_grad()
def heard(
    model: nn.Module,
    batches: Batches,
    taps: Sequence[Tap] | None,
    statistic: Callable[[Tap, Tensor], Tensor],
    compared: Callable[[Tensor], Tensor],
    progress: Progress,
    label: str,
) -> Heard:
    """Moments over images of statistics ``(b, c, h, w) -> (b, n)`` at every tap, in one pass.

    Memory does not depend on the number of images: maps are folded inside the hooks.

    Parameters
    ----------
    statistic
        Its first column is finite if and only if the maps are.
    compared
        Levels ``(b, m)`` out of the statistics, whose steps from tap to tap are taken image by
        image: what all images share cancels.
    """
    items = list(batches)
    if taps is None:
        taps = discover(model, items[0][0])
    if not taps:
        raise ValueError("taps is an empty list")
    if len(set(taps)) < len(taps):
        raise ValueError(f"taps has {next(t for t in taps if list(taps).count(t) > 1)} twice")
    where = next(model.parameters(), items[0][0]).device
    total: Moments | None = None
    widths: list[int] = []
    sizes: dict[Tap, tuple[int, int]] = {}

    def fold(tap: Tap) -> Callable[[Tensor], tuple[tuple[int, int], Tensor]]:
        return lambda maps: ((maps.shape[2], maps.shape[3]), statistic(tap, maps).cpu())

    with ExitStack() as stack:
        live = {tap: stack.enter_context(capture(model, [tap], fold(tap))) for tap in taps}
        for inputs, _ in progress(items, len(items), label):
            model(inputs.to(where))
            rows: list[Tensor] = []
            past, before = (0, 0), torch.empty(0)
            for tap in taps:
                size, values = live[tap][tap]
                if sizes.setdefault(tap, size) != size:
                    raise ValueError(
                        f"tap {tap} has maps of {sizes[tap]} and of {size}: all images must have "
                        "one size"
                    )
                if not torch.isfinite(values[:, 0]).all():
                    raise ValueError(f"the feature maps at tap {tap} are not finite")
                level = compared(values)
                step = level - before if size == past else torch.full_like(level, torch.nan)
                rows += [values, level, step]
                past, before = size, level
            part = Moments.of(torch.cat(rows, 1))  # of all taps at once
            total, widths = total + part if total else part, [row.shape[1] for row in rows]
    assert total is not None
    parts = torch.stack([total.mean, total.standard_error]).split(widths, 1)
    found = [(tap, sizes[tap]) for tap in taps]
    shape = items[0][0].shape
    size = (shape[-2], shape[-1]) if len(shape) == 4 else None
    return Heard(found, list(parts[::3]), list(parts[1::3]), list(parts[2::3]), size)


def decibels(power: Tensor) -> Tensor:
    """``10 log10``; NaN for nothing."""
    return 10 * torch.where(power > 0, power, torch.nan).log10()


def settled(maps: Tensor, outliers: Outliers) -> tuple[Tensor, Tensor]:
    """Maps with or without their outlier tokens, and the share of these in each image ``(b,)``.

    A few tokens of very large norm, as large ViTs have, are a spike in the map, and the spectrum of
    a spike is white. ``"median"`` puts the median over the map in their place, channel by channel.

    Examples
    --------
    >>> maps = torch.ones(1, 1, 3, 3)
    >>> maps[0, 0, 1, 1] = 100
    >>> calm, share = settled(maps, "median")
    >>> calm.max().item(), round(share.item(), 3)
    (1.0, 0.111)
    """
    if outliers not in ("keep", "median"):
        raise ValueError(f"unknown outliers '{outliers}'; choose keep or median")
    wide = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
    size = wide.square().sum(1).flatten(1)  # squares of the norms
    n = size.shape[1]
    near = (size >= size.amax(1, keepdim=True) / FAR**2).sum(1)
    rest = near < n - (n - 1) // 2  # in the others the median itself is near the maximum
    if not rest.any():
        return maps, torch.zeros(len(maps), dtype=torch.float64, device=maps.device)
    middle = size.median(1, keepdim=True).values
    far = (size > FAR**2 * middle) & (middle > 0)
    if outliers == "median" and far.any():
        sick = far.any(1)
        flat = maps[sick].flatten(2)
        calm = torch.where(far[sick][:, None], flat.median(2, keepdim=True).values, flat)
        maps = maps.clone()
        maps[sick] = calm.view(-1, *maps.shape[1:])
    return maps, far.double().mean(1)


def chunk(maps: Tensor) -> int:
    """How many images at once, so that what is computed of them stays in the cache."""
    return max(1, 2**19 // max(1, maps[0].numel()))


def along_taps(
    name: str, parts: Sequence[Tensor], column: int, about: str, units: str
) -> dict[str, Any]:
    """A variable over ``tap`` out of one column, with its standard error."""
    mean, error = torch.stack([part[:, column] for part in parts], 1).numpy()
    return estimated(name, "tap", mean, error, about, units)


def estimated(
    name: str, dims: Any, mean: np.ndarray, error: np.ndarray, about: str, units: str
) -> dict[str, Any]:
    """A variable and its standard error."""
    beside = f"standard error of the {about}"
    return {
        name: (dims, mean, {"long_name": about, "units": units}),
        f"{name}_se": (dims, error, {"long_name": beside, "units": units}),
    }


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
