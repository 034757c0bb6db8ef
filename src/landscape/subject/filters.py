"""Random directions: how a parameter divides into filters, what moves and what is held fixed."""

import re
from typing import Literal, NamedTuple, get_args

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from landscape.numerics.directions import gaussian, rescale
from landscape.subject.penalty import Params

Scheme = Literal["filter", "layer", "none", "paper"]

_LAYERS = (nn.Linear, nn.Bilinear, _ConvNd)
#: tables of positions in attentions: pos_embed, rel_pos_h, relative_position_bias_table, ...
_POSITION = re.compile(r"(^|[._])(pos|position|positional|rel|relative)(?=[._]|$)|bias")
_PAPER = re.compile(r"pos_embed|relative_position")


class Part(NamedTuple):
    """How a tensor divides into parts of which each gets its own norm.

    Attributes
    ----------
    shape
        In which to see it.
    over
        The dimensions of that shape which a part spans; None: no part is scaled.
    """

    shape: tuple[int, ...]
    over: tuple[int, ...] | None


def layout(
    model: nn.Module, scheme: str = "filter", ignore: str | None = None
) -> dict[str, Part | None]:
    """For each trainable parameter the parts that get the norm of the weights; None: held fixed.

    Tied parameters are one. Held fixed are biases and normalisation, all that is a vector or a
    number for each channel, class tokens, and tables of positions.

    Parameters
    ----------
    model
        Only its modules are read.
    scheme
        ``"filter"``: the parts are output filters (Li et al. 2018): the rows of linear layers,
        fused projections and embeddings, the filters of convolutions, grouped and transposed ones
        too. Invariant when a filter is scaled before a normalisation.
        ``"layer"``: the whole tensor. ``"none"``: entries stay N(0, 1), whatever the weights.
        ``"paper"``: the released code of Park & Kim (2022), which takes norms across the output
        channels, dimension 0, for each entry of the others. It fixes vectors and what is called
        ``pos_embed`` or ``relative_position``; a class token moves, each entry by its own size. (It
        also moves buffers of two or more dimensions; that is not repeated.)
    ignore
        Hold also those fixed whose names this regular expression finds.

    Examples
    --------
    >>> layout(nn.Linear(2, 3))
    {'weight': Part(shape=(3, 2), over=(1,)), 'bias': None}
    >>> layout(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False))
    {'weight': Part(shape=(2, 2, 3, 3, 3), over=(1, 3, 4))}
    """
    if scheme not in get_args(Scheme):
        raise ValueError(f"directions are {', '.join(get_args(Scheme))}, not {scheme!r}")
    try:
        spared = re.compile(ignore) if ignore else None
    except re.error as error:
        raise ValueError(f"ignore is no regular expression: '{ignore}': {error}") from error
    found: dict[str, Part | None] = {}
    hits = 0
    owners = _owners(model)
    for name, value in model.named_parameters():
        if not value.requires_grad:
            continue
        hit = bool(spared and spared.search(name))
        fixed = _fixed_by_paper if scheme == "paper" else _fixed
        held = hit or fixed(name, value, owners[id(value)])
        found[name] = None if held else _part(value, owners[id(value)], scheme)
        hits += hit
    if spared and not hits:
        first = next(iter(found), "")
        raise ValueError(f"ignore='{ignore}' matches no parameter; the first is '{first}'")
    if not any(found.values()):
        if hits:
            raise ValueError(f"ignore='{ignore}' leaves no parameter to move along")
        raise ValueError("no parameter has filters to move along: all are vectors or tables")
    return found


def draw(origin: Params, parts: dict[str, Part | None], *, seed: int = 0, index: int = 0) -> Params:
    """Gaussian direction, scaled part by part; zero where held fixed.

    A tensor's is drawn from (seed, index, name): nothing else that moves, no device and no order
    changes it. Planes have two each, 0 and 1 the first, which it shares with no other seed.

    Examples
    --------
    >>> net = nn.Linear(2, 3)
    >>> origin = {n: p.detach() for n, p in net.named_parameters()}
    >>> d = draw(origin, layout(net), seed=1)
    >>> bool((d["weight"].norm(dim=1) / origin["weight"].norm(dim=1) - 1).abs().max() < 1e-6)
    True
    """
    plane, which = divmod(index, 2)
    number = 2 * seed + which + 1009 * plane
    return {name: _drawn(name, value, parts[name], number) for name, value in origin.items()}


def _drawn(name: str, value: Tensor, part: Part | None, number: int) -> Tensor:
    if part is None:
        return value.new_zeros(value.shape)
    noise = gaussian(name, value, number)
    if part.over is None:
        return noise
    scaled = rescale(noise.reshape(part.shape), value.reshape(part.shape), part.over)
    return scaled.reshape(value.shape)


def _owners(model: nn.Module) -> dict[int, nn.Module]:
    """Module of each parameter, the first one of a tied parameter."""
    owners: dict[int, nn.Module] = {}
    for module in model.modules():
        for value in module.parameters(recurse=False):
            owners.setdefault(id(value), module)
    return owners


def _fixed(name: str, value: Tensor, owner: nn.Module) -> bool:
    """Vectors, also those with dimensions of size 1; class tokens; tables of positions."""
    if value.ndim < 2:
        return True
    if isinstance(owner, _LAYERS):
        return False
    flat = sum(size > 1 for size in value.shape) < 2
    return flat or value.shape[0] == 1 or bool(_POSITION.search(name))


def _fixed_by_paper(name: str, value: Tensor, owner: nn.Module) -> bool:
    return value.ndim < 2 or bool(_PAPER.search(name))


def _part(value: Tensor, owner: nn.Module, scheme: str) -> Part:
    shape = tuple(value.shape)
    if scheme == "none":
        return Part(shape, None)
    if scheme == "layer":
        return Part(shape, tuple(range(value.ndim)))
    if scheme == "paper":
        return Part(shape, (0,))
    if not isinstance(owner, _ConvTransposeNd):
        return Part(shape, tuple(range(1, value.ndim)))
    ahead, each, *kernel = shape  # (in, out / groups, ...), inputs of a group beside each other
    if owner.groups == 1:
        return Part(shape, (0, *range(2, value.ndim)))
    seen = (owner.groups, ahead // owner.groups, each, *kernel)
    return Part(seen, (1, *range(3, len(seen))))
