"""Weight decay as typed terms of the loss, with value, gradient and curvature in closed form."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from torch import Tensor

Params = dict[str, Tensor]
Form = Literal["l2", "norms"]
Decayed = Literal["all", "matrices"]


def _all(name: str, value: Tensor) -> bool:
    return True


def matrices(name: str, value: Tensor) -> bool:
    """Decay weights of two or more dimensions only: no bias, no normalisation."""
    return value.ndim >= 2


class Penalty(Protocol):
    """A term of the loss that depends on the parameters alone.

    A result stores its ``repr``, or else its type and attributes: terms that differ in neither are
    taken for the same.
    """

    def value(self, params: Params) -> Tensor:
        """Return the scalar value, float64."""

    def gradient(self, params: Params) -> Params:
        """Return the gradient by name."""

    def hvp(self, params: Params, vector: Params) -> Params:
        """Return the Hessian times a vector by name."""


@dataclass(frozen=True)
class L2:
    """``coefficient / 2 * sum w^2`` over the decayed parameters (all, unless told).

    Its Hessian is ``coefficient`` times the identity on them. (The decay of AdamW is decoupled: it
    is in the step, not in the loss. Read as a loss term it has this form.)

    Examples
    --------
    >>> w = {"w": torch.tensor([3.0, 4.0])}
    >>> L2(0.1, matrices)
    L2(0.1, matrices)
    >>> L2(0.1).value(w).item(), L2(0.1).hvp(w, {"w": torch.ones(2)})["w"]
    (1.25, tensor([0.1000, 0.1000]))
    """

    coefficient: float
    decayed: Callable[[str, Tensor], bool] = _all

    def __post_init__(self) -> None:
        _check(self.coefficient)

    def __repr__(self) -> str:
        return _told(self)

    def value(self, params: Params) -> Tensor:
        """Half the coefficient times the sum of squares, summed in float64."""
        squares = [(p.double() ** 2).sum() for n, p in params.items() if self.decayed(n, p)]
        return 0.5 * self.coefficient * _total(squares)

    def gradient(self, params: Params) -> Params:
        """``coefficient * w``."""
        return self.hvp(params, params)

    def hvp(self, params: Params, vector: Params) -> Params:
        """``coefficient * v``."""
        return {
            n: self.coefficient * v if self.decayed(n, params[n]) else torch.zeros_like(v)
            for n, v in vector.items()
        }


@dataclass(frozen=True)
class NormSum:
    """``coefficient * sum_k |W_k|``, the un-squared norm of each tensor.

    What the published slices of Park & Kim (2022) call L2; for replication. Its curvature along
    ``W_k`` itself is 0, and ``coefficient / |W_k|`` across. A zero tensor has gradient zero here.

    Examples
    --------
    >>> NormSum(0.1).value({"w": torch.tensor([3.0, 4.0]), "b": torch.tensor([3.0])}).item()
    0.8
    """

    coefficient: float
    decayed: Callable[[str, Tensor], bool] = _all

    def __post_init__(self) -> None:
        _check(self.coefficient)

    def __repr__(self) -> str:
        return _told(self)

    def value(self, params: Params) -> Tensor:
        """Coefficient times the sum of norms, in float64."""
        norms = [_norm(p) for n, p in params.items() if self.decayed(n, p)]
        return self.coefficient * _total(norms)

    def gradient(self, params: Params) -> Params:
        """``coefficient * W_k / |W_k|``."""
        return {
            n: p * (self.coefficient / _norm(p)).to(p)
            if self.decayed(n, p) and _norm(p) > 0
            else torch.zeros_like(p)
            for n, p in params.items()
        }

    def hvp(self, params: Params, vector: Params) -> Params:
        """``coefficient / |W| (v - W (W.v) / |W|^2)`` for each tensor."""
        out = {}
        for name, v in vector.items():
            p, size = params[name], _norm(params[name])
            if not self.decayed(name, p) or size == 0:
                out[name] = torch.zeros_like(v)
                continue
            along = (p.double() * v.double()).sum() / size**2
            out[name] = ((v.double() - p.double() * along) * (self.coefficient / size)).to(v)
        return out


def penalty(coefficient: float, form: Form = "l2", decayed: Decayed = "all") -> L2 | NormSum:
    """Make a penalty by name.

    Parameters
    ----------
    coefficient
        ``lambda``; positive, as a form of nothing would have no effect.
    form
        ``"l2"``, `L2`, or ``"norms"``, `NormSum`.
    decayed
        ``"all"`` trainable parameters, or `matrices` only.

    Raises
    ------
    ValueError
        Names the choices.

    Examples
    --------
    >>> penalty(0.05, "norms", "matrices")
    NormSum(0.05, matrices)
    """
    for name, value, kind in (("form", form, Form), ("decayed", decayed, Decayed)):
        if value not in get_args(kind):
            raise ValueError(f"{name} is one of {', '.join(get_args(kind))}, not {value!r}")
    if not coefficient:
        raise ValueError(
            f"weight decay is {coefficient:g}, so its form ({form} on {decayed}) has no effect; "
            "give a positive weight decay"
        )
    mask = matrices if decayed == "matrices" else _all
    return L2(coefficient, mask) if form == "l2" else NormSum(coefficient, mask)


def _check(coefficient: float) -> None:
    if not 0 <= coefficient < math.inf:
        raise ValueError(f"weight decay must be 0 or a positive number, got {coefficient:g}")


def _told(term: L2 | NormSum) -> str:
    """Name a term as settings store it: the same text in every run, no address in memory."""
    mask: Any = term.decayed
    on = getattr(mask, "__name__", type(mask).__name__).lstrip("_")
    return f"{type(term).__name__}({term.coefficient:g}, {on})"


def _norm(value: Tensor) -> Tensor:
    return torch.linalg.vector_norm(value, dtype=torch.float64)


def _total(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum() if terms else torch.zeros((), dtype=torch.float64)
