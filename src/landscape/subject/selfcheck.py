"""Is the matrix what it claims to be? A few products and gradients tell before a long run.

Symmetry, linearity and repetition need products alone. Whether the product is the derivative of the
gradient is seen from gradients at three points of a line, in float64 and so close together that no
unit of a ReLU network switches between them: at the steps that float32 allows, thousands do, and
the finite difference is of another matrix than the Hessian.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from landscape.subject.objective import Batches, Objective, ravel, unravel
from landscape.subject.penalty import Params

#: how much larger than its own doubt a difference may be, tensor by tensor and in all
_DOUBTS, _CHANCE = 4.0, 0.1
#: root mean square of the weights below which a step goes by it: zeros have no size of their own
_LEAST = 0.01
#: how far products of two precisions may be apart: units at their kinks are on in one, off in other
_PRECISION = 0.1


@dataclass(frozen=True)
class Selfcheck:
    """Measured relative errors; all are near rounding for a sound matrix.

    Attributes
    ----------
    symmetry
        ``|<v, Hu> - <u, Hv>| / |Hv|`` for a random ``v`` and ``u = Hv / |Hv|``.
    linearity
        ``|H(v + bu) - Hv - bHu| / (|Hv| + |bHu|)``, the first of these products in ``dtype``.
    repeat
        ``|Hv - Hv'| / |Hv|`` of the same product, computed twice.
    curvature
        ``|Hw - dg| / |Hw|`` for the finite difference ``dg`` of the gradient along ``w = v + bu``,
        beyond what its own doubt explains.
    doubt
        The doubt of ``dg`` (kinks, rounding): how much the differences to both sides disagree,
        relative to ``|Hw|``. Above one half the finite difference says nothing.
    dtype
        In which ``Hw`` and the finite difference were computed.
    """

    symmetry: float
    linearity: float
    repeat: float
    curvature: float
    doubt: float
    dtype: str


def selfcheck(objective: Objective, params: Params | None = None, *, seed: int = 0) -> Selfcheck:
    """Refuse an objective whose products are not with the Hessian that they claim to be.

    Three products, and in float64, where the network allows that, another (two for other matrices
    than the Hessian) and three gradients; at ``params``, the network's own unless given. Where that
    says nothing, as at weights of zero that put units at their kinks, once more close by.

    Catches second derivatives that are wrong (of custom operations, through detached parts) by 1e-4
    of the product, or by some percent where float64 is not to be had; dropout; data that change
    from pass to pass; and networks that write to their buffers.

    Raises
    ------
    ValueError
        What failed and by how much.

    Examples
    --------
    >>> x, y = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> checked = selfcheck(Objective(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), [(x, y)]))
    >>> checked.symmetry < 1e-5, checked.dtype
    (True, 'float64')
    """
    params = objective.parameters() if params is None else params
    like = ravel(params)
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(like.numel(), generator=generator, dtype=torch.float64)
    v = (v / v.norm()).to(like)

    def product(vector: Tensor, of: Objective = objective) -> Tensor:
        return ravel(of.hvp(params, unravel(vector.to(like), params))).double()

    hv = product(v)
    _refuse(not torch.isfinite(hv).all(), "the Hessian-vector product is not finite")
    buffers = {n: b.clone() for n, b in objective.model.named_buffers()}  # caches are filled by now
    tolerance = 4 * torch.finfo(like.dtype).eps ** 0.5
    size = float(hv.norm())
    again = product(v)
    repeat = _ratio((again - hv).norm(), size)
    _refuse(
        repeat > tolerance,
        f"two equal products differ by {repeat:.1e} of their norm: dropout or stochastic depth is "
        "on (model.eval()), or the data change from pass to pass (landscape.freeze(loader))",
    )
    first, second = unravel(hv, params), unravel(again, params)
    gone = [n for n in params if first[n].any() and not second[n].any()]
    _refuse(
        gone,
        f"the first pass depends on '{gone[0] if gone else ''}' and the next does not: the network "
        "keeps what it computed from it",
    )
    u = hv / size if size else v.double().roll(1)
    hu = product(u)
    symmetry = _ratio(v.double() @ hu - u @ hv, size)
    _refuse(symmetry > tolerance, f"the matrix is not symmetric: {symmetry:.1e} of |Hv|")
    for name, value in objective.model.named_buffers():
        _refuse(
            name not in buffers or not _equal(value, buffers[name]),
            f"the network writes to its buffer '{name}' in the forward pass: use model.eval()",
        )
    b = size / float(hu.norm()) if hu.any() else 1.0
    if float((v.double() + b * u).norm()) < 0.1 * float(v.norm()):  # an eigenvector, falling
        b *= 2
    found = None
    aside = _aside(params, generator)
    attempts = [(torch.float64, params), (torch.float64, aside)]
    if like.dtype != torch.float64:
        attempts.append((like.dtype, params))
    for dtype, where in attempts:
        try:
            line = _along(_as(objective, dtype), _cast(where, dtype), v, hv, u, b * hu, b)
        except (RuntimeError, TypeError, ValueError):
            if dtype == like.dtype:
                raise
            continue  # a network that insists on its own dtype
        if where is aside and found is not None:
            line = replace(line, linearity=found.linearity)
        found = line if found is None or line.doubt < found.doubt else found
        if found.doubt < 0.5:
            break
    assert found is not None
    eps = torch.finfo(getattr(torch, found.dtype)).eps
    limit = tolerance if f"torch.{found.dtype}" == str(like.dtype) else _PRECISION
    _refuse(
        found.linearity > limit,
        f"products are not linear, or change with the precision: off by {found.linearity:.1e} of "
        "their norm",
    )
    _refuse(
        found.excess > eps**0.25 + _CHANCE * found.doubt,
        "the products are not with the derivative of the gradient: they differ by "
        f"{found.excess:.1e} of their norm, most at '{found.worst}' (a custom second derivative? a "
        "detached part?)",
    )
    return Selfcheck(symmetry, found.linearity, repeat, found.excess, found.doubt, found.dtype)


@dataclass(frozen=True)
class _Line:
    """What is found along ``w = v + bu``."""

    linearity: float
    excess: float
    doubt: float
    dtype: str
    worst: str


def _along(
    objective: Objective, params: Params, v: Tensor, hv: Tensor, u: Tensor, hbu: Tensor, b: float
) -> _Line:
    origin = ravel(params)
    w = v.to(origin) + b * u.to(origin)
    hw = ravel(objective.hvp(params, unravel(w, params))).double()
    linearity = _ratio((hw - hv - hbu).norm(), float(hv.norm() + hbu.norm()))
    if objective.matrix != "hessian":  # the finite difference is of the sum of both parts
        rest = replace(objective, matrix="residual" if objective.matrix == "ggn" else "ggn")
        hw = hw + ravel(rest.hvp(params, unravel(w, params))).double()
    # a step at which rounding is small beside the difference; truncation is smaller still
    size = max(float(origin.norm()), _LEAST * len(origin) ** 0.5)
    step = torch.finfo(origin.dtype).eps ** 0.58 * size / float(w.norm())

    def gradient(times: float) -> Tensor:
        moved = torch.add(origin, w, alpha=times * step)
        return ravel(objective.gradient(unravel(moved, params))).double()

    here, left, right = gradient(0.0), gradient(-1.0), gradient(2.0)
    back, ahead = (here - left) / step, (right - here) / (2 * step)
    # not symmetric about the middle: a kink right there would look the same from both sides
    errors, spreads = (2 * back + ahead) / 3 - hw, ahead - back
    doubts = {n: float(part.norm()) for n, part in unravel(spreads, params).items()}
    excess = {
        n: max(float(part.norm()) - _DOUBTS * doubts[n], 0.0)
        for n, part in unravel(errors, params).items()
    }
    total, doubt = (sum(x**2 for x in each.values()) ** 0.5 for each in (excess, doubts))
    size, dtype = float(hw.norm()), str(origin.dtype).removeprefix("torch.")
    worst = max(excess, key=excess.__getitem__)
    return _Line(linearity, _ratio(total, size), _ratio(doubt, size), dtype, worst)


def _aside(params: Params, generator: torch.Generator) -> Params:
    """Give a point close by, off the kinks at which zero weights put a ReLU network."""
    flat = ravel(params)
    noise = torch.randn(flat.numel(), generator=generator, dtype=torch.float64).to(flat)
    size = float(flat.norm()) / flat.numel() ** 0.5 or 1.0
    return unravel(flat + 1e-3 * size * noise, params)


@dataclass(frozen=True)
class _Batches:
    """The same batches in another dtype, one at a time."""

    batches: Batches
    dtype: torch.dtype

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for pair in self.batches:
            inputs, targets = (x.to(self.dtype) if x.is_floating_point() else x for x in pair)
            yield inputs, targets


def _as(objective: Objective, dtype: torch.dtype) -> Objective:
    if all(p.dtype == dtype for p in objective.parameters().values()):
        return objective
    model: nn.Module = copy.deepcopy(objective.model).to(dtype)
    return replace(objective, model=model, batches=_Batches(objective.batches, dtype))


def _cast(params: Params, dtype: torch.dtype) -> Params:
    return {n: p.to(dtype) for n, p in params.items()}


def _ratio(part: Tensor | float, whole: float) -> float:
    part = abs(float(part))
    return part / whole if whole else (0.0 if not part else torch.inf)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | (a != a)).all())


def _refuse(failed: object, message: str) -> None:
    if failed:
        raise ValueError(f"self-check: {message}")
