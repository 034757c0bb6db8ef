"""Push tangents through the operations of a network: Jacobian-vector products in forward mode.

A tangent is put on a tensor of the residual stream and read at the skip and at the sum, so that one
pass tells the Jacobian of the branch, of branch and skip, and of the block, whichever modules read
that tensor. Where one operation ends the tangent is taken off and the next one is put on: one
forward pass probes every operation of a chain.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from landscape.subject.places import tensors
from landscape.subject.probe import Tap
from landscape.subject.sites import opened
from landscape.subject.steps import Place, Step
from landscape.subject.trace import stepwise

#: tangent maps ``(b, c, h, w)`` of that shape for the steps that begin at a node
Draw = Callable[[int, tuple[int, ...]], Tensor]
#: told the step, the tangent that was put on, and what came along the skip (or None) and at the end
Fold = Callable[[Step, Tensor, Tensor | None, Tensor], None]


def passes(steps: Sequence[Step]) -> list[list[Step]]:
    """Put steps into as few forward passes as they can share.

    Those with the same source share a tangent; others must not overlap.
    """
    groups: dict[int, list[Step]] = {}
    for step in steps:
        groups.setdefault(step.source.node, []).append(step)
    out: list[list[Step]] = []
    reach: list[int] = []
    for node in sorted(groups):
        last = max(step.end.node for step in groups[node])
        free = [i for i, end in enumerate(reach) if end <= node]
        if free:
            out[free[0]] += groups[node]
            reach[free[0]] = last
        else:
            out.append(list(groups[node]))
            reach.append(last)
    return out


@torch.no_grad()
def push(model: nn.Module, inputs: Tensor, steps: Sequence[Step], draw: Draw, fold: Fold) -> None:
    """Run the network once with a tangent for every step of a pass.

    Parameters
    ----------
    model
        In eval mode. Attention runs on the kernel that is differentiable in forward mode.
    inputs
        Of the network, on its device.
    steps
        Of one of `passes`.
    draw
        ``draw(node, shape)`` gives the tangent at a source; class tokens have none.
    fold
        ``fold(step, tangent, skip, end)`` gets maps ``(b, c, h, w)``. ``skip`` is None where there
        is none; the branch is ``end - skip``.

    Raises
    ------
    RuntimeError
        If the network takes another way than when it was traced, or an operation has no derivative
        in forward mode.

    Examples
    --------
    >>> from landscape.subject.steps import steps
    >>> net, seen = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False)), []
    >>> _ = nn.init.constant_(net[0].weight, 2.0)
    >>> x = torch.zeros(2, 1, 4, 4)
    >>> push(net, x, steps(net, x), lambda _, s: torch.ones(s), lambda *f: seen.append(f[-1]))
    >>> seen[0][0, 0]
    tensor([[18., 18.],
            [18., 18.]])
    """
    mode = _Duals(steps, draw, fold)
    with (
        warnings.catch_warnings(),
        stepwise(),
        sdpa_kernel(SDPBackend.MATH),
        forward_ad.dual_level(),
        _finished(mode),
    ):
        # torch's own derivatives are written in what it has deprecated
        warnings.filterwarnings("ignore", r".*torch\.jit\.script.*", FutureWarning)
        warnings.filterwarnings("ignore", r".*torch\.jit\.script.*", DeprecationWarning)
        inputs = mode.begin(inputs)
        with mode:
            model(inputs)


@contextmanager
def _finished(mode: "_Duals") -> Iterator[None]:
    try:
        yield
        mode.complete()
    finally:
        mode.forget()


class _Duals(TorchFunctionMode):
    """Puts tangents on and takes them off; lets none through that is not of the step at hand."""

    def __init__(self, steps: Sequence[Step], draw: Draw, fold: Fold) -> None:
        super().__init__()
        self.draw, self.fold, self.count = draw, fold, 0
        self.waiting = set(steps)
        self.groups: dict[int, list[Step]] = {}
        self.watch: dict[int, dict[int, Place]] = {}  # by call and item
        for step in steps:
            self.groups.setdefault(step.source.node, []).append(step)
            for place in (step.source, step.skip, step.end):
                if place:
                    self.watch.setdefault(place.call, {})[place.item] = place
        self.live: dict[int, Tensor] = {}
        self.group: list[Step] = []
        self.tangent: Tensor | None = None
        self.skips: dict[Step, Tensor] = {}

    def begin(self, inputs: Tensor) -> Tensor:
        """The input, with its tangent if a step begins there."""
        for place in self.watch.get(-1, {}).values():
            inputs = self._start(place, inputs)
        return inputs

    def complete(self) -> None:
        if self.waiting:
            step = min(self.waiting, key=lambda s: s.end.node)
            raise RuntimeError(f"the forward pass did not come to the end of '{step.name}'")

    def forget(self) -> None:
        self.live.clear()
        self.skips.clear()
        self.tangent = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.multi_head_attention_forward:
            with self:
                return opened(func)(*args, **(kwargs or {}))
        number = self.count
        self.count += 1
        out = func(*self._own(args), **self._own(kwargs or {}))
        if self.group:
            self.live.update({id(t): t for t in tensors(out) if _tangent(t) is not None})
        for item, place in sorted(self.watch.get(number, {}).items()):
            op = getattr(func, "__name__", str(func))
            if op != place.op:
                raise RuntimeError(
                    f"the network ran '{op}' where it ran '{place.op}' when it was traced: it "
                    "takes another way for other images"
                )
            out = _put(out, item, self._at(place, list(tensors(out))[item]))
        return out

    def _own(self, value: Any) -> Any:
        """Without tangents of another step, which came around its end."""
        if isinstance(value, Tensor):
            if id(value) in self.live or _tangent(value) is None:
                return value
            return forward_ad.unpack_dual(value).primal
        if type(value) in (tuple, list):
            return type(value)(self._own(v) for v in value)
        if type(value) is dict:
            return {k: self._own(v) for k, v in value.items()}
        return value

    def _at(self, place: Place, value: Tensor) -> Tensor:
        """Read what ends or passes here, and then begin what begins here."""
        for step in self.group:
            if step.skip and step.skip.node == place.node:
                self.skips[step] = self._maps(step, step.end.tap, value).clone()
        ended = [step for step in self.group if step.end.node == place.node]
        for step in ended:
            assert self.tangent is not None
            skip = self.skips.pop(step, None)
            if step.skip and step.skip.node == step.source.node:
                skip = self.tangent
            self.fold(step, self.tangent, skip, self._maps(step, step.end.tap, value))
            self.waiting.discard(step)
        if ended and not any(step in self.waiting for step in self.group):
            self.group, self.tangent = [], None
            self.live.clear()
            value = forward_ad.unpack_dual(value).primal
        if place.node in self.groups:
            value = self._start(place, value)
        return value

    def _maps(self, step: Step, tap: Tap, value: Tensor) -> Tensor:
        tangent = _tangent(value)
        if tangent is None:
            raise RuntimeError(f"no tangent came through '{step.name}'")
        return tap.read(tangent)

    def _start(self, place: Place, value: Tensor) -> Tensor:
        self.group = self.groups.pop(place.node)
        shape = tuple(place.tap.read(value).shape)
        self.tangent = self.draw(place.node, shape).to(value)
        value = forward_ad.make_dual(
            forward_ad.unpack_dual(value).primal, _write(place.tap, self.tangent, value)
        )
        self.live = {id(value): value}
        return value


def _tangent(value: Tensor) -> Tensor | None:
    return forward_ad.unpack_dual(value).tangent if value.is_floating_point() else None


def _write(tap: Tap, maps: Tensor, like: Tensor) -> Tensor:
    """The tensor that a tap reads as these maps, and zero where it reads nothing."""
    number = torch.arange(like.numel(), device=like.device).view(like.shape)
    flat = torch.zeros(like.numel(), dtype=like.dtype, device=like.device)
    flat[tap.read(number).reshape(-1)] = maps.reshape(-1)
    return flat.view(like.shape)


def _put(out: Any, item: int, value: Tensor) -> Any:
    """``out`` with its ``item``-th tensor replaced."""
    if isinstance(out, Tensor):
        return value
    if type(out) not in (tuple, list) or not all(isinstance(t, Tensor) for t in out):
        raise RuntimeError(f"cannot put a tangent into a {type(out).__name__}")
    return type(out)(value if i == item else t for i, t in enumerate(out))
