"""Where a network attends: every operation that averages values with weights made from the input.

Found in one traced forward pass, whatever the code looks like: ``scaled_dot_product_attention``,
``nn.MultiheadAttention``, or written out as a product of queries and keys that becomes the left
factor of a product with values. What happens to the weights in between (softmax or not, bias, mask,
heads mixed) is no matter: the weights of a site are those that multiply the values.
"""

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from landscape.subject.places import Places, follow, tensors, varies
from landscape.subject.site import Site, arranged, tokens_at
from landscape.subject.trace import Recorder, trace

FUSED = "scaled_dot_product_attention"
_PRODUCTS = {"matmul": 0, "__matmul__": 0, "bmm": 0, "baddbmm": 1}  # where the factors begin
#: counted at run time to know a site again
CANDIDATES = {FUSED, "einsum", *_PRODUCTS}


def sites(model: nn.Module, inputs: Tensor) -> list[Site]:
    """Find every attention of a network from one forward pass on two inputs, in order.

    Examples
    --------
    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(16, 2, 8, batch_first=True))
    >>> [(s.name, s.heads, s.windows) for s in sites(net.eval(), torch.randn(2, 3, 4, 4))]
    [('1.self_attn', 2, 1)]
    """
    inputs = inputs[:2] if len(inputs) > 1 else inputs[:1].repeat(2, *[1] * (inputs.ndim - 1))
    finder = _Finder(model)
    trace(model, inputs, finder)
    return finder.sites


@cache
def opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """A torch function written in Python, whose inner calls a mode sees one by one."""
    names = {**function.__globals__, "has_torch_function": lambda *_: False}
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


def factors(op: str, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Weights and values of a product, the first matrices and the second to be averaged."""
    if op == "einsum":
        found = list(tensors(args[1:]))
        return (found[0], found[1]) if len(found) == 2 else (None, None)
    start = _PRODUCTS[op]
    names = {"matmul": ("input", "other"), "bmm": ("input", "mat2")}.get(op, ("batch1", "batch2"))
    given = [*args[start:], *[kwargs[k] for k in names if k in kwargs]]
    return given[0], given[1]


def letters(equation: str) -> tuple[str, str, str]:
    """Of both factors and of the outcome of an einsum."""
    given, kept = equation.replace(" ", "").split("->")
    left, right = given.split(",")
    return left, right, kept


def matrices(form: str) -> tuple[list[int], list[int]] | None:
    """How to permute the factors of an einsum into ``(..., n, m)`` and ``(..., m, d)``."""
    left, right, kept = letters(form)
    row = [c for c in left if c in kept and c not in right]
    inner = [c for c in left if c in right and c not in kept]
    wide = [c for c in right if c in kept and c not in left]
    lead = [c for c in left if c in right and c in kept]
    if len(row) != 1 or len(inner) != 1 or len(wide) != 1:
        return None
    if len(left) != len(lead) + 2 or len(right) != len(lead) + 2 or "." in form:
        return None
    first = [left.index(c) for c in (*lead, *row, *inner)]
    return first, [right.index(c) for c in (*lead, *inner, *wide)]


class _Finder(Recorder):
    """Follows beside the places of every tensor those of the keys, where a tensor has both."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.columns: dict[int, Places] = {}
        self.sites: list[Site] = []
        self.count = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.multi_head_attention_forward:
            with self:
                return opened(func)(*args, **(kwargs or {}))
        kwargs = kwargs or {}
        op = getattr(func, "__name__", str(func))
        number = self.count
        self.count += op in CANDIDATES
        out = super().__torch_function__(func, types, args, kwargs)
        made = self.numbers.get(id(out), -1) if isinstance(out, Tensor) else -1
        if op == FUSED and made >= 0:
            names = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
            rows, keys = self.known(names["query"]), self.known(names["value"])
            keys = keys or self.known(names["key"])
            self._add(made, number, "fused", _short(rows, -1), _short(keys, -1))
        elif op in CANDIDATES and made >= 0:
            self._multiplied(op, args, kwargs, out, made, number)
        elif op != "__setitem__" and any(id(t) in self.columns for t in tensors((args, kwargs))):
            found = follow(op, func, args, kwargs, out, lambda t: self.columns.get(id(t)))
            for value, places in zip(tensors(out), found, strict=True):
                if places:
                    self.columns[id(value)] = places
        return out

    def _multiplied(
        self, op: str, args: Any, kwargs: Any, out: Tensor, made: int, number: int
    ) -> None:
        """A product is one of queries and keys, or of weights and values, or of something else."""
        form = "product"
        a, b = factors(op, args, kwargs)
        if a is None or min(a.ndim, b.ndim) < 2:
            return
        how = None
        if op == "einsum":
            form, how = args[0], matrices(args[0])
            if how is None:
                return
        pa, pb, keys = self.known(a), self.known(b), self.columns.get(id(a))
        if how:
            pa, keys, pb = _permuted(pa, how[0]), _permuted(keys, how[0]), _permuted(pb, how[1])
        if keys and varies(keys, -1):
            if op != "baddbmm":
                self._add(made, number, form, _short(pa, -1), _short(pb, -1) or _first(keys, -2))
        elif pa and pb and not varies(pa, -1) and not varies(pb, -2) and varies(pb, -1):
            columns = [p.select(-2, 0).unsqueeze(-2) for p in pb]
            if how:
                left, right, kept = letters(form)
                lead = [c for c in left if c in right and c in kept]
                have = [*lead, left[how[0][-2]], right[how[1][-1]]]
                columns = [p.permute([have.index(c) for c in kept]) for p in columns]
            image, row, column = (p.expand(out.shape) for p in columns)
            self.columns[id(out)] = image, row, column

    def _add(
        self, node: int, number: int, form: str, queries: Places | None, keys: Places | None
    ) -> None:
        if queries is None or keys is None:
            return
        found = arranged(queries, keys)
        if found is None:
            return
        heads, outer, order, chosen = found
        module = self.stack[-1][0]
        same = sum(s.module == module for s in self.sites)
        (_, *rows), (_, *columns) = queries, keys
        of, to = tokens_at(*(p[chosen] for p in rows)), tokens_at(*(p[chosen] for p in columns))
        name = f"{module}[{same}]" if same else module
        self.sites.append(Site(name, module, node, heads, of, to, number, form, outer, order))


def _first(places: Places, dim: int) -> Places:
    image, row, column = (p.select(dim, 0) for p in places)
    return image, row, column


def _short(places: Places | None, dim: int) -> Places | None:
    """Without a dimension along which places do not differ."""
    return _first(places, dim) if places and not varies(places, dim) else None


def _permuted(places: Places | None, order: list[int]) -> Places | None:
    if places is None:
        return None
    image, row, column = (p.permute(order) for p in places)
    return image, row, column
