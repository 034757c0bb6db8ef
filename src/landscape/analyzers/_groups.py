"""Blocks of parameters for an analyzer: which there are, and where they stand in the network."""

import re

from torch import Tensor, nn

from landscape.subject.blocks import blocks
from landscape.subject.forward import trainable
from landscape.subject.trace import trace

Groups = dict[str, tuple[str, ...]]

_REST = "other"


def groups(model: nn.Module, by: str) -> Groups:
    """Group the trainable parameters by kind, by module, or by what a regular expression captures.

    Raises
    ------
    ValueError
        If ``by`` is no choice and no regular expression with one group that captures something.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(4, 2))
    >>> groups(net, "module")
    {'0': ('0.weight', '0.bias'), '2': ('2.weight', '2.bias')}
    >>> groups(net, "(bias)")
    {'other': ('0.weight', '2.weight'), 'bias': ('0.bias', '2.bias')}
    """
    if by == "module":
        return blocks(model)
    if by == "kind":
        return _depthwise_apart(model, blocks(model, by="kind"))
    choices = f"by is kind, module or a regular expression with one group, (attn|mlp); got '{by}'"
    try:
        pattern = re.compile(by)
    except re.error as error:
        raise ValueError(f"{choices}: {error}") from error
    if pattern.groups != 1:
        raise ValueError(f"{choices}, which has {pattern.groups}")
    found: dict[str, list[str]] = {}
    for name in trainable(model):
        match = pattern.search(name)
        found.setdefault((match and match[1]) or _REST, []).append(name)
    if list(found) == [_REST]:
        names = found[_REST]
        raise ValueError(
            f"no trainable parameter matches '{by}'; the names run from {names[0]} to {names[-1]}"
        )
    return {block: tuple(names) for block, names in found.items()}


def depths(model: nn.Module, inputs: Tensor, found: Groups) -> dict[str, float]:
    """Where each block stands, from 0 to 1: the mean rank of its layers in the forward pass."""
    started = trace(model, inputs[:2]).started
    place: dict[str, int] = {}
    for name in trainable(model):
        owner = name.rpartition(".")[0]
        while owner and owner not in started:  # its parent used it, without a call
            owner = owner.rpartition(".")[0]
        place[name] = started.get(owner, 0)
    order = {start: rank for rank, start in enumerate(sorted(set(place.values())))}
    last = max(len(order) - 1, 1)
    where = {block: {order[place[n]] for n in names} for block, names in found.items()}
    return {block: sum(ranks) / len(ranks) / last for block, ranks in where.items()}


def _depthwise_apart(model: nn.Module, kinds: Groups) -> Groups:
    """Part the depthwise convolutions from the others."""

    def depthwise(name: str) -> bool:
        layer = model.get_submodule(name.rpartition(".")[0])
        weight = getattr(layer, "weight", None)
        single = isinstance(weight, Tensor) and weight.shape[1] == 1
        return single and int(getattr(layer, "groups", 1)) > 1

    convs = kinds.get("conv", ())
    parts = {
        "conv": tuple(n for n in convs if not depthwise(n)),
        "dwconv": tuple(n for n in convs if depthwise(n)),
    }
    return {kind: names for kind, names in (kinds | parts).items() if names}
