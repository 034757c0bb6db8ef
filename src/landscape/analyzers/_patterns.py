"""What all images share in a map, apart from what they do not: two parts of the power."""

from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.numerics.power2d import Window, plane, squares

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
        kept = self.count > 0
        # all images first, then all without those of each group
        out = torch.cat([torch.zeros(1, len(kept)), torch.eye(len(kept))[kept]]).double()
        n = self.count.sum() - out @ self.count
        power = (self.power.sum(0) - out @ self.power) / n[:, None]
        share = ((1 - out) / n[:, None]).to(self.maps)
        some = share.split(max(1, 2**19 // self.maps[0].numel()))  # a little memory at a time
        spectra = [squares(torch.tensordot(part, self.maps, 1), window).mean(1) for part in some]
        mean = torch.cat(spectra).cpu() @ half.matrix[:, : half.rings]
        fixed = (n[:, None] * mean - power) / (n[:, None] - 1)
        parts = torch.stack([power - fixed, fixed], 1)
        value, without = parts[0], parts[1:]
        spread = ((without - without.mean(0)) ** 2).mean(0) * (int(kept.sum()) - 1)
        if n[0] < 2:
            value = torch.full_like(value, torch.nan)
        if n[0] < 3:
            spread = torch.full_like(spread, torch.nan)
        return torch.stack([value, spread.sqrt()])
