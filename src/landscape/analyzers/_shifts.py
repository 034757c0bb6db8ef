"""Whether feature maps move when the image does."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.numerics.fields import shifted
from landscape.subject.probe import Tap, capture

SHIFTS = ("stride", "pixel")
PARTS = ("interior", "border")


@torch.no_grad()
def shifts(
    model: nn.Module,
    items: list[tuple[Tensor, Tensor]],
    taps: list[Tap],
    progress: Progress,
) -> NDArray[np.float64]:
    """Relative change ``|f(Tx) - T f(x)| / |f(x)|`` of each image: ``(taps, shift, part, images)``.

    Root mean square over a shift along rows and one along columns. The interior is the half of the
    positions along each axis that are farthest from the edges. NaN where the stride of the map is
    no whole number of pixels, where there is no such position, or the map is zero there.
    """
    where = next(model.parameters(), items[0][0]).device
    images = items[0][0].shape[2:]
    rows = []
    for inputs, _ in progress(items, len(items), "Shifts"):
        inputs = inputs.to(where)
        with capture(model, taps) as live:
            model(inputs)
            still = dict(live)
            strides = {
                tap: [side / n for side, n in zip(images, still[tap].shape[2:], strict=True)]
                for tap in taps
            }
            power = inputs.new_zeros(
                (len(taps), len(SHIFTS), len(PARTS), len(inputs)), dtype=torch.float64
            )
            for axis in (0, 1):
                steps = {s[axis] for s in strides.values() if s[axis] == round(s[axis])}
                for step in sorted({1.0, *steps}):
                    model(inputs.roll(round(step), 2 + axis))
                    for number, tap in enumerate(taps):
                        stride = strides[tap][axis]
                        kinds = [k for k, s in enumerate((stride, 1.0)) if s == step]
                        if kinds:
                            change = _change(live[tap], still[tap], step / stride, axis)
                            power[number, kinds] += change / 2
            for number, tap in enumerate(taps):
                if any(s != round(s) for s in strides[tap]):
                    power[number, 0] = torch.nan
        rows.append(power.sqrt().cpu())
    return torch.cat(rows, -1).numpy()


def _change(moved: Tensor, still: Tensor, step: float, axis: int) -> Tensor:
    """Squared relative change inside and near the border, ``(parts, b)``."""
    gap = (moved - shifted(still, step, 2 + axis)).double().square().sum(1)
    size = still.double().square().sum(1)
    inside = interior(*gap.shape[1:]).to(gap.device)
    found = []
    for mask in (inside, ~inside):
        one, two = (level[:, mask].sum(1) for level in (gap, size))
        found.append(torch.where(two > 0, one / torch.where(two > 0, two, 1.0), torch.nan))
    return torch.stack(found)


def interior(h: int, w: int) -> Tensor:
    """Positions at least a quarter of the map from its edges, bool ``(h, w)``.

    Examples
    --------
    >>> interior(4, 4).sum(), interior(2, 2).sum()
    (tensor(4), tensor(4))
    """
    y, x = ((torch.arange(n) >= n // 4) & (torch.arange(n) < n - n // 4) for n in (h, w))
    return y[:, None] & x[None, :]
