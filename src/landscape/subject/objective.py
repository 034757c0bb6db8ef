"""The empirical risk as a function of the parameters: value, gradient, curvature times a vector.

One loss per example; nobody else averages, so a ragged last batch weighs what it should. Second
derivatives are double backward passes (`products`); sums over pieces are float64.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointError

from landscape.subject.forward import Statistics, coupled, normalise, substitute, trainable
from landscape.subject.kernels import swift
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.penalty import L2, Params, Penalty
from landscape.subject.products import (
    Matrix,
    Product,
    add,
    check_reached,
    curvature,
    double_backward,
    grad,
    held_bytes,
)

Batches = Iterable[tuple[Tensor, Tensor]]

_NOTHING = "there is no example: the batches are empty or were used up before"


@dataclass(frozen=True)
class Objective:
    """Mean loss over all examples of ``batches`` plus penalties, as a function of parameters.

    Attributes
    ----------
    model
        Any ``nn.Module``; parameters are put in its place for a while, never written to. Its mode
        is the caller's business, but for the normalisation.
    batches
        Re-iterable ``(inputs, targets)``; moved to the device of the parameters.
    loss
        ``(outputs, targets)`` to one number per example.
    weight_decay
        A number, meaning `L2` on all trainable parameters, or a penalty, or a tuple of them.
    matrix
        What `hvp` and `linearise` multiply by. ``"hessian"`` is ``"ggn"``, the generalised
        Gauss-Newton matrix ``J' H_out J`` of outputs with Jacobian ``J``, plus ``"residual"``, the
        curvature of the network itself. Penalties belong to the first two.
    names
        Only these parameters vary; the others stay at their values.
    batchnorm
        ``"eval"``, the running statistics, or ``"batch"``, those of each batch, through which
        gradients flow. No buffer is updated either way.
    microbatch
        At most so many examples in memory at once: the same numbers at about the same speed, as
        long as the examples of a batch do not see each other.
    fast
        Second derivatives by `kernels` of our own; torch's where False, and in networks with
        activation checkpoints. The same to rounding.

    Examples
    --------
    The Hessian of least squares is ``2 / n X' X``:

    >>> net = nn.Linear(2, 1, bias=False)
    >>> x = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
    >>> risk = Objective(net, [(x, torch.zeros(2))], lambda o, t: (o[:, 0] - t) ** 2)
    >>> risk.hvp(risk.parameters(), {"weight": torch.tensor([[1.0, 0.0]])})["weight"]
    tensor([[2., 2.]])
    """

    model: nn.Module
    batches: Batches
    loss: Loss = cross_entropy
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0
    matrix: Matrix = "hessian"
    names: tuple[str, ...] | None = None
    batchnorm: Statistics = "eval"
    microbatch: int | None = None
    fast: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("matrix", Matrix), ("batchnorm", Statistics)):
            if getattr(self, name) not in get_args(kind):
                choices = ", ".join(get_args(kind))
                raise ValueError(f"{name} is one of {choices}, not {getattr(self, name)!r}")
        if self.microbatch is not None:
            if self.microbatch < 1:
                raise ValueError(f"microbatch must be at least 1, got {self.microbatch}")
            if coupled(self.model, self.batchnorm):
                raise ValueError(
                    f"batch normalisation by the statistics of the batch cannot be split into "
                    f"micro-batches of {self.microbatch}: use batchnorm='eval' or smaller batches"
                )

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """The typed terms that ``weight_decay`` stands for."""
        if isinstance(self.weight_decay, tuple):
            return self.weight_decay
        if isinstance(self.weight_decay, int | float):
            return (L2(float(self.weight_decay)),) if self.weight_decay else ()
        return (self.weight_decay,)

    def parameters(self) -> Params:
        """What varies, by name, detached: all trainable parameters, or those in ``names``.

        They share memory with the model's.
        """
        found = trainable(self.model)
        if not found:
            raise ValueError("the network has no parameter that requires a gradient")
        if self.names is None:
            return found
        wrong = [name for name in self.names if name not in found]
        if wrong or not self.names:
            raise ValueError(
                f"the network has no trainable parameter '{wrong[0]}'; the first of its "
                f"{len(found)} is '{next(iter(found))}'"
                if wrong
                else "names is empty: no parameter varies"
            )
        return {n: p for n, p in found.items() if n in self.names}

    def examples(self, params: Params) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (losses, outputs, targets) of each batch, first dimension the examples."""
        where = next(iter(params.values())).device
        for inputs, targets in self._pieces():
            inputs, targets = inputs.to(where), targets.to(where)
            with self._posed(params):
                outputs = self.model(inputs)
            losses = self.loss(outputs, targets)
            if losses.shape != inputs.shape[:1]:
                raise ValueError(
                    f"the loss must return one number per example, ({len(inputs)},), "
                    f"but returned {tuple(losses.shape)}; use reduction='none'"
                )
            yield losses, outputs, targets
            del losses, outputs  # with their graph, before the next one is built

    @torch.no_grad()
    def value(self, params: Params) -> Tensor:
        """Risk, a float64 scalar; sums are float64."""
        total, count = torch.zeros((), dtype=torch.float64), 0
        for losses, _, _ in self.examples(params):
            total = total + losses.double().sum().cpu()
            count += len(losses)
        if not count:
            raise ValueError(_NOTHING)
        every = self._all(params)
        return total / count + sum(p.value(every).cpu() for p in self.penalties)

    @torch.enable_grad()
    def gradient(self, params: Params) -> Params:
        """Gradient of the risk by name."""
        leaves, total, count = _leaves(params), None, 0
        with self._posed(leaves):
            for losses, _, _ in self.examples(leaves):
                check_reached(losses, leaves)
                total = add(total, grad([losses.sum()], leaves))
                count += len(losses)
                del losses
        every = self._all(params)
        return _mean(total, count, params, [p.gradient(every) for p in self.penalties])

    def hvp(self, params: Params, vector: Params) -> Params:
        """Matrix times a vector, by name; one piece's graph in memory at a time."""
        leaves, total, count = _leaves(params), None, 0
        try:
            with self._twice(leaves):
                for losses, outputs, targets in self.examples(leaves):
                    check_reached(losses, leaves)
                    product = curvature(self.matrix, losses, outputs, targets, self.loss, leaves)
                    total = add(total, product(vector, False))
                    count += len(losses)
                    del losses, outputs, product
        except CheckpointError:
            if not self.fast:
                raise
            return replace(self, fast=False).hvp(params, vector)
        return _mean(total, count, params, self._bent(params, vector))

    def linearise(self, params: Params) -> Callable[[Params], Params]:
        """Matrix-vector products at fixed parameters, with the graphs of all batches retained.

        A third faster than `hvp` from the first product on; memory grows with the examples, unless
        they come in micro-batches, whose graphs are built anew for each product.
        """
        if self.microbatch is not None:
            return partial(self.hvp, params)
        leaves = _leaves(params)
        products, count = self._products(leaves)

        def product(vector: Params) -> Params:
            total = None
            with self._twice(leaves):
                for each in products:
                    total = add(total, each(vector, True))
            return _mean(total, count, params, self._bent(params, vector))

        return product

    def graph_bytes(self, examples: int | None = None) -> int:
        """Memory that the graphs retained by `linearise` hold, beside the parameters.

        Parameters
        ----------
        examples
            Of that many examples of the first batch alone.
        """
        batches: Batches = self.batches
        if examples is not None:
            inputs, targets = next(iter(batches))
            batches = [(inputs[:examples], targets[:examples])]
        leaves = _leaves(self.parameters())
        whole = replace(self, batches=batches, microbatch=None)
        return held_bytes(lambda: whole._products(leaves), trainable(self.model) | leaves)

    def _pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in self.batches:
            size = self.microbatch or len(inputs)
            yield from zip(inputs.split(size), targets.split(size), strict=True)

    def _products(self, leaves: Params) -> tuple[list[Product], int]:
        """One product for each batch, with its graph, and the number of examples."""
        products, count = [], 0
        try:
            with self._twice(leaves):
                for losses, outputs, targets in self.examples(leaves):
                    check_reached(losses, leaves)
                    each = curvature(self.matrix, losses, outputs, targets, self.loss, leaves)
                    products.append(each)
                    count += len(losses)
        except CheckpointError:  # torch runs checkpointed segments again without the kernels
            if not self.fast:
                raise
            return replace(self, fast=False)._products(leaves)
        return products, count

    @contextmanager
    def _posed(self, params: Params) -> Iterator[None]:
        """Hold the network at ``params``, the others fixed, through forward and backward."""
        fixed = {n: p for n, p in trainable(self.model).items() if n not in params}
        with substitute(self.model, fixed | params), normalise(self.model, self.batchnorm):
            yield

    @contextmanager
    def _twice(self, leaves: Params) -> Iterator[None]:
        """Also for checkpointed segments, which run forward again in a product."""
        with self._posed(leaves), double_backward(), swift() if self.fast else nullcontext():
            yield

    def _all(self, params: Params) -> Params:
        """With the parameters that stay fixed: a penalty is of them all."""
        return {n: params.get(n, p) for n, p in trainable(self.model).items()}

    def _bent(self, params: Params, vector: Params) -> list[Params]:
        """Penalties' Hessians times a vector; they belong to no residual."""
        if self.matrix == "residual" or not self.penalties:
            return []
        every = self._all(params)
        padded = {n: vector[n] if n in vector else torch.zeros_like(p) for n, p in every.items()}
        return [p.hvp(every, padded) for p in self.penalties]


def ravel(params: Params) -> Tensor:
    """Concatenate to one vector, in the order of the names given."""
    return torch.cat([p.reshape(-1) for p in params.values()])


def unravel(vector: Tensor, like: Params) -> Params:
    """Undo `ravel`: views of the vector, shaped as ``like``."""
    parts = vector.split([p.numel() for p in like.values()])
    return {n: part.view(p.shape) for (n, p), part in zip(like.items(), parts, strict=True)}


def _leaves(params: Params) -> Params:
    return {n: p.detach().requires_grad_() for n, p in params.items()}


def _mean(total: Params | None, count: int, params: Params, terms: list[Params]) -> Params:
    """Mean over the examples plus what the penalties say about ``params``."""
    if total is None:
        raise ValueError(_NOTHING)
    mean = {n: t / count for n, t in total.items()}
    for term in terms:
        mean = {n: m + term[n].to(m) for n, m in mean.items()}
    return {n: mean[n].detach().to(p) for n, p in params.items()}
