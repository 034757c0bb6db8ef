"""PyHessian as a cross-check: the numbers of another engine, asked for as it is.

It is imported when it is asked, and run as its users run it: power iteration with deflation, and
Hutchinson's method. Both leave gradients and eval mode behind: the caller cleans up.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.subject.forward import trainable
from landscape.subject.loss import Loss
from landscape.subject.objective import Batches
from landscape.subject.products import double_backward

_KNOWN = {"weight_decay": 0.0, "matrix": "hessian", "parameters": None, "batchnorm": "eval"}


def refuse(**settings: Any) -> None:
    """Refuse what PyHessian does not know.

    Raises
    ------
    ValueError
        Names the setting.

    Examples
    --------
    >>> refuse(weight_decay=0, matrix="hessian")
    """
    for name, value in settings.items():
        if value != _KNOWN[name]:
            raise ValueError(
                f"PyHessian has no {name}, so {name}={value!r} needs engine='landscape'"
            )


def eigenvalues(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    k: int,
    tol: float,
    max_products: int,
    seed: int,
) -> tuple[Tensor, int]:
    """Eigenvalues of largest magnitude by its power iteration, and the products used.

    Each of the ``k`` has the same share of ``max_products``, and has settled when one step moves it
    by less than ``tol``: that is no bound on its error, and it has no residual. Ordered by
    magnitude, float64.
    """
    with _peer(model, batches, loss, seed) as (found, passes):
        values, _ = found.eigenvalues(maxIter=max(max_products // k, 1), tol=tol, top_n=k)
    every = torch.tensor(values, dtype=torch.float64)
    return every[every.abs().argsort(descending=True, stable=True)], passes.count


def traces(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    tol: float | None,
    max_products: int,
    seed: int,
) -> tuple[Tensor, int]:
    """Values of ``v' H v`` for random signs, float64, and the products used.

    With ``tol`` it stops by its own rule: when one value moves the mean by less, or, as the sign is
    not taken care of, when a mean is negative.
    """
    with _peer(model, batches, loss, seed) as (found, passes):
        rule = -float("inf") if tol is None else tol  # which nothing meets
        values = found.trace(maxIter=max_products, tol=rule)
    return torch.tensor(values, dtype=torch.float64), passes.count


@dataclass
class _Passes:
    """The batches, as its data loader; each product is one pass."""

    batches: Batches
    count: int = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.count += 1
        yield from self.batches


@contextmanager
def _peer(
    model: nn.Module, batches: Batches, loss: Loss, seed: int
) -> Iterator[tuple[Any, _Passes]]:
    from pyhessian import hessian

    def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
        return loss(outputs, targets).mean()

    passes = _Passes(batches)
    with double_backward(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Using backward\(\) with create_graph=True", UserWarning)
        _check_used(model, batches, criterion)
        torch.manual_seed(seed)
        cuda = next(iter(trainable(model).values())).is_cuda
        yield hessian(model, criterion, dataloader=passes, cuda=cuda), passes


def _check_used(
    model: nn.Module, batches: Batches, criterion: Callable[[Tensor, Tensor], Tensor]
) -> None:
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    where = next(iter(params.values())).device
    inputs, targets = next(iter(batches))
    value = criterion(model(inputs.to(where)), targets.to(where))
    grads = torch.autograd.grad(value, list(params.values()), allow_unused=True)
    idle = [n for n, g in zip(params, grads, strict=True) if g is None]
    if idle:
        raise ValueError(
            f"PyHessian cannot take a parameter that is not used, as '{idle[0]}': freeze it "
            "(requires_grad_(False)), or use engine='landscape'"
        )
