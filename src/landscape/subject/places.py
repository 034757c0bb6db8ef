"""Which place of which image every element of a tensor stands for, followed through operations.

A shape cannot tell channels from tokens, windows from images, or a class token from a patch. So
beside each value go its places: three tensors of its shape with the number of the image and the row
and column in it. An operation that only moves elements is run on the places as well; one that mixes
elements gives the mean of their places; what comes from no place, as a class token, is NaN.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Places = tuple[Tensor, Tensor, Tensor]  # image from 1, row and column from 1 to 2
Known = Callable[[Any], Places | None]


def words(text: str) -> frozenset[str]:
    """Names of operations, apart by spaces."""
    return frozenset(text.split())


_MOVES = words(
    "view reshape flatten unflatten _unsafe_view view_as reshape_as transpose permute swapaxes "
    "swapdims movedim moveaxis t __get__ expand expand_as repeat tile repeat_interleave roll flip "
    "rot90 chunk split split_with_sizes tensor_split unbind __getitem__ narrow select index_select "
    "gather take_along_dim squeeze unsqueeze cat concat concatenate stack hstack vstack "
    "pixel_shuffle pixel_unshuffle channel_shuffle unfold fold diagonal"
)
_MEANS = {"mean", "sum", "amax", "amin", "nanmean"}
_RESAMPLES = {"conv2d", "conv_transpose2d", "interpolate", "upsample"}
_NOT_NUMBERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.bool)


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors inside tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))


def of_images(images: Tensor) -> Places:
    """Places of the pixels of images ``(b, c, h, w)``."""
    b, _, h, w = images.shape
    axes = (b, 1, 1, 1), (1, 1, h, 1), (1, 1, 1, w)
    marks = torch.arange(b) + 1.0, 1 + (torch.arange(h) + 0.5) / h, 1 + (torch.arange(w) + 0.5) / w
    found = [
        m.to(images.device).view(a).expand(images.shape) for m, a in zip(marks, axes, strict=True)
    ]
    return found[0], found[1], found[2]


def follow(op: str, func: Any, args: Any, kwargs: Any, out: Any, known: Known) -> list[Any]:
    """Places of every tensor in the outcome of an operation; None where they are not known."""
    made = list(tensors(out))
    try:
        found = _rule(op)(func, args, kwargs, made, known)
    except (RuntimeError, TypeError, ValueError, IndexError):  # a form of the call not foreseen
        found = []
    found = [*found, *[None] * len(made)][: len(made)]
    return [p if p and p[0].shape == m.shape else None for p, m in zip(found, made, strict=True)]


def _rule(op: str) -> Callable[..., list[Any]]:
    if op in _MOVES:
        return _moved
    if op in _MEANS:
        return _averaged
    if op in _RESAMPLES or "pool2d" in op:
        return _resampled
    rules = {"pad": _padded, "linear": _mixed, "conv1d": _mixed, "einsum": _einsum}
    rules |= dict.fromkeys(("matmul", "__matmul__", "bmm", "mm", "__rmatmul__"), _product)
    rules["scaled_dot_product_attention"] = _attended
    return rules.get(op, _alike)


def _alike(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """Element by element: the places of an operand of that shape, or of one that is spread."""
    given = [p for p in map(known, tensors((args, kwargs))) if p]
    found: list[Any] = []
    for value in made:
        same = [p for p in given if p[0].shape == value.shape]
        wide = [p for p in given if p[0].ndim <= value.ndim]
        pick = same[0] if same else wide[0] if wide else None
        found.append(pick and _spread(pick, value.shape))
    return found


def _spread(places: Places, shape: Any) -> Places:
    image, row, column = (p.expand(shape) for p in places)
    return image, row, column


def _moved(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """Run the same movement on the places; what has none becomes NaN."""

    def swap(value: Any, axis: int) -> Any:
        if isinstance(value, Tensor):
            places = known(value)
            if places:
                return places[axis]
            return value if value.dtype in _NOT_NUMBERS else torch.full_like(value, torch.nan)
        if isinstance(value, tuple | list):
            return type(value)(swap(v, axis) for v in value)
        return value

    name = getattr(func, "__name__", "")
    if name in ("view", "_unsafe_view"):  # the places may lie otherwise in memory
        func = Tensor.reshape
    elif name == "view_as":
        func = Tensor.reshape_as

    def run(axis: int) -> list[Tensor]:
        here = swap(tuple(args), axis)
        out = func(*here, **{k: swap(v, axis) for k, v in kwargs.items()})
        if name == "fold":  # it adds up what overlaps
            ones = (torch.ones_like(here[0]), *here[1:])
            out = out / func(*ones, **kwargs)
        if name in ("fold", "unfold"):  # padded with zeros, which are no place
            out = torch.where(out == 0, torch.nan, out)
        return list(tensors(out))

    return list(zip(run(0), run(1), run(2), strict=True))


def _averaged(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    source, *rest = args
    places = known(source)
    return [places and tuple(torch.nanmean(p, *rest, **kwargs) for p in places)]


def _mean(places: Places, dim: int) -> Places:
    """Mean along a dimension, kept; without the work where it is a mere view of one element."""
    image, row, column = (
        p.narrow(dim, 0, 1) if p.stride(dim) == 0 else p.nanmean(dim, keepdim=True) for p in places
    )
    return image, row, column


def _mixed(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """Channels are mixed: the last for ``linear``, the second for convolutions."""
    source = args[0] if args else kwargs["input"]
    places = known(source)
    dim = 1 if getattr(func, "__name__", "") == "conv1d" else -1
    return [places and _spread(_mean(places, dim), made[0].shape)]


def _resampled(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """A map on another grid over the same part of the image."""
    source = args[0] if args else kwargs["input"]
    places = known(source)
    if places is None or source.ndim != 4 or made[0].ndim != 4:
        return []
    size = made[0].shape[2:]
    channels = tuple(_mean(places, 1))
    if source.shape[2:] != size:
        at = [
            ((torch.arange(n, device=source.device) + 0.5) * m / n - 0.5).view(shape)
            for m, n, shape in zip(source.shape[2:], size, ((-1, 1), (1, -1)), strict=True)
        ]
        channels = tuple(_straight(p, *at) for p in channels)
    return [tuple(p.expand(value.shape) for p in channels) for value in made]


def _straight(place: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Places on another grid, if they run straight over the map as in an image."""
    corner = place[..., :1, :1]
    down = place[..., 1:2, :1] - corner if place.shape[-2] > 1 else torch.zeros_like(corner)
    right = place[..., :1, 1:2] - corner if place.shape[-1] > 1 else torch.zeros_like(corner)
    own = [torch.arange(n, device=place.device) for n in place.shape[-2:]]
    same = corner + down * own[0].view(-1, 1) + right * own[1]
    if not torch.allclose(same, place, atol=1e-4):
        return place.new_full((*place.shape[:-2], len(rows), columns.numel()), torch.nan)
    return corner + down * rows + right * columns


