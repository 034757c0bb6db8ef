"""The same function with other weights: what a measure of flatness should not see.

Filters before a batch normalisation are scaled, and its statistics with them; queries are scaled
and keys by the inverse.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from landscape.subject.folding import pairs
from landscape.subject.forward import Statistics, normalise

_QUERY_KEY = (("q", "k"), ("q_proj", "k_proj"), ("query", "key"), ("to_q", "to_k"), ("wq", "wk"))
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)
Change = list[tuple[Tensor, Tensor]]  # what to write, where


@torch.no_grad()
def rescaled(
    model: nn.Module, inputs: Tensor, factor: float, by: Statistics = "eval"
) -> tuple[nn.Module, int, float]:
    """Copy whose filters, queries and keys have other lengths, and whose outputs are the same.

    Each layer is tried by itself: what changes an output by more than rounding is undone, be it
    that a weight is tied or that queries are not where they are looked for. Outputs are normalised
    ``by`` the running statistics, or those of the inputs, beside which eps is not scaled: they may
    change by a thousandth.

    Returns
    -------
    tuple
        The copy, how many layers of it are rescaled, and the largest change of an output, relative
        to the largest output.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> twin, layers, change = rescaled(net, torch.ones(1, 1, 2, 2), 4.0)
    >>> layers, bool((twin[0].weight == 4 * net[0].weight).all()), change < 1e-6
    (1, True, True)
    """
    twin = copy.deepcopy(model)

    def outputs() -> Tensor:
        with normalise(twin, by):
            return twin(inputs)

    before, layers, change = outputs(), 0, 0.0
    limit = torch.finfo(before.dtype).eps ** 0.5 if by == "eval" else 1e-3
    for each in _changes(twin, inputs, factor):
        old = [(held, held.clone()) for held, _ in each]
        for held, new in each:
            held.copy_(new)
        now = _relative(outputs(), before)
        if now <= limit:
            layers, change = layers + 1, now
            continue
        for held, was in old:
            held.copy_(was)
    return twin, layers, change


def _changes(model: nn.Module, inputs: Tensor, factor: float) -> Iterator[Change]:
    for conv, norm in pairs(model, inputs):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        wider = factor**2 * (norm.running_var + norm.eps) - norm.eps  # eps is not scaled
        if (wider <= 0).any():
            continue
        own = [conv.weight] if conv.bias is None else [conv.weight, conv.bias]
        scaled = [(held, factor * held) for held in (*own, norm.running_mean)]
        yield [*scaled, (norm.running_var, wider)]
    for module in model.modules():
        for queries, keys in _attention(module):
            yield [(q, factor * q) for q in queries] + [(k, k / factor) for k in keys]


def _attention(module: nn.Module) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Weights and biases that make queries, and those that make keys: rows of one layer, or two."""
    fused = getattr(module, "qkv", None)
    if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
        yield _thirds([module.in_proj_weight, module.in_proj_bias])
    elif isinstance(fused, _LAYERS) and len(fused.weight) % 3 == 0:
        yield _thirds([fused.weight, fused.bias])
    for names in _QUERY_KEY:
        both = [getattr(module, name, None) for name in names]
        layers = [layer for layer in both if isinstance(layer, _LAYERS)]
        if len(layers) == 2:
            queries, keys = ([p for p in (x.weight, x.bias) if p is not None] for x in layers)
            yield queries, keys


def _thirds(weights: list[Tensor | None]) -> tuple[list[Tensor], list[Tensor]]:
    parts = [w.chunk(3) for w in weights if w is not None]
    return [part[0] for part in parts], [part[1] for part in parts]


def _relative(outputs: Tensor, before: Tensor) -> float:
    return float((outputs - before).abs().max() / before.abs().max().clamp_min(1e-30))
