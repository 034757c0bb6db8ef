"""Listen to the attention of any network during its forward passes, and change it.

The weights of fused attention, which no one ever sees, are computed again from queries and keys;
that they are the right ones is not assumed: times the values they must give what the network
itself computed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from landscape.subject.site import Site
from landscape.subject.sites import CANDIDATES, FUSED, factors, matrices, opened, sites

#: of a site and its weights ``(b * windows, heads, n, m)``; what it returns is used in their place
Read = Callable[[Site, Tensor], Tensor | None]


@contextmanager
def attending(
    model: nn.Module, inputs: Tensor, read: Read, where: Sequence[Site] | None = None
) -> Iterator[list[Site]]:
    """Hand the attention weights of every forward pass inside the context to ``read``.

    Parameters
    ----------
    model
        Any network, in eval mode: ``scaled_dot_product_attention``, ``nn.MultiheadAttention`` and
        attention written out as two products are known, whatever happens between the products.
    inputs
        ``(b, c, h, w)``, of the size that the network will be run on; two of them are traced.
    read
        ``read(site, weights)`` is called at every attention, in the order of the network.
        ``weights`` ``(b * windows, heads, n, m)``, bias and mask included; the windows of an image
        follow each other. ``site``, a `landscape.subject.site.Site`, tells module, heads and the
        places of queries and keys. If other weights of that shape are returned, the network goes on
        with them; `uniform` and `average` are ready to be used. If None is, the network's own
        outcome is used, to the bit.
    where
        Sites found before by `landscape.subject.sites.sites`, to trace no more; or some of them.

    Yields
    ------
    list of Site
        Empty for a network without attention. Contexts nest: the inner one reads, and may change,
        what the outer one made of the weights.

    Raises
    ------
    RuntimeError
        If weights times values are not the network's own outcome, to 1e-5 of its largest entry
        (in half precision to its rounding).

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(16, 2, 8, batch_first=True))
    >>> images, sums = torch.randn(3, 5, 4, 4), []
    >>> with attending(net.eval(), images, lambda site, a: sums.append(a.sum(-1))) as found:
    ...     _ = net(images)
    >>> sums[0].shape, bool((sums[0] - 1).abs().max() < 1e-6)
    (torch.Size([3, 2, 5]), True)
    """
    found = list(sites(model, inputs) if where is None else where)
    outer = next((m for m in reversed(_ACTIVE) if m.model is model and not m.paused), None)
    mode = _Attending(model, {site.number: site for site in found}, read, outer)
    handles = [
        model.register_forward_pre_hook(mode.begin),
        model.register_forward_hook(mode.end, always_call=True),
    ]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)  # it would skip the operations inside
        _ACTIVE.append(mode)
        if outer:
            outer.paused = True
        with mode:
            yield found
    finally:
        _ACTIVE.remove(mode)
        if outer:
            outer.paused = False
        torch.backends.mha.set_fastpath_enabled(fast)
        for handle in handles:
            handle.remove()


def uniform(site: Site, weights: Tensor) -> Tensor:
    """Let every query see all that it may see alike; what is masked stays out of sight.

    Examples
    --------
    >>> uniform(None, torch.tensor([[0.75, 0.25, 0.0]]))
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    seen = (weights.detach().abs() > 1e-30).to(weights.dtype)
    return seen / seen.sum(-1, keepdim=True).clamp_min(1)


def average(site: Site, weights: Tensor) -> Tensor:
    """Use the mean of the weights over the images of the batch for each of them."""
    by_image = weights.unflatten(0, (-1, site.windows))
    return by_image.mean(0, keepdim=True).expand_as(by_image).flatten(0, 1)


_ACTIVE: list["_Attending"] = []


class _Attending(TorchFunctionMode):
    """Knows a site by its number among the products of a forward pass."""

    def __init__(
        self, model: nn.Module, where: dict[int, Site], read: Read, outer: "_Attending | None"
    ) -> None:
        super().__init__()
        self.model, self.where, self.read, self.outer = model, where, read, outer
        self.count, self.inside = 0, False  # products outside a forward pass are not counted
        self.paused = False  # an inner context does the work while this one pauses

    def begin(self, module: nn.Module, args: Any) -> None:
        self.count, self.inside = 0, True

    def end(self, module: nn.Module, args: Any, outputs: Any) -> None:
        self.inside = False

    def site(self, number: int) -> Site | None:
        """What is known here or outside of a candidate."""
        return self.where.get(number) or (self.outer.site(number) if self.outer else None)

    def change(self, number: int, weights: Tensor) -> Tensor | None:
        """What the network is to go on with, or None: what it has."""
        made = self.outer.change(number, weights) if self.outer else None
        if number not in self.where:
            return made
        other = self.read(self.where[number], weights if made is None else made)
        return made if other is None else other

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.paused or not self.inside:
            return func(*args, **kwargs)
        if func is functional.multi_head_attention_forward:
            with self:
                return opened(func)(*args, **kwargs)
        op = getattr(func, "__name__", "")
        if op not in CANDIDATES:
            return func(*args, **kwargs)
        site = self.site(self.count)
        self.count += 1
        if site is None:
            return func(*args, **kwargs)
        if op == FUSED:
            return self._fused(site, func, args, kwargs)
        return self._product(site, op, func, args, kwargs)

    def _fused(self, site: Site, func: Any, args: Any, kwargs: Any) -> Tensor:
        out = func(*args, **kwargs)
        weights, values = _weights(*args, **kwargs)
        _check(site, weights @ values, out)
        other = self.change(site.number, site.gather(weights))
        return out if other is None else site.scatter(other, weights) @ values

    def _product(self, site: Site, op: str, func: Any, args: Any, kwargs: Any) -> Tensor:
        out = func(*args, **kwargs)
        weights, values = factors(op, args, kwargs)
        how = matrices(site.form) if op == "einsum" else None
        plain = weights.permute(how[0]) if how else weights
        other = self.change(site.number, site.gather(plain))
        if other is None:
            return out
        plain = site.scatter(other, plain)
        if how is None:
            return plain @ values
        back = [how[0].index(d) for d in range(plain.ndim)]
        return func(args[0], plain.permute(back), values)


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Tensor]:
    """``softmax(q k' / sqrt(d) + bias)`` and the values, as `scaled_dot_product_attention` has."""
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    logits = (query * scale) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        logits = logits + attn_mask
    return logits.softmax(-1).to(value.dtype), value


def _check(site: Site, ours: Tensor, theirs: Tensor) -> None:
    size = float(theirs.detach().abs().max())
    error = float((ours - theirs).detach().abs().max())
    if not error <= max(1e-5, 8 * torch.finfo(theirs.dtype).eps) * size:
        raise RuntimeError(
            f"the attention of '{site.name}' was not found: weights times values are off by "
            f"{error / max(size, 1e-300):.1e} of the network's own outcome (dropout?)"
        )