def _padded(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """Rows and columns are continued over the edge."""
    names = dict(zip(("input", "pad"), args, strict=False)) | kwargs
    places = known(names["input"])
    return [places and tuple(_continued(p, list(names["pad"])) for p in places)]


def _continued(place: Tensor, pad: list[int]) -> Tensor:
    out = nn.functional.pad(place, pad, value=0.0)
    for k in range(len(pad) // 2):
        dim = place.ndim - 1 - k
        before, after = max(pad[2 * k], 0), max(pad[2 * k + 1], 0)
        n = out.shape[dim]
        if not before + after or n - before - after < 2:
            continue
        inside = out.narrow(dim, before, n - before - after)
        first, last = inside.narrow(dim, 0, 1), inside.narrow(dim, -1, 1)
        step = inside.narrow(dim, 1, 1) - first
        shape = [-1 if d == dim else 1 for d in range(out.ndim)]
        front = torch.arange(-before, 0, device=out.device).view(shape)
        back = torch.arange(1, after + 1, device=out.device).view(shape)
        out = torch.cat([first + step * front, inside, last + step * back], dim)
    return out


def somewhere(places: Places | None) -> bool:
    """Whether a tensor stands for any place of the images; what is not known counts."""
    return places is None or not bool(places[1].isnan().all())


def varies(places: Places, dim: int) -> bool:
    """Whether places differ along a dimension; NaN is one place."""
    ends = [p.narrow(dim, 0, 1) for p in places[1:]]
    return any(
        bool(((p != e) & ~(p.isnan() & e.isnan())).any())
        for p, e in zip(places[1:], ends, strict=True)
    )


def _product(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """Of rows by columns: the rows' places if they differ from row to row, or else the columns'."""
    a, b = args[:2]
    if getattr(func, "__name__", "") == "__rmatmul__":
        a, b = b, a
    return [_rows_or_columns(known(a), known(b), made[0].shape)]


def _attended(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    names = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
    return [_rows_or_columns(known(names["query"]), known(names["value"]), made[0].shape)]


def _rows_or_columns(a: Places | None, b: Places | None, shape: Any) -> Places | None:
    if a is None or b is None:
        return _spread(_mean(a, -1), shape) if a else b and _spread(_mean(b, -2), shape)
    rows, columns = _mean(a, -1), _mean(b, -2)
    # a class token that attends stays one
    pick = rows if not somewhere(rows) or varies(rows, -2) or not varies(columns, -1) else columns
    return _spread(pick, shape)


def _einsum(func: Any, args: Any, kwargs: Any, made: list[Tensor], known: Known) -> list[Any]:
    """As a product: the first operand whose places differ along what is kept of it."""
    inputs, kept = args[0].replace(" ", "").split("->")
    operands = list(tensors(args[1:]))
    spread = None
    for letters, operand in zip(inputs.split(","), operands, strict=True):
        places = known(operand)
        if places is None or "." in letters:
            continue
        for dim, letter in enumerate(letters):
            if letter not in kept:
                places = _mean(places, dim)
        order = [letters.index(c) for c in kept if c in letters]
        rest = [d for d in range(len(letters)) if d not in order]
        moved = [p.permute(*order, *rest).flatten(len(order))[..., 0] for p in places]
        for at, c in enumerate(kept):
            if c not in letters:
                moved = [p.unsqueeze(at) for p in moved]
        found: Places = (moved[0], moved[1], moved[2])
        if spread is None or not any(varies(spread, d) for d in range(len(kept))):
            spread = found
    return [spread and _spread(spread, made[0].shape)]
