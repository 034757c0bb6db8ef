"""Matrix-vector products with the second derivatives of a loss, by reverse mode alone.

For the loss ``l(f(w))`` of outputs ``f`` the Hessian is ``J' H_out J`` (the generalised
Gauss-Newton matrix: the curvature of the loss, seen through the linearised network) plus the
residual ``sum_k dl/df_k grad^2 f_k`` (the curvature of the network itself).

Each function below does one forward graph's first backward pass and returns a product ``(vector,
retain) -> Params``, which differentiates that pass once more. Jacobian-vector products are double
backward passes too: ``J' w`` is linear in ``w``, so its derivative along ``w`` is ``J``. Nested
Jacobians of ``torch.func`` are silently wrong through some normalisation layers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from weakref import ref

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.subject.loss import Loss
from landscape.subject.penalty import Params

Matrix = Literal["hessian", "ggn", "residual"]
Product = Callable[[Params, bool], Params]


def curvature(
    matrix: Matrix, losses: Tensor, outputs: Tensor, targets: Tensor, loss: Loss, leaves: Params
) -> Product:
    """Product with a matrix of second derivatives of ``losses.sum()`` with respect to ``leaves``.

    Parameters
    ----------
    matrix
        ``"hessian"``, ``"ggn"`` or ``"residual"``; the first is the sum of the others.
    losses, outputs
        With their graph, ``losses = loss(outputs, targets)``.
    targets, loss
        To differentiate the loss by the outputs alone.
    leaves
        Parameters by name, which require a gradient.
    """
    if matrix == "hessian":
        return _second(grad([losses.sum()], leaves, create_graph=True), leaves)
    top = outputs.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss(top, targets).sum(), top, create_graph=True)
    if matrix == "residual":
        seed = [slope.detach()]
        return _second(grad([outputs], leaves, grad_outputs=seed, create_graph=True), leaves)
    return _ggn(outputs, top, slope, leaves)


def _second(first: Params, leaves: Params) -> Product:
    """Differentiate a gradient once more."""
    curved = [n for n, g in first.items() if g.requires_grad]

    def product(vector: Params, retain: bool) -> Params:
        if not curved:  # linear in all parameters
            return {n: torch.zeros_like(p) for n, p in leaves.items()}
        seeds = [vector[n].to(first[n]) for n in curved]
        return grad([first[n] for n in curved], leaves, grad_outputs=seeds, retain_graph=retain)

    return product


def _ggn(outputs: Tensor, top: Tensor, slope: Tensor, leaves: Params) -> Product:
    dummy = torch.zeros_like(outputs, requires_grad=True)
    pulled = grad([outputs], leaves, grad_outputs=[dummy], create_graph=True)
    moved = [n for n, g in pulled.items() if g.requires_grad]

    def product(vector: Params, retain: bool) -> Params:
        if not slope.requires_grad:  # the loss is linear in the outputs
            return {n: torch.zeros_like(p) for n, p in leaves.items()}
        seeds = [vector[n].to(pulled[n]) for n in moved]
        only: Params = {"": dummy}
        pushed = grad([pulled[n] for n in moved], only, grad_outputs=seeds, retain_graph=retain)[""]
        (bent,) = torch.autograd.grad(slope, top, grad_outputs=pushed, retain_graph=retain)
        return grad([outputs], leaves, grad_outputs=[bent], retain_graph=retain)

    return product


def grad(outputs: list[Tensor], leaves: Params, **kwargs: Any) -> Params:
    """Gradient by name; zero where there is no way to the outputs."""
    grads = torch.autograd.grad(
        outputs, list(leaves.values()), allow_unused=True, materialize_grads=True, **kwargs
    )
    return dict(zip(leaves, grads, strict=True))


def add(total: Params | None, part: Params) -> Params:
    """Sum by name, in float64 from the second term on."""
    if total is None:
        return {n: p.detach() for n, p in part.items()}
    # not in place: gradients of one backward pass may be views of each other
    return {n: t.double() + part[n].detach() for n, t in total.items()}


def check_reached(losses: Tensor, leaves: Params) -> None:
    """Refuse losses that depend on no parameter."""
    if not losses.requires_grad:
        raise ValueError(
            f"the loss depends on none of the {len(leaves)} parameters asked for (the first is "
            f"'{next(iter(leaves))}'): they are unused, or the forward pass is without gradient"
        )


@contextmanager
def double_backward() -> Iterator[None]:
    """Attention on the math kernel: fused kernels have no second derivative."""
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        try:
            yield
        except RuntimeError as error:
            if "derivative for" in str(error) or "does not require grad" in str(error):
                raise ValueError(
                    f"the network has an operation without a second derivative: {error}"
                ) from error
            raise


def held_bytes(build: Callable[[], Any], leaves: Params) -> int:
    """Memory that the graph of what ``build`` returns holds, beside the leaves, in bytes."""
    saved: list[ref[Tensor]] = []

    def pack(value: Tensor) -> Tensor:
        value = value.detach()  # or it may hold the graph that holds it, for good
        saved.append(ref(value))
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        graph = build()
    alive = [value.untyped_storage() for found in saved if (value := found()) is not None]
    del graph
    sizes = {storage.data_ptr(): storage.nbytes() for storage in alive}  # each storage once
    return sum(sizes.values()) - sum(
        sizes.get(s.data_ptr(), 0) for s in (p.untyped_storage() for p in leaves.values())
    )
