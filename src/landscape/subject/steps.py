"""The operations of a network as ways from one tensor of its residual stream to the next."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from torch import Tensor, nn
from torch.nn import functional

from landscape.subject.kinds import kind
from landscape.subject.probe import Layout, Tap
from landscape.subject.sites import opened
from landscape.subject.stream import operands, plain, spots, stream
from landscape.subject.trace import Recorder, Trace, trace


@dataclass(frozen=True)
class Place:
    """A tensor of a forward pass: which call of a torch function makes it, and how it is read.

    ``call`` -1 is the input of the network; ``item`` counts the tensors that a call gives; ``grid``
    is that of the maps.
    """

    node: int
    call: int
    item: int
    op: str
    grid: tuple[int, int]
    tap: Tap = field(repr=False)


@dataclass(frozen=True)
class Step:
    """One operation beside its skip, one without any, or a block of several.

    Attributes
    ----------
    name
        Module and kind.
    module
        That adds the two, or that was found to do the step.
    kind
        As of a `landscape.subject.probe.Tap`.
    level
        ``"op"`` or ``"block"``.
    source, end
        Where it begins, and the sum, or the end of the block.
    skip
        The operand of the sum that came along the skip; the source itself is an identity. None for
        a step without a skip, and for a block.
    block
        Number among the steps of the last operation in a block; its own number for an operation.
    """

    name: str
    module: str
    kind: str
    level: Literal["op", "block"]
    source: Place
    end: Place
    skip: Place | None
    block: int


def steps(model: nn.Module, inputs: Tensor) -> list[Step]:
    """Find the operations of any network, in order, and then the blocks that they make up.

    Operations are what a residual sum adds, blocks without a skip among others that have one, what
    happens between blocks (stem, pooling, projections), and in a network without residual sums its
    convolutions, attentions and poolings. A block is the module that adds.

    Examples
    --------
    >>> import torch
    >>> from torchvision.models.resnet import BasicBlock
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), BasicBlock(4, 4)).eval()
    >>> [(s.level, s.name) for s in steps(net, torch.zeros(2, 3, 8, 8))]
    [('op', '1:stem'), ('op', '1:conv'), ('block', '1:conv')]
    """
    recorder = _Calls(model)
    traced = trace(model, inputs[:2], recorder)
    known = _Known(traced, recorder)
    ops = list(_operations(known))
    ops.sort(key=lambda s: (s.end.node, s.source.node))
    blocks = list(_blocks(known, ops))
    if not ops:
        raise ValueError(f"no operation on maps found in {type(model).__name__}")
    return _named([*ops, *blocks])


class _Calls(Recorder):
    """Remembers which call made which node."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.count = 0
        self.made: dict[int, tuple[int, int]] = {0: (-1, 0)}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.multi_head_attention_forward:
            with self:
                return opened(func)(*args, **(kwargs or {}))
        number, before = self.count, len(self.trace.nodes)
        self.count += 1
        out = super().__torch_function__(func, types, args, kwargs)
        if out is not None:
            for item, node in enumerate(range(before, len(self.trace.nodes))):
                self.made[node] = number, item
        return out


@dataclass(frozen=True)
class _Known:
    traced: Trace
    recorder: _Calls

    def place(self, node: int, like: int | None = None) -> Place | None:
        """A node as a place, read as it is or as one ``like`` it; None if it cannot be read."""
        read = self.traced.nodes[node if like is None else like].reading
        made = self.recorder.made.get(node)
        if read is None or made is None:
            return None
        grid = read.grid if read.layout == "tokens" or read.order else None
        tap = Tap("", "out", "", cast(Layout, read.layout), read.prefix, grid, read.order)
        return Place(node, *made, self.traced.nodes[node].op, read.grid, tap)


def _step(
    known: _Known,
    ends: tuple[int, int],
    module: str,
    what: str,
    skip: int = -1,
    level: Literal["op", "block"] = "op",
    block: int = -1,
) -> Iterator[Step]:
    source, end = (known.place(node) for node in ends)
    beside = known.place(skip, like=ends[1]) if skip >= 0 else None
    if source and end and (beside or skip < 0):
        yield Step("", module, what, level, source, end, beside, block)


def _operations(known: _Known) -> Iterator[Step]:
    traced = known.traced
    sums, details = stream(traced)
    for s in sums:
        source = traced.nodes[s].source
        members = traced.flow[s] & ~traced.ancestry[source]
        inside = [d for d in details if members >> d & 1]
        what = kind(traced, members & ~(1 << s), inside)
        module = traced.nodes[s].module
        yield from _step(known, (source, s), module, what, _shortcut(traced, s))
    found = spots(traced)
    stream_nodes = sorted({*sums, *(traced.nodes[s].source for s in sums), 0})
    for spot in found:
        if not sums:
            start = traced.inputs[spot.module][0][0]
            yield from _step(known, (start, spot.node), spot.module, spot.kind)
        elif not any(_close(traced, s, spot.node) for s in sums):
            before = [n for n in stream_nodes if n < spot.node and traced.descends(spot.node, n)]
            before = [n for n in before if n in known.recorder.made]
            yield from _step(known, (before[-1], spot.node), spot.module, spot.kind)


def _close(traced: Trace, s: int, node: int) -> bool:
    """Whether a spot is where a sum is heard, with no more than an activation in between."""
    if node == s:
        return True
    between = traced.between(s, node)
    return (
        traced.descends(node, s)
        and kind(traced, between) == "norm"
        and _grid(traced, s) == _grid(traced, node)
    )


def _grid(traced: Trace, node: int) -> tuple[int, int] | None:
    read = traced.nodes[node].reading
    return read.grid if read else None


def _shortcut(traced: Trace, s: int) -> int:
    """The operand of a sum that came along the skip: of those without a bend, the shortest way."""
    source = traced.nodes[s].source
    parts = [p for p in operands(traced, s, source) if plain(traced, source, p)]
    ways = {p: bin(traced.between(source, p)).count("1") for p in parts}
    return min(parts, key=lambda p: ways[p], default=-1)


def _blocks(known: _Known, ops: list[Step]) -> Iterator[Step]:
    """Modules that add, from where the first of their sums branches off to what they give."""
    traced = known.traced
    for module in dict.fromkeys(s.module for s in ops if s.skip):
        within = [i for i, s in enumerate(ops) if s.skip and s.module == module]
        calls = traced.outputs.get(module, ())
        if not module or len(calls) != 1:
            continue
        start = ops[within[0]].source.node
        out = next((n for n in calls[0] if n >= 0 and traced.nodes[n].reading), -1)
        if out < 0 or not all(traced.descends(out, ops[i].end.node) for i in within):
            continue
        what = "+".join(dict.fromkeys(ops[i].kind for i in within))
        yield from _step(known, (start, out), module, what, level="block", block=within[-1])


def _named(found: list[Step]) -> list[Step]:
    """Names that differ; an operation is its own block number."""
    seen: dict[tuple[str, str], int] = {}
    out = []
    for number, step in enumerate(found):
        name = f"{step.module}:{step.kind}"
        count = seen[step.level, name] = seen.get((step.level, name), -1) + 1
        name = f"{name}[{count}]" if count else name
        block = number if step.level == "op" else step.block
        out.append(
            Step(name, step.module, step.kind, step.level, step.source, step.end, step.skip, block)
        )
    return out
