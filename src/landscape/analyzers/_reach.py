"""How far attention reaches, how sharp it is, and how much of it depends on the image."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.numerics.fields import products
from landscape.numerics.moments import Moments
from landscape.subject.attention import attending
from landscape.subject.probe import Tap, capture
from landscape.subject.sites import Site

#: along the last dimension of what `Reach` gathers
STATISTICS = (
    "distance",
    "pixels",
    "uniform",
    "uniform_pixels",
    "entropy",
    "relative",
    "prefix",
    "self",
)
_GROUP = 4  # images whose attention is compared with each other


@dataclass
class Reach:
    """What is known of one attention, ``(heads, statistics)`` over images."""

    site: Site
    moments: Moments | None = None
    groups: list[Tensor] = field(default_factory=list)
    depth: float = 1.0


def reaches(
    model: nn.Module,
    items: list[tuple[Tensor, Tensor]],
    taps: list[Tap],
    progress: Progress,
) -> list[Reach]:
    """Measure every attention of a network, in its order; each at the depth of the tap after it."""
    where = next(model.parameters(), items[0][0]).device
    size = (items[0][0].shape[2], items[0][0].shape[3])
    found: dict[int, Reach] = {}
    passed = [0]  # taps that were heard in the present pass

    def read(site: Site, weights: Tensor) -> None:
        images = weights.detach().double().unflatten(0, (-1, site.windows))
        reach = found.setdefault(site.number, Reach(site))
        reach.depth = min(passed[0] / max(len(taps) - 1, 1), 1.0)
        part = Moments.of(statistics(site, images, size).cpu())
        reach.moments = part if reach.moments is None else reach.moments + part
        for few in images.transpose(1, 2).flatten(2).split(_GROUP):
            if len(few) > 1:
                reach.groups.append(products(few).cpu())

    def count(maps: Tensor) -> None:
        passed[0] += 1

    with torch.no_grad(), attending(model, items[0][0], read) as sites:
        if not sites:
            return []
        with capture(model, taps, count):
            for inputs, _ in progress(items, len(items), "Attention"):
                passed[0] = 0
                model(inputs.to(where))
    return [found[site.number] for site in sites]


def statistics(site: Site, images: Tensor, size: tuple[int, int]) -> Tensor:
    """`STATISTICS` of each image and head, means over the queries that stand for a place.

    Parameters
    ----------
    site
        Where the queries and keys are.
    images
        Weights, ``(b, windows, heads, n, m)``.
    size
        ``(h, w)`` of the images.

    Returns
    -------
    Tensor
        ``(b, heads, 8)``; NaN where tokens are of no map, or queries and keys of different ones.
    """
    keys = (site.keys.index >= 0) if site.keys.grid else ~site.keys.prefix
    on, prefix, asking = (t.to(images) for t in (keys, site.keys.prefix, ~site.queries.prefix))
    held = images * on[:, None, None]
    mass = held.sum(-1, keepdim=True)
    share = torch.where(mass != 0, held / torch.where(mass != 0, mass, 1.0), torch.nan)
    seen = (share.abs() > 1e-30).to(share)
    number = seen.sum(-1)
    tokens, pixels = (d.to(images)[:, None] for d in _distances(site, size))
    same = _same(site).to(images)[:, None]
    each = [
        (share * tokens).sum(-1),
        (share * pixels).sum(-1),
        (seen * tokens).sum(-1) / number,
        (seen * pixels).sum(-1) / number,
        -torch.special.xlogy(share, share).sum(-1),
        number.log(),
        (images * prefix[:, None, None]).sum(-1),
        (images * same).sum(-1),
    ]
    of = torch.where(asking.bool()[:, None, :, None], torch.stack(each, -1), 0.0)
    found = of.sum((1, 3)) / asking.sum()
    entropy, highest = found[..., 4], found[..., 5]
    found[..., 5] = torch.where(highest > 0, entropy / highest, torch.nan)
    return found


def _distances(site: Site, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """From queries to keys ``(windows, n, m)``: in cells of the queries' map, and in pixels."""
    queries, keys = site.queries, site.keys
    shape = (*queries.rows.shape, keys.rows.shape[1])
    if queries.grid is None or keys.grid is None:
        return torch.full(shape, torch.nan), torch.full(shape, torch.nan)
    gaps, cells = [], []
    for axis, (a, b) in enumerate(((queries.rows, keys.rows), (queries.columns, keys.columns))):
        side = size[axis]
        one = (a + 0.5) * side / queries.grid[axis]
        two = (b + 0.5) * side / keys.grid[axis]
        gaps.append((one[:, :, None] - two[:, None, :]).nan_to_num())  # weight 0, or not asked
        cells.append(gaps[-1] * queries.grid[axis] / side)
    return torch.hypot(*cells), torch.hypot(*gaps)


def _same(site: Site) -> Tensor:
    """Which key is the query itself, ``(windows, n, m)``; NaN if they are of different maps."""
    one, two = site.queries, site.keys
    if one.grid is None or one.grid != two.grid:
        return torch.full((*one.rows.shape, two.rows.shape[1]), torch.nan)
    index = one.index
    return ((index[:, :, None] == two.index[:, None, :]) & (index >= 0)[:, :, None]).double()
