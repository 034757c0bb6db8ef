"""Where to listen in a network, and how to read what is heard there.

A `Tap` names a module and a side of it; `capture` listens at taps during forward passes; `discover`
finds the taps of any network from one traced forward pass, with no list of architectures:

* the residual stream after each residual sum (``x + f(x)``): a block's output, or, inside a block,
  the input of the module that reads the sum next;
* blocks without a skip that stand where their siblings have one;
* the input of the first block (the stem's output);
* in a network without any residual sum, the outputs of its convolutions, attentions and poolings.

Maps of one pixel are left out: they have no frequency and no variance.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from landscape.subject.trace import Trace, trace

Layout = Literal["nchw", "nhwc", "tokens"]


@dataclass(frozen=True)
class Tap:
    """Where to listen and how to read it.

    Attributes
    ----------
    module
        Dotted name, as in ``named_modules``.
    side
        ``"out"``, the module's output, or ``"in"``, its first argument.
    kind
        What led here from the tap before: ``stem``, ``conv``, ``msa``, ``mlp``, ``pool``, ``norm``.
    layout
        ``"nchw"``, ``"nhwc"``, or ``"tokens"`` ``(b, n, c)``: the shape cannot tell.
    prefix
        Class, distillation or register tokens in front, which are dropped.
    grid
        ``(h, w)`` of the tokens at the traced input size; None means a square.
    """

    module: str
    side: Literal["in", "out"] = "out"
    kind: str = "conv"
    layout: Layout = "nchw"
    prefix: int = 0
    grid: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.module}:{self.side}"

    def read(self, value: Tensor) -> Tensor:
        """Feature maps ``(b, c, h, w)`` from what the tap hears.

        Examples
        --------
        >>> Tap("blocks.0", layout="tokens", prefix=1).read(torch.zeros(2, 17, 8)).shape
        torch.Size([2, 8, 4, 4])
        """
        want = 3 if self.layout == "tokens" else 4
        if value.ndim != want:
            raise ValueError(f"tap {self} hears {tuple(value.shape)}, which is not {self.layout}")
        if self.layout == "nchw":
            return value
        if self.layout == "nhwc":
            return value.permute(0, 3, 1, 2)
        tokens = value[:, self.prefix :]
        n = tokens.shape[1]
        h, w = self.grid or (round(n**0.5), round(n**0.5))
        if h * w != n:
            raise ValueError(
                f"tap {self}: {n} tokens after {self.prefix} prefix tokens are no {h}x{w} grid"
            )
        return tokens.transpose(1, 2).reshape(len(value), -1, h, w)


def clone(maps: Tensor) -> Tensor:
    """Keep a copy: an in-place operation downstream would rewrite what was heard."""
    return maps.detach().clone()


@contextmanager
def capture(
    model: nn.Module, taps: Sequence[Tap], fold: Callable[[Tensor], Any] = clone
) -> Iterator[dict[Tap, Any]]:
    """Listen at taps during the forward passes inside the context.

    Parameters
    ----------
    model
        Any network.
    taps
        Where to listen.
    fold
        Applied to the maps ``(b, c, h, w)`` inside the hook, so that a statistic is kept instead of
        the maps. It must not keep a view of them.

    Yields
    ------
    dict
        Filled at each forward pass with the folded value of every tap; a later pass replaces it.

    Raises
    ------
    ValueError
        If a module does not exist, or a tap stayed silent.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    >>> with capture(net, [Tap("0")]) as heard:
    ...     _ = net(torch.zeros(1, 3, 8, 8))
    >>> heard[Tap("0")].shape
    torch.Size([1, 4, 6, 6])
    """
    modules = dict(model.named_modules())
    heard: dict[Tap, Any] = {}
    handles = []

    def listen(tap: Tap) -> None:
        def store(value: Any) -> None:
            first = _first_tensor(value)
            if first is None:
                raise ValueError(f"tap {tap} hears no tensor")
            heard[tap] = fold(tap.read(first.detach()))

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            store((*args, *kwargs.values()))

        def after(module: nn.Module, args: Any, output: Any) -> None:
            store(output)

        module = modules[tap.module]
        if tap.side == "in":
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(after))

    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # it would skip the modules inside
        for tap in taps:
            if tap.module not in modules:
                raise ValueError(f"the network has no module '{tap.module}'")
            listen(tap)
        yield heard
        silent = [str(tap) for tap in taps if tap not in heard]
        if silent:
            raise ValueError(f"nothing was heard at {', '.join(silent)}")
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for handle in handles:
            handle.remove()


def discover(model: nn.Module, inputs: Tensor) -> list[Tap]:
    """Find the taps of a network from one forward pass on a few inputs.

    Parameters
    ----------
    model
        Any network; in eval mode for what an analyzer hears.
    inputs
        ``(b, ...)``; two of them are used.

    Returns
    -------
    list of Tap
        In the order in which the network computes them.

    Raises
    ------
    ValueError
        If there is no feature map to listen to.
    """
    traced = trace(model, inputs[:2])
    found: dict[int, Tap] = {}
    owners = _residual(traced, found)
    _siblings(traced, owners, found)
    if not found:
        for name, kind in traced.leaves():
            _offer(traced, found, name, "out", traced.outputs[name][-1], kind)
    elif owners:
        first = min(owners, key=lambda name: traced.started[name])
        if traced.inputs[first][0] > 0:  # else it reads the images: there is no stem
            _offer(traced, found, first, "in", traced.inputs[first][0], "stem")
    if not found:
        raise ValueError(
            f"no feature maps found in {type(model).__name__}: pass taps=[landscape.Tap(...)]"
        )
    return _with_kinds(traced, found)


def _residual(traced: Trace, found: dict[int, Tap]) -> list[str]:
    """Taps on residual sums; returns the modules (called once) that own one."""
    last = {}
    for node in traced.sums():
        last[traced.nodes[node].call] = node
    owners = []
    for node in traced.sums():
        frame = traced.nodes[node]
        if last[frame.call] == node and frame.module and len(traced.outputs[frame.module]) == 1:
            out = traced.outputs[frame.module][0]
            if traced.descends(out, node):
                owners.append(frame.module)
                _offer(traced, found, frame.module, "out", out)
                continue
        for side, table in (("in", traced.inputs), ("out", traced.outputs)):
            heard = [
                (m, n[0])
                for m, n in table.items()
                if m and len(n) == 1 and traced.origin(n[0]) == node
            ]
            if heard:
                _offer(traced, found, heard[0][0], side, heard[0][1])
                break
    return owners


def _siblings(traced: Trace, owners: list[str], found: dict[int, Tap]) -> None:
    """Blocks whose name differs from a residual block's only in its numbers."""
    patterns = {_pattern(name) for name in owners if re.search(r"\d", name)}
    for name, outs in list(traced.outputs.items()):
        alike = len(outs) == 1 and name not in owners and _pattern(name) in patterns
        if alike and traced.composite(name):
            owners.append(name)
            _offer(traced, found, name, "out", outs[0])


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "*", name)


def _offer(
    traced: Trace, found: dict[int, Tap], module: str, side: Any, node: int, kind: str = ""
) -> None:
    """Add a tap unless the same tensor is tapped already, or it is no feature map."""
    value = traced.nodes[node] if node >= 0 else None
    if value is None or node in found or value.layout not in ("nchw", "nhwc", "tokens"):
        return
    if value.grid == (1, 1):  # pooled away: one pixel has no frequency and no variance
        return
    grid, prefix = None, 0
    if value.layout == "tokens":
        grid = value.grid
        prefix = -1 if grid is None else value.shape[1] - grid[0] * grid[1]
        if prefix < 0:
            return
    found[node] = Tap(module, side, kind, cast(Layout, value.layout), prefix, grid)


def _with_kinds(traced: Trace, found: dict[int, Tap]) -> list[Tap]:
    seen, taps = 0, []
    for node, tap in sorted(found.items()):
        past = traced.ancestry[node]
        taps.append(replace(tap, kind=tap.kind or traced.kind(past & ~seen)))
        seen |= past
    return taps


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            found = _first_tensor(item)
            if found is not None:
                return found
    return None
