"""The empirical risk as a function of the parameters: value, gradient, Hessian-vector product.

One loss per example; nobody else averages, so a ragged last batch weighs what it should. Second
derivatives are double backward passes: nested Jacobians of ``torch.func`` are silently wrong
through some normalisation layers. Attention runs on the math kernel, the only
one that has a second derivative.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.subject.penalty import L2, Params, Penalty

Batches = Iterable[tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]

_NOTHING = "there is no example: the batches are empty or were used up before"


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each example, ``(n, classes)`` and ``(n,)`` or soft ``(n, classes)``.

    Examples
    --------
    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).exp()
    tensor([4.])
    """
    if outputs.ndim != 2:
        raise ValueError(f"cross-entropy needs outputs (n, classes), got {tuple(outputs.shape)}")
    if targets.ndim == 1:
        top = int(targets.max())
        if int(targets.min()) < 0 or top >= outputs.shape[1]:
            raise ValueError(
                f"targets run from {int(targets.min())} to {top}, but the network has only "
                f"{outputs.shape[1]} outputs"
            )
        targets = targets.long()
    elif targets.shape != outputs.shape:
        raise ValueError(
            f"soft targets {tuple(targets.shape)} do not fit outputs {tuple(outputs.shape)}"
        )
    if outputs.dtype in (torch.float16, torch.bfloat16):
        outputs = outputs.float()
    if targets.is_floating_point():
        targets = targets.to(outputs.dtype)
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


@dataclass(frozen=True)
class Objective:
    """Mean loss over all examples of ``batches`` plus penalties, as a function of parameters.

    Attributes
    ----------
    model
        Any ``nn.Module``; used through ``functional_call``, never written to. Its mode is the
        caller's business.
    batches
        Re-iterable ``(inputs, targets)``; moved to the device of the parameters.
    loss
        ``(outputs, targets)`` to one number per example.
    weight_decay
        A number, meaning `L2` on all trainable parameters, or a penalty, or a tuple of them.

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

    @property
    def penalties(self) -> tuple[Penalty, ...]:
        """The typed terms that ``weight_decay`` stands for."""
        if isinstance(self.weight_decay, tuple):
            return self.weight_decay
        if isinstance(self.weight_decay, int | float):
            return (L2(float(self.weight_decay)),) if self.weight_decay else ()
        return (self.weight_decay,)

    def parameters(self) -> Params:
        """Trainable parameters by name, detached; they share memory with the model's."""
        found = {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}
        if not found:
            raise ValueError("the network has no parameter that requires a gradient")
        return found

    def examples(self, params: Params) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (losses, outputs, targets) of each batch, first dimension the examples."""
        where = next(iter(params.values())).device
        for inputs, targets in self.batches:
            inputs, targets = inputs.to(where), targets.to(where)
            outputs = functional_call(self.model, params, (inputs,))
            losses = self.loss(outputs, targets)
            if losses.shape != inputs.shape[:1]:
                raise ValueError(
                    f"the loss must return one number per example, ({len(inputs)},), "
                    f"but returned {tuple(losses.shape)}; use reduction='none'"
                )
            yield losses, outputs, targets

    @property
    def count(self) -> int:
        """Number of examples."""
        count = sum(len(inputs) for inputs, _ in self.batches)
        if not count:
            raise ValueError(_NOTHING)
        return count

    @torch.no_grad()
    def value(self, params: Params) -> Tensor:
        """Risk, a float64 scalar; sums are float64."""
        total, count = torch.zeros((), dtype=torch.float64), 0
        for losses, _, _ in self.examples(params):
            total = total + losses.double().sum().cpu()
            count += len(losses)
        if not count:
            raise ValueError(_NOTHING)
        return total / count + sum(p.value(params).cpu() for p in self.penalties)

    def gradient(self, params: Params) -> Params:
        """Gradient of the risk by name."""
        leaves, total, count = _leaves(params), None, 0
        for losses, _, _ in self.examples(leaves):
            total = _add(total, _grad([losses.sum()], leaves))
            count += len(losses)
        return self._finish(total, count, params, [p.gradient(params) for p in self.penalties])

    def hvp(self, params: Params, vector: Params) -> Params:
        """Hessian of the risk times a vector, by name; one batch's graph in memory at a time."""
        leaves, total, count = _leaves(params), None, 0
        with double_backward():
            for losses, _, _ in self.examples(leaves):
                total = _add(total, _product(_first(losses, leaves), leaves, vector, retain=False))
                count += len(losses)
        return self._finish(total, count, params, [p.hvp(params, vector) for p in self.penalties])

    def linearise(self, params: Params) -> Callable[[Params], Params]:
        """Hessian-vector products at fixed parameters, with the graphs of all batches retained.

        A third faster than `hvp` from the first product on; memory grows with the examples.
        """
        leaves, graphs, count = _leaves(params), [], 0
        with double_backward():
            for losses, _, _ in self.examples(leaves):
                graphs.append(_first(losses, leaves))
                count += len(losses)

        def product(vector: Params) -> Params:
            total = None
            with double_backward():  # also for checkpointed segments, which run forward again here
                for graph in graphs:
                    total = _add(total, _product(graph, leaves, vector, retain=True))
            return self._finish(
                total, count, params, [p.hvp(params, vector) for p in self.penalties]
            )

        return product

    def _finish(
        self, total: Params | None, count: int, params: Params, terms: list[Params]
    ) -> Params:
        if total is None:
            raise ValueError(_NOTHING)
        mean = {n: t / count for n, t in total.items()}
        for term in terms:
            mean = {n: m + term[n].to(m) for n, m in mean.items()}
        return {n: mean[n].detach() for n in params}


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


def ravel(params: Params) -> Tensor:
    """Concatenate to one vector, in the order of the names given."""
    return torch.cat([p.reshape(-1) for p in params.values()])


def unravel(vector: Tensor, like: Params) -> Params:
    """Undo `ravel`: views of the vector, shaped as ``like``."""
    parts = vector.split([p.numel() for p in like.values()])
    return {n: part.view(p.shape) for (n, p), part in zip(like.items(), parts, strict=True)}


def _leaves(params: Params) -> Params:
    return {n: p.detach().requires_grad_() for n, p in params.items()}


def _grad(outputs: list[Tensor], leaves: Params, **kwargs: Any) -> Params:
    grads = torch.autograd.grad(
        outputs,
        list(leaves.values()),
        allow_unused=True,
        materialize_grads=True,
        **kwargs,
    )
    return dict(zip(leaves, grads, strict=True))


def _first(losses: Tensor, leaves: Params) -> Params:
    return _grad([losses.sum()], leaves, create_graph=True)


def _product(graph: Params, leaves: Params, vector: Params, retain: bool) -> Params:
    curved = [n for n, g in graph.items() if g.requires_grad]
    if not curved:  # the loss is linear in all parameters
        return {n: torch.zeros_like(p) for n, p in leaves.items()}
    seeds = [vector[n].to(graph[n]) for n in curved]
    return _grad([graph[n] for n in curved], leaves, grad_outputs=seeds, retain_graph=retain)


def _add(total: Params | None, part: Params) -> Params:
    if total is None:
        return {n: p.detach() for n, p in part.items()}
    return {n: total[n] + part[n].detach() for n in total}
