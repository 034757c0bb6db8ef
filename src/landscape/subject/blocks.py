"""Groups of parameters, for spectra block by block: by place in the network or by kind of layer."""

import re
from typing import Literal, cast

from torch import nn
from torch.nn.modules.conv import _ConvNd

from landscape.subject.forward import trainable

Kind = Literal["stem", "conv", "msa", "mlp", "norm", "head", "other"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
#: the projections of an attention, words between underscores: qkv, to_qkv, q_proj, in_proj_weight
_PROJECTION = re.compile(r"(^|_)(qkvs?|qk|kv|q|wq|query|in_proj)(_|$)")
_EMBEDDING = re.compile(r"embed|token|position|pos_", re.IGNORECASE)
_MLP = re.compile(r"mlp|ffn|feed_?forward", re.IGNORECASE)


def blocks(
    model: nn.Module,
    by: Literal["module", "kind"] = "module",
    depth: int | None = None,
) -> dict[str, tuple[str, ...]]:
    """Group the names of all trainable parameters; each is in one group.

    Parameters
    ----------
    model
        Any network; only its module tree is read.
    by
        ``"module"``: by place, in the order of the network. ``"kind"``: by what the layer does.
        ``norm`` are all normalisations, ``msa`` all else in attentions, ``stem`` the first
        layer, class tokens and position tables, ``head`` the last layer; of the rest ``conv``
        the convolutions and ``mlp`` the linear layers, and the convolutions of what is called
        an MLP; ``other`` what is none of these, such as layer scales.
    depth
        With ``by="module"``, how many parts of the dotted name tell groups apart; by default
        down to the blocks: containers that hold modules with modules of their own are opened.

    Returns
    -------
    dict
        Group to parameter names, as ``names`` of an `Objective` takes them.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    >>> list(blocks(net))
    ['0', '1', '3']
    >>> blocks(net, by="kind")["norm"]
    ('1.weight', '1.bias')
    """
    if by not in ("module", "kind"):
        raise ValueError(f"by is one of module, kind, not {by!r}")
    if depth is not None and (depth < 1 or by == "kind"):
        raise ValueError(
            f"depth counts parts of module names from 1, with by='module', not {depth}"
        )
    kinds = _kinds(model) if by == "kind" else {}
    groups: dict[str, list[str]] = {}
    for name in trainable(model):
        place = kinds[name] if by == "kind" else _place(model, name, depth)
        groups.setdefault(place, []).append(name)
    return {place: tuple(names) for place, names in groups.items()}


def _place(model: nn.Module, name: str, depth: int | None) -> str:
    """Name of the module that stands for the parameter; a parameter of the root is its own."""
    parts = name.split(".")[:-1]
    if depth is not None or not parts:
        return ".".join(parts[:depth]) or name
    module, found = model, list[str]()
    for part in parts:
        if found and not _opens(module):
            break
        module = module.get_submodule(part)
        found.append(part)
    return ".".join(found)


def _opens(module: nn.Module) -> bool:
    """Whether it is a container of blocks: of modules that have modules themselves."""
    return isinstance(module, _CONTAINERS) and any(
        True for child in module.children() for _ in child.children()
    )


def _kinds(model: nn.Module) -> dict[str, Kind]:
    modules = dict(model.named_modules())
    attending = [name for name, module in modules.items() if name and _attends(module)]
    kinds: dict[str, Kind] = {}
    layers: dict[str, list[str]] = {}  # parameters of each convolution or linear layer, in order
    for name in trainable(model):
        owner, _, own = name.rpartition(".")
        module = modules[owner]
        layer = isinstance(module, _ConvNd | nn.Linear)
        if "norm" in type(module).__name__.lower():
            kinds[name] = "norm"
        elif any(owner == a or owner.startswith(f"{a}.") for a in attending):
            kinds[name] = "msa"
        elif isinstance(module, nn.Embedding) or (not layer and _EMBEDDING.search(own)):
            kinds[name] = "stem"
        elif not layer:
            kinds[name] = "other"
        else:
            layers.setdefault(owner, []).append(name)
            conv = isinstance(module, _ConvNd) and not _MLP.search(owner)
            kinds[name] = "conv" if conv else "mlp"
    if len(layers) > 1:
        first, *_, last = layers.values()
        for names, kind in ((first, "stem"), (last, "head")):
            kinds.update(dict.fromkeys(names, cast(Kind, kind)))
    return kinds


def _attends(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    own = [name for name, _ in module.named_children()]
    own += [name for name, _ in module.named_parameters(recurse=False)]
    return any(_PROJECTION.search(name) for name in own)
