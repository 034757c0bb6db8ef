"""Where to listen in a network, and how to read what is heard there.

A `Tap` names a module and a side of it; `capture` listens at taps during forward passes; `discover`
finds the taps of any network from one traced forward pass, with no list of architectures:

* the residual stream after each residual sum (``x + f(x)``): a block's output, or, inside a block,
  the input of the module that reads the sum next;
* blocks without a skip that stand where their siblings have one;
* the stream where such a block takes it up, if something has happened to it since the tap before:
  the stem, a reduction of the grid, a convolution or a projection between blocks or after the last;
* in a network without any residual sum, the outputs of its convolutions, attentions and poolings.

Maps of one pixel are left out: they have no frequency and no variance.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from landscape.subject.places import tensors
from landscape.subject.stream import spots
from landscape.subject.trace import trace

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
        What led here from the tap before: ``stem``; ``msa``, with softmax or without; ``conv``;
        ``dwconv``, if all spatial convolutions are depthwise; ``mlp``, pointwise layers or an MLP
        over tokens; ``pool``, pooling or nothing but a reduction of the grid; ``norm``, none of
        these. Steps that cannot be heard one by one are joined, as ``msa+mlp``.
    layout
        ``"nchw"``, ``"nhwc"``, or ``"tokens"`` ``(b, n, c)``: the shape cannot tell.
    prefix
        Class, distillation or register tokens in front, which are dropped.
    grid
        ``(h, w)`` of the tokens at the traced input size; None means a square.
    order
        Which token stands for each place of the grid, row by row, if they have another order, as
        those of windows have. With it the tensor may have any number of dimensions, with the
        channels second (``"nchw"``) or last (``"tokens"``).
    item
        Which of the tensors, if a module takes or gives several.
    """

    module: str
    side: Literal["in", "out"] = "out"
    kind: str = "conv"
    layout: Layout = "nchw"
    prefix: int = 0
    grid: tuple[int, int] | None = None
    order: tuple[int, ...] | None = field(default=None, repr=False)
    item: int = 0

    def __str__(self) -> str:
        return f"{self.module}:{self.side}" + (f"[{self.item}]" if self.item else "")

    def read(self, value: Tensor) -> Tensor:
        """Feature maps ``(b, c, h, w)`` from what the tap hears.

        Examples
        --------
        >>> Tap("blocks.0", layout="tokens", prefix=1).read(torch.zeros(2, 17, 8)).shape
        torch.Size([2, 8, 4, 4])
        """
        if self.order is not None:
            return self._gather(value, self.order)
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

    def _gather(self, value: Tensor, order: tuple[int, ...]) -> Tensor:
        """Maps from windows, or from tokens in another order, whatever dimensions they have."""
        value = value.movedim(1, -1) if self.layout == "nchw" else value
        n, c = self.prefix + len(order), value.shape[-1]
        if self.grid is None or len(order) != self.grid[0] * self.grid[1]:
            raise ValueError(f"tap {self}: an order of {len(order)} tokens needs their grid")
        if value.numel() % (n * c):
            raise ValueError(
                f"tap {self} hears {tuple(value.shape)}, which is not images of {n} tokens"
            )
        return value.reshape(-1, n, c)[:, list(order)].transpose(1, 2).unflatten(2, self.grid)


def clone(maps: Tensor) -> Tensor:
    """Keep a copy: an in-place operation downstream would rewrite what was heard."""
    return maps.detach().clone()


@contextmanager
def capture(
    model: nn.Module,
    taps: Sequence[Tap],
    fold: Callable[[Tensor], Any] = clone,
    *,
    graph: bool = False,
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
    graph
        Whether ``fold`` gets the maps with the graph that made them, to differentiate.

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
            found = next(islice(tensors(value), tap.item, None), None)
            if found is None:
                raise ValueError(f"tap {tap} hears no tensor")
            with torch._C.DisableTorchFunction():  # what is done here is not done by the network
                heard[tap] = fold(tap.read(found if graph else found.detach()))

        def before(module: nn.Module, args: Any, kwargs: Any) -> None:
            store((args, kwargs))

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
    found = []
    for spot in spots(traced):
        read = traced.nodes[spot.node].reading
        if read is None:
            continue
        side, layout = cast(Literal["in", "out"], spot.side), cast(Layout, read.layout)
        grid = read.grid if layout == "tokens" or read.order else None
        found.append(
            Tap(spot.module, side, spot.kind, layout, read.prefix, grid, read.order, spot.item)
        )
    if not found:
        raise ValueError(
            f"no feature maps found in {type(model).__name__}: pass taps=[landscape.Tap(...)]"
        )
    return found
