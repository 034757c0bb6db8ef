"""One attention of a network: the layout of its weights, and which tokens look at which."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.subject.places import Places


@dataclass(frozen=True)
class Tokens:
    """Places of the queries, or of the keys, of every window of an image.

    Attributes
    ----------
    rows, columns
        ``(windows, n)`` on the grid, 0 to h - 1 and w - 1; NaN for a class token or another that
        stands for no place; below 0 or above the last for padding around the map.
    grid
        ``(h, w)`` of the map that the tokens are of; None if they are of no map.
    """

    rows: Tensor
    columns: Tensor
    grid: tuple[int, int] | None

    @property
    def prefix(self) -> Tensor:
        """Which tokens stand for no place, ``(windows, n)``."""
        return self.rows.isnan()

    @property
    def index(self) -> Tensor:
        """Number of each token's place, row by row, ``(windows, n)``; -1 off the map."""
        if self.grid is None:
            return torch.full(self.rows.shape, -1)
        h, w = self.grid
        on = (self.rows >= 0) & (self.rows < h) & (self.columns >= 0) & (self.columns < w)
        number = self.rows.nan_to_num() * w + self.columns.nan_to_num()
        return torch.where(on, number.round(), -1).long()


@dataclass(frozen=True)
class Site:
    """One attention: where it happens, and of which tokens to which.

    Attributes
    ----------
    name, module
        Of the module that attends; a module that does so twice has ``name`` ``module[1]`` for the
        second.
    node
        Number of the outcome in the trace of the network.
    heads, windows
        Numbers of them; one window is global attention.
    queries, keys
        Their places, the same for every head.
    """

    name: str
    module: str
    node: int
    heads: int
    queries: Tokens
    keys: Tokens
    number: int = field(repr=False)  # of the candidate in a forward pass
    form: str = field(repr=False)  # "fused", "product" or the equation of an einsum
    outer: int = field(repr=False)  # how the leading dimensions of the weights are laid out
    order: Tensor = field(repr=False)

    @property
    def windows(self) -> int:
        """How many windows an image has."""
        return len(self.queries.rows)

    def gather(self, weights: Tensor) -> Tensor:
        """Weights ``(..., n, m)`` as the operation has them, to ``(b * windows, heads, n, m)``."""
        n, m = weights.shape[-2:]
        if (n, m) != (self.queries.rows.shape[1], self.keys.rows.shape[1]):
            raise ValueError(
                f"the attention of '{self.name}' is {n}x{m}, and was "
                f"{self.queries.rows.shape[1]}x{self.keys.rows.shape[1]} when it was traced: all "
                "images must have one size"
            )
        inner = len(self.order) // self.outer
        flat = weights.reshape(self.outer, -1, inner, n, m).movedim(1, 0)
        flat = flat.reshape(-1, len(self.order), n, m)[:, self.order.to(weights.device)]
        return flat.reshape(-1, self.heads, n, m)

    def scatter(self, weights: Tensor, like: Tensor) -> Tensor:
        """The way back, to the shape of ``like``."""
        n, m = weights.shape[-2:]
        flat = weights.reshape(-1, len(self.order), n, m)
        flat = flat[:, self.order.argsort().to(weights.device)]
        flat = flat.reshape(len(flat), self.outer, -1, n, m).movedim(0, 1)
        return flat.reshape(like.shape)


def arranged(queries: Places, keys: Places) -> tuple[int, int, Tensor, Tensor] | None:
    """Tell images, windows and heads apart in the leading dimensions ``(..., n)``.

    Numbers of heads and of leading entries before the image; the order that puts the entries of an
    image window by window; one entry for each window of the first image.
    """
    lead = torch.broadcast_shapes(queries[0].shape[:-1], keys[0].shape[:-1])
    told = [p.expand(*lead, p.shape[-1]).reshape(-1, p.shape[-1]) for p in (*queries, *keys)]
    image = torch.cat([told[0], told[3]], 1)
    number = image.nanmean(1)
    if bool(((image != number[:, None]) & ~image.isnan()).any()) or len(number) % 2:
        return None  # attention from image to image
    other = (number != number[0]).nonzero().flatten()
    if not len(other) or number[0] != 1:
        return None
    inner = int(other[0])
    if len(number) % (2 * inner):
        return None
    outer = len(number) // (2 * inner)
    if not torch.equal(number, 1 + torch.arange(len(number)).div(inner, rounding_mode="floor") % 2):
        return None
    marks = torch.cat([told[1], told[2], told[4], told[5]], 1).nan_to_num(-9.0)
    marks = marks.view(outer, 2, inner, -1)[:, 0].reshape(outer * inner, -1)
    _, group = marks.unique(dim=0, return_inverse=True)
    first: dict[int, int] = {}
    for at, g in enumerate(group.tolist()):
        first.setdefault(g, at)
    rank = torch.tensor([list(first).index(g) for g in group.tolist()])
    heads, rest = divmod(len(rank), len(first))
    if rest or bool((rank.bincount() != heads).any()):
        return None
    entries = torch.tensor(list(first.values()))
    where = entries.div(inner, rounding_mode="floor") * 2 * inner + entries % inner
    chosen = torch.zeros(len(number), dtype=torch.bool)
    chosen[where] = True
    return heads, outer, rank.argsort(stable=True), chosen.view(lead)


def tokens_at(rows: Tensor, columns: Tensor) -> Tokens:
    """Places between 1 and 2, at equal distances, to places on a grid."""
    found, grid = [], []
    for level in (rows.double(), columns.double()):
        inside = (level[(level > 1) & (level < 2)] * 2e4).round().unique() / 2e4
        size = len(inside)
        step = float(inside[-1] - inside[0]) / (size - 1) if size > 1 else 1.0
        index = (level - (inside[0] if size else 0.0)) / step
        off = (index - index.round()).abs().nan_to_num()
        grid.append(size if not bool((off > 0.2).any()) else 0)
        found.append(index.round())
    h, w = grid
    return Tokens(found[0], found[1], (h, w) if h * w else None)
