"""Batch normalisation by fixed statistics, as part of the convolution before it.

It is a scale and a shift then. For many forward passes at many weights; the same values to
rounding, a third faster on a CPU.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]
_INSPECTION = ("__get__", "size", "dim", "numel", "is_floating_point", "shape")


class _Uses(TorchFunctionMode):
    """Count the functions that take each tensor, and keep the tensors, so that none is reborn."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[int] = Counter()
        self.kept: list[Tensor] = []

    def __torch_function__(
        self, func: Callable, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") not in _INSPECTION:
            taken = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
            self.kept += taken
            self.count.update({id(x) for x in taken})
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def pairs(model: nn.Module, inputs: Tensor) -> list[Pair]:
    """Find the convolutions whose output goes to one batch normalisation and nowhere else.

    Each of the two runs once in a pass, and is of exactly these types, without hooks.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU()).eval()
    >>> [(type(a).__name__, type(b).__name__) for a, b in pairs(net, torch.ones(1, 1, 2, 2))]
    [('Conv2d', 'BatchNorm2d')]
    """
    plain = [m for m in model.modules() if type(m) in (nn.Conv2d, nn.BatchNorm2d) and not _heard(m)]
    runs: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {m: [] for m in plain}
    handles = [
        m.register_forward_hook(lambda m, args, out: runs[m].append((args[0], out))) for m in plain
    ]
    try:
        with _Uses() as uses:
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    once = {m: found[0] for m, found in runs.items() if len(found) == 1}
    made = {id(out): m for m, (_, out) in once.items() if isinstance(m, nn.Conv2d)}
    return [
        (made[id(taken)], norm)
        for norm, (taken, _) in once.items()
        if isinstance(norm, nn.BatchNorm2d)
        and id(taken) in made
        and uses.count[id(taken)] == 1
        and not norm.training
        and norm.running_var is not None
        and made[id(taken)].padding_mode == "zeros"
    ]


def _heard(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


@contextmanager
def folded(found: Sequence[Pair]) -> Iterator[None]:
    """Run with the normalisations folded, as weights and statistics are now; then undo it.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).eval()
    >>> x, norm = torch.ones(1, 1, 1, 1), net[1]
    >>> _ = norm.running_var.fill_(4.0), norm.bias.data.fill_(7.0)
    >>> before = net(x)
    >>> with folded(pairs(net, x)):
    ...     inside = net(x)
    >>> bool((inside - before).abs() < 1e-5)
    True
    """
    held = [(conv, dict(conv._parameters)) for conv, _ in found]
    try:
        for conv, norm in found:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = (norm.running_var + norm.eps).rsqrt()
            if norm.weight is not None:
                scale = scale * norm.weight
            shift = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
            bias = shift * scale if norm.bias is None else shift * scale + norm.bias
            conv._parameters["weight"] = conv.weight * scale[:, None, None, None]  # type: ignore
            conv._parameters["bias"] = bias  # type: ignore[assignment]
            norm.forward = _as_it_is  # type: ignore[method-assign, assignment]
        yield
    finally:
        for (conv, parameters), (_, norm) in zip(held, found, strict=True):
            conv._parameters.update(parameters)
            vars(norm).pop("forward", None)


def _as_it_is(inputs: Tensor) -> Tensor:
    return inputs
