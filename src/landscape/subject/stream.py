"""The residual stream of a traced network: its sums, and where each of them can be heard."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from landscape.subject.kinds import bends, kind
from landscape.subject.places import words
from landscape.subject.trace import Trace

_SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__", "addcmul"}
_SAME = words(  # shows a node under another shape or name
    "view reshape flatten unflatten _unsafe_view transpose permute swapaxes movedim contiguous "
    "clone dropout dropout2d identity __get__ squeeze unsqueeze to float type_as detach"
)


@dataclass(frozen=True)
class Spot:
    """A tensor of the stream, the side of a module where it is heard, and what led to it."""

    node: int
    module: str
    side: str
    item: int = 0
    kind: str = ""


def spots(traced: Trace) -> list[Spot]:
    """Every step of the residual stream in order; operations one by one if there is none."""
    sums, details = stream(traced)
    ends = {s: spot for s in sums if (spot := _at_sum(traced, s))}
    heard = {spot.node for spot in ends.values()}
    blocks = {spot.module for s, spot in ends.items() if _owns(traced, s, spot)}
    marks = [(s, traced.nodes[s].source, traced.nodes[s].module, ends.get(s)) for s in sums]
    marks += [
        (spot.node, traced.inputs[spot.module][0][0], spot.module, spot)
        for spot in _siblings(traced, blocks)
        if spot.node not in heard
    ]
    if not any(end for *_, end in marks):
        return _operations(traced)
    inner = [s for s in (*sums, *details) if s not in ends]
    found: list[Spot] = []
    for _, source, module, end in sorted(marks, key=lambda mark: mark[0]):
        start = _at_source(traced, source, found, module)
        if start and (end is None or start.node != end.node):
            found.append(start)
        if end:
            step = traced.flow[end.node] & ~_seen(traced, end.node, found)
            within = [n for n in inner if step >> n & 1]
            found.append(replace(end, kind=kind(traced, step, within)))
    rest = _at_source(traced, traced.common(traced.final), found, "", ("out", "in"))
    return [*found, rest] if rest else found


def _seen(traced: Trace, node: int, found: list[Spot]) -> int:
    """Nodes that lie before one of the spots on the ways to ``node``."""
    past = 0
    for spot in found:
        if traced.descends(node, spot.node):
            past |= traced.ancestry[spot.node]
    return past


def _origin(traced: Trace, node: int) -> int:
    """The node that a mere change of shape shows under another shape."""
    while node >= 0 and traced.nodes[node].op in _SAME and len(traced.nodes[node].parents) == 1:
        node = traced.nodes[node].parents[0]
    return node


def _adds(traced: Trace, number: int) -> bool:
    """Whether a node adds two tensors of its own shape, both made from the images."""
    node = traced.nodes[number]
    shapes = {traced.nodes[p].shape for p in node.parents}
    return node.op in _SUMS and len(node.parents) == 2 and shapes == {node.shape}


def residual_sums(traced: Trace) -> list[int]:
    """Residual sums: maps to which something computed from themselves is added.

    One operand is a shortcut: the other is made from it, or nothing on the way to it from where the
    two part is nonlinear.
    """
    found = []
    for number, node in enumerate(traced.nodes):
        if not _adds(traced, number) or not traced.used >> number & 1 or not node.reading:
            continue
        a, b = (_origin(traced, p) for p in node.parents)
        itself = traced.descends(a, b) or traced.descends(b, a)
        parts = operands(traced, number, node.source)
        if itself or any(plain(traced, node.source, p) for p in parts):
            found.append(number)
    return found


def operands(traced: Trace, number: int, source: int) -> Iterator[int]:
    """What is added, also over several sums in a row."""
    for parent in traced.nodes[number].parents:
        one = _origin(traced, parent)
        if one > source and _adds(traced, one):
            yield from operands(traced, one, source)
        else:
            yield parent


def plain(traced: Trace, source: int, operand: int) -> bool:
    """Whether an operand is a shortcut: nothing on the way to it bends, and nothing is added."""
    way = traced.between(source, operand)
    return not bends(traced, way) and not any(_adds(traced, n) for n, _ in traced.members(way))


def stream(traced: Trace) -> tuple[list[int], list[int]]:
    """Residual sums, and those that are details inside the branch of another.

    A skip over two residual sums in a row, or more, is a long one; what it skips is the stream.
    Details in another module than the sum are dropped: they are inside the operation.
    """
    sums = residual_sums(traced)
    details: dict[int, bool] = {}
    for outer in sums:
        source = traced.nodes[outer].source
        branch = traced.between(source, outer)
        inside = [s for s in sums if s < outer and branch >> s & 1 and traced.descends(s, source)]
        if max(_in_a_row(traced, o, source, inside) for o in traced.nodes[outer].parents) < 2:
            for s in inside:
                same = traced.nodes[s].call == traced.nodes[outer].call
                details[s] = details.get(s, False) or same
    return [s for s in sums if s not in details], [s for s, same in details.items() if same]


def _in_a_row(traced: Trace, node: int, source: int, sums: list[int]) -> int:
    """How many of the sums all ways from ``source`` to ``node`` pass through."""
    count = 0
    while node > source:
        count += node in sums
        node = traced.nodes[node].source
    return count


def _once(traced: Trace, module: str) -> bool:
    """A module that is called twice cannot be heard at one of its calls."""
    return bool(module) and len(traced.inputs[module]) == len(traced.outputs.get(module, ())) == 1


def _at_sum(traced: Trace, number: int) -> Spot | None:
    """At the end of the module that adds, if nothing much comes after; or where the sum is read."""
    frame = traced.nodes[number]
    if _once(traced, frame.module):
        for item, out in enumerate(traced.outputs[frame.module][0]):
            if traced.descends(out, number) and traced.nodes[out].reading:
                after = traced.between(number, out)
                last = not any(_adds(traced, n) for n, _ in traced.members(after))
                if last and kind(traced, after) == "norm" and _same_grid(traced, number, out):
                    return Spot(out, frame.module, "out", item)
    return _exactly(traced, number)


def _same_grid(traced: Trace, a: int, b: int) -> bool:
    one, two = traced.nodes[a].reading, traced.nodes[b].reading
    return one is not None and two is not None and one.grid == two.grid


def _exactly(
    traced: Trace, number: int, module: str = "", sides: tuple[str, ...] = ("in", "out")
) -> Spot | None:
    """Where a tensor goes into a module, or comes out of one, whatever its shape."""
    origin = _origin(traced, number)
    for side in sides:
        table = traced.inputs if side == "in" else traced.outputs
        found = [
            Spot(node, name, side, item)
            for name, calls in table.items()
            if _once(traced, name)
            for item, node in enumerate(calls[0])
            if node >= 0 and _origin(traced, node) == origin and traced.nodes[node].reading
        ]
        if found:
            return next((spot for spot in found if spot.module == module), found[0])
    return None


def _owns(traced: Trace, number: int, spot: Spot) -> bool:
    return spot.side == "out" and spot.module == traced.nodes[number].module


def _at_source(
    traced: Trace,
    source: int,
    found: list[Spot],
    module: str,
    sides: tuple[str, ...] = ("in", "out"),
) -> Spot | None:
    """Where the stream branches off, if something happened to it since the tap before.

    The stem, a reduction of the grid, a convolution or projection between two blocks.
    """
    seen = 0
    for before in found:
        seen |= traced.ancestry[before.node]
    while source > 0 and not seen >> source & 1:
        spot = _exactly(traced, source, module, sides) if traced.nodes[source].reading else None
        if spot and seen >> spot.node & 1:
            return None
        if spot:
            what = _between(traced, spot.node, _seen(traced, spot.node, found))
            return replace(spot, kind=what) if what != "norm" else None
        source = traced.nodes[source].source
    return None


def _between(traced: Trace, node: int, seen: int) -> str:
    """What led to a node that is no residual sum: ``pool`` if all it did was shrink the grid."""
    way = traced.flow[node] & ~seen
    before = {p for _, n in traced.members(way) for p in n.parents if p and seen >> p & 1}
    if not before:
        return "stem"
    what, now = kind(traced, way), traced.nodes[node].reading
    grids = [r.grid for p in before if (r := traced.nodes[p].reading)]
    pixels = now.grid[0] * now.grid[1] if now else 0
    shrinks = bool(grids) and all(pixels < h * w for h, w in grids)
    return "pool" if shrinks and what != "msa" else what


def _siblings(traced: Trace, blocks: set[str]) -> Iterator[Spot]:
    """Blocks without a skip: their name differs from a residual block's only in its numbers."""
    patterns = {_pattern(name) for name in blocks if re.search(r"\d", name)}
    for name in traced.outputs:
        if name not in blocks and _pattern(name) in patterns and traced.children[name]:
            yield from _outcome(traced, name)


def _outcome(traced: Trace, module: str) -> Iterator[Spot]:
    """The first tensor that comes out of a module, if that is a map."""
    if _once(traced, module) and traced.inputs[module][0]:
        out = (*traced.outputs[module][0], -1)[0]
        if out >= 0 and traced.nodes[out].reading:
            yield Spot(out, module, "out")


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "*", name)


def _operations(traced: Trace) -> list[Spot]:
    """Modules that convolve, attend or pool, in a network without residual sums."""
    found: dict[int, Spot] = {}
    for name in traced.outputs:
        for spot in _outcome(traced, name):
            what = kind(traced, traced.between(traced.inputs[name][0][0], spot.node))
            plain = not traced.children[name] and what in ("conv", "dwconv", "pool", "mlp")
            if plain or what == "msa":
                found.setdefault(spot.node, replace(spot, kind=what))
    return [found[node] for node in sorted(found)]
