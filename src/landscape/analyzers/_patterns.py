"""What all images share in a map, apart from what they do not: two parts of the power."""

from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.numerics.power2d import Plane, Window, plane, squares

#: parts of the images whose mean maps are kept; leaving out one at a time gives standard errors
GROUPS = 8


@dataclass
class Pattern:
    """Sums over each group of images of the maps of one tap, and of their power in rings.

    Attributes
    ----------
    maps
        ``(GROUPS, c, h, w)`` float64.
    power
        ``(GROUPS, rings)``.
    count
        ``(GROUPS,)`` images.
    alive
        ``(c,)``: the channel was not constant over the map in every image.
    turn
        The group whose turn it is.
    """

    maps: Tensor
    power: Tensor
    count: Tensor
    alive: Tensor
    turn: int = 0

    @classmethod
    def empty(cls, maps: Tensor, rings: int) -> "Pattern":
        """Before the first image of maps ``(b, c, h, w)``."""
        return cls(
            maps.new_zeros((GROUPS, *maps.shape[1:]), dtype=torch.float64),
            torch.zeros(GROUPS, rings, dtype=torch.float64),
            torch.zeros(GROUPS, dtype=torch.float64),
            torch.zeros(maps.shape[1], dtype=torch.bool, device=maps.device),
        )

    def add(self, maps: Tensor, power: Tensor, pieces: int) -> None:
        """A batch with its power ``(b, rings)``, in so many pieces, each to the next group."""
        maps = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
        power = power.cpu()
        for some, level in zip(maps.tensor_split(pieces), power.tensor_split(pieces), strict=True):
            if len(some):
                group = self.turn
                self.maps[group] += some.sum(0)
                self.power[group] += level.sum(0)
                self.count[group] += len(some)
                self.turn = (group + 1) % GROUPS
        for part in (maps[:1], maps):  # one image tells of most channels
            if not self.alive.all():
                rest = (~self.alive).nonzero().flatten()
                values = part[:, rest].flatten(2)
                self.alive[rest] = (values != values[..., :1]).flatten(2).any(2).any(0)

    def dead(self) -> float:
        """Share of the channels that were constant over the map in every image."""
        return 1 - self.alive.double().mean().item()

    def split(self, window: Window) -> Tensor:
        """Content and fixed power in each ring with standard errors: ``(2, 2, rings)``.

        With the mean power ``S`` over ``n`` images and the power ``M`` of the mean map,
        ``fixed = (n M - S) / (n - 1)``, which estimates ``|E F|^2`` without bias (and may be below
        0), and ``content = S - fixed`` estimates ``E |F - E F|^2``. The standard errors are those
        of the jackknife over the groups. NaN for one image; errors for fewer than three.
        """
        half = plane(*self.maps.shape[-2:], window)
        n, power, maps = self.count.sum(), self.power.sum(0), self.maps.sum(0)
        value = _parts(power, maps, n, half, window)
        kept = [g for g in range(GROUPS) if self.count[g]]
        if n < 3:
            return torch.stack([value, torch.full_like(value, torch.nan)])
        without = torch.stack(
            [
                _parts(power - self.power[g], maps - self.maps[g], n - self.count[g], half, window)
                for g in kept
            ]
        )
        spread = ((without - without.mean(0)) ** 2).mean(0) * (len(kept) - 1)
        return torch.stack([value, spread.sqrt()])


def _parts(power: Tensor, maps: Tensor, n: Tensor, half: Plane, window: Window) -> Tensor:
    """Content and fixed part out of the sums over ``n`` images: ``(2, rings)``."""
    if n < 2:
        return torch.full((2, half.rings), torch.nan, dtype=torch.float64)
    mean = squares(maps[None] / n.item(), window)[0].mean(0).cpu() @ half.matrix[:, : half.rings]
    fixed = (n * mean - power / n) / (n - 1)
    return torch.stack([power / n - fixed, fixed])
