"""What a step of a network does to its maps, told from the operations in it."""

from collections.abc import Iterable

from landscape.subject.places import somewhere, varies, words
from landscape.subject.trace import Node, Trace

_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "bmm", "einsum", "baddbmm"}
_SCALINGS = {"mul", "mul_", "__mul__", "__rmul__", "__imul__"}
_ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_SOFTMAX = {"softmax", "_softmax"}
_BY_WEIGHT = {"matmul", "__matmul__"}
_CONVS = ("conv1d", "conv2d", "conv3d", "conv_transpose2d")
_BENDS = words(
    "relu relu_ relu6 gelu silu silu_ mish hardswish hardswish_ leaky_relu leaky_relu_ elu elu_ "
    "prelu glu tanh sigmoid hardsigmoid softplus"
)


def kind(traced: Trace, members: int, sums: Iterable[int] = ()) -> str:
    """Name a set of nodes: ``msa``, ``conv``, ``dwconv``, ``mlp``, ``pool`` or ``norm``.

    Attention prevails over convolution, and convolution over pointwise layers: attentions have
    projections, and residual blocks have convolutions of one pixel. ``dwconv`` is a step whose
    spatial convolutions are all depthwise.

    Parameters
    ----------
    traced
        The graph.
    members
        Bit set of the step's nodes.
    sums
        Residual sums inside the step. What they divide is named part by part, as ``msa+mlp``.
    """
    parts, rest = [], members
    for node in sorted(sums):
        parts.append(rest & traced.ancestry[node])
        rest &= ~traced.ancestry[node]
    names = [_kind(traced, part) for part in (*parts, rest)]
    if not parts:
        return names[0]
    real = [
        name
        for name, part in zip(names, (*parts, rest), strict=True)
        if name not in ("mlp", "norm") or (name == "mlp" and bends(traced, part))
    ]
    return "+".join(dict.fromkeys("+".join(real).split("+"))) or _kind(traced, members)


def bends(traced: Trace, members: int) -> bool:
    """Whether there is anything in a set of nodes that is not linear: an activation, attention."""
    return any(node.op in _BENDS | _ATTENTION | _SOFTMAX for _, node in traced.members(members))


def _kind(traced: Trace, members: int) -> str:
    nodes = list(traced.members(members))
    core = _attention(traced, nodes)
    if core:
        kin = 0
        for number, _ in nodes:
            if any(traced.descends(number, c) for c in core):
                kin |= 1 << number
        for c in core:
            kin |= traced.ancestry[c]
        beside = members & ~kin  # an MLP in parallel to the attention
        mlp = bends(traced, beside) and _pointwise(traced, beside) > 1
        return "msa+mlp" if mlp else "msa"
    spatial = [n for _, n in nodes if n.op in _CONVS and n.kernel > 1 and _reads_map(traced, n)]
    if spatial:
        return "dwconv" if all(n.depthwise for n in spatial) else "conv"
    if _pointwise(traced, members):
        return "mlp"
    return "pool" if any("pool" in n.op for _, n in nodes) else "norm"


def _attention(traced: Trace, nodes: list[tuple[int, Node]]) -> list[int]:
    """Where maps are averaged with weights made from them; a softmax is usual, but no need."""
    soft = [i for i, n in nodes if n.op in _SOFTMAX]
    soft += [i for i, n in nodes if n.op in _PRODUCTS and len(n.parents) > 1]
    found = []
    for i, n in nodes:
        if not somewhere(n.places):  # a class token looks at the map, which stays as it is
            continue
        weighted = any(s < i and traced.descends(i, s) for s in soft)
        if n.op in _ATTENTION or (n.op in _PRODUCTS and len(n.parents) > 1 and weighted):
            found.append(i)
        elif n.op in _SCALINGS and len(n.parents) == 2:
            over = [s for s in soft if traced.nodes[s].spatial]
            found += [i] * any(traced.descends(i, s) for s in over)
    return found


def _pointwise(traced: Trace, members: int) -> int:
    """Number of layers that mix the channels of a map, or its tokens, with fixed weights."""
    count = 0
    for _, n in traced.members(members):
        layer = n.op == "linear" or (n.op in _CONVS and n.kernel == 1)
        if layer or (n.op in _BY_WEIGHT and len(n.parents) == 1):
            count += _reads_map(traced, n)
    return count


def _reads_map(traced: Trace, node: Node) -> bool:
    """Whether its operand has more places than one: layers on a global average see no map."""
    places = traced.nodes[node.parents[0]].places
    return places is None or any(varies(places, d) for d in range(places[0].ndim))
