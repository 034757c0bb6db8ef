"""What second-order analyzers share: the matrix that was asked for, checked, as an operator."""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from landscape.subject.forward import Statistics, coupled, trainable
from landscape.subject.loss import Loss
from landscape.subject.memory import fit
from landscape.subject.objective import Batches, Objective, ravel, unravel
from landscape.subject.penalty import Penalty
from landscape.subject.products import Matrix
from landscape.subject.selfcheck import selfcheck

_FEW = 4  # examples of the self-check
BUDGET = 3 << 30  # bytes for graphs that are kept from product to product


def select(model: nn.Module, pattern: str | None) -> tuple[str, ...] | None:
    """Trainable parameters whose names match a regular expression; None for all.

    Raises
    ------
    ValueError
        If none matches, or it is no regular expression.
    """
    if pattern is None:
        return None
    names = list(trainable(model))
    try:
        found = tuple(name for name in names if re.search(pattern, name))
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from error
    if not found:
        raise ValueError(
            f"no trainable parameter matches '{pattern}'; the names run from {names[0]} to "
            f"{names[-1]}"
        )
    return found


def objective(
    model: nn.Module,
    batches: Batches,
    *,
    loss: Loss,
    weight_decay: float | Penalty | tuple[Penalty, ...],
    matrix: Matrix,
    parameters: str | None,
    batchnorm: Statistics,
) -> Objective:
    """Make the objective of an analyzer's settings."""
    names = select(model, parameters)
    return Objective(model, batches, loss, weight_decay, matrix, names, batchnorm)


def checked(risk: Objective, seed: int) -> dict[str, Any]:
    """Refuse a network whose products are wrong; else the measured errors, for the result.

    A network is as wrong on a few examples as on many.
    """
    if not torch.isfinite(risk.value(risk.parameters())):
        raise ValueError("the loss is not finite at the weights of the network")
    inputs, targets = next(iter(risk.batches))
    few = len(inputs) if coupled(risk.model, risk.batchnorm) else _FEW
    return asdict(selfcheck(replace(risk, batches=[(inputs[:few], targets[:few])]), seed=seed))


def operator(
    risk: Objective, each: float | None = None
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Matrix times a flat vector, and a flat vector like those it takes.

    Graphs are kept from product to product where they fit, else built anew in micro-batches.
    ``each`` is the memory that one example's graph holds, if known (`graph_bytes`).
    """
    params = risk.parameters()
    count = sum(len(inputs) for inputs, _ in risk.batches)
    if (graph_bytes(risk) if each is None else each) * count <= BUDGET:
        product = risk.linearise(params)
    else:
        small = fit(risk, BUDGET)

        def product(vector: dict[str, Tensor]) -> dict[str, Tensor]:
            return small.hvp(params, vector)

    return lambda v: ravel(product(unravel(v, params))), ravel(params)


def graph_bytes(risk: Objective) -> float:
    """Memory that the graph of one example holds, reckoned from two."""
    few = min(len(next(iter(risk.batches))[0]), 2)
    return risk.graph_bytes(few) / few
