"""Attention that is not the network's own: the same for all images, or of near places only."""

import torch
from torch import Tensor, nn

from landscape.subject.attention import Read, attending
from landscape.subject.objective import Batches
from landscape.subject.site import Site


@torch.no_grad()
def frozen(model: nn.Module, batches: Batches, where: list[Site]) -> Read:
    """Attention that is its mean over the images of ``batches``, whatever the image at hand.

    Accumulated in float64, ``(windows, heads, n, m)`` at each site.
    """
    total: dict[int, Tensor] = {}

    def gather(site: Site, weights: Tensor) -> None:
        part = weights.detach().double().unflatten(0, (-1, site.windows)).sum(0)
        total[site.number] = total[site.number] + part if site.number in total else part

    device = next(model.parameters()).device
    count = 0
    with attending(model, next(iter(batches))[0], gather, where):
        for inputs, _ in batches:
            model(inputs.to(device))
            count += len(inputs)
    means = {number: part / count for number, part in total.items()}

    def read(site: Site, weights: Tensor) -> Tensor:
        return means[site.number].repeat(len(weights) // site.windows, 1, 1, 1).to(weights)

    return read


def of_places(read: Read) -> Read:
    """Change the attention of tokens that stand for a place, and that of no class token."""

    def change(site: Site, weights: Tensor) -> Tensor | None:
        other = read(site, weights)
        if other is None:
            return None
        prefix = site.queries.prefix.to(weights.device)[:, None, :, None]
        return torch.where(prefix.repeat(len(weights) // site.windows, 1, 1, 1), weights, other)

    return change


def narrowed(side: int) -> Read:
    """Attention within a square of ``side`` places around each query, scaled to its former sum.

    What stands for no place, as a class token, is seen and sees as before. A query that had all its
    attention elsewhere, to rounding, sees the square alike.
    """

    def read(site: Site, weights: Tensor) -> Tensor:
        mask = near(site, side).to(weights)[:, None].repeat(len(weights) // site.windows, 1, 1, 1)
        kept = weights * mask
        left = kept.sum(-1, keepdim=True)
        alike = mask / mask.sum(-1, keepdim=True).clamp_min(1)
        # divided first: what is left may be as small as numbers get
        share = torch.where(left == 0, alike, kept / left.where(left != 0, 1))
        return share * weights.sum(-1, keepdim=True)

    return read


def near(site: Site, side: int) -> Tensor:
    """Which keys lie in the square of a query, ``(windows, n, m)``, in cells of the queries' map.

    A key of a coarser map does if its cell does in part. All, where there is no map.
    """
    queries, keys = site.queries, site.keys
    found = torch.ones(*queries.rows.shape, keys.rows.shape[1], dtype=torch.bool)
    if queries.grid is None or keys.grid is None:
        return found
    for axis, (a, b) in enumerate(((queries.rows, keys.rows), (queries.columns, keys.columns))):
        cell = queries.grid[axis] / keys.grid[axis]
        gap = (a + 0.5)[:, :, None] - (b + 0.5)[:, None, :] * cell
        found &= (gap.abs() < (side + cell) / 2 - 1e-9) | gap.isnan()
    return found
