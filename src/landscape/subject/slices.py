"""Directions of a slice that are given, not drawn; and what a pair of them is like.

Each is a tensor for every parameter, shaped, typed and placed like the origin's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.subject.forward import trainable
from landscape.subject.penalty import Params


def checked(origin: Params, direction: Params, where: str = "the direction") -> Params:
    """Return a direction of one's own; what it lacks stays fixed.

    Raises
    ------
    ValueError
        If a name or shape is not the network's, if a value is not finite, or if all are 0.

    Examples
    --------
    >>> origin = {"w": torch.ones(2), "b": torch.ones(1)}
    >>> checked(origin, {"w": torch.tensor([1, -1])})
    {'w': tensor([ 1., -1.]), 'b': tensor([0.])}
    """
    _fit(origin, direction, where)
    unknown = [name for name in direction if name not in origin]
    if unknown:
        raise ValueError(
            f"{where} moves '{unknown[0]}', which is no trainable parameter; the first of "
            f"{len(origin)} is '{next(iter(origin))}'"
        )
    found = {
        name: direction[name].detach().to(p, copy=True)
        if name in direction
        else torch.zeros_like(p)
        for name, p in origin.items()
    }
    _fit(origin, found, f"{where}, as {next(iter(origin.values())).dtype},")
    if not any(bool(d.any()) for d in found.values()):
        raise ValueError(f"{where} is zero everywhere: there is nothing to move along")
    return found


def weights(model: nn.Module, state: dict[str, Tensor], where: str = "the checkpoint") -> Params:
    """Trainable parameters of a state dict of the same network; tied ones once.

    Buffers are not among them: the statistics of BatchNorm do not move along a direction.

    Raises
    ------
    ValueError
        If it is of another network, has values that are not finite, or other frozen parameters.

    Examples
    --------
    >>> weights(nn.Linear(1, 1), {})
    Traceback (most recent call last):
    ...
    ValueError: the checkpoint is of another network: it lacks 'weight'
    """
    alias: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        alias.setdefault(id(p), []).append(name)
    unknown = sorted(state.keys() - model.state_dict().keys())
    if unknown:
        raise ValueError(f"{where} is of another network: it has '{unknown[0]}', which this lacks")
    found = {}
    for name, p in model.named_parameters():
        held = [state[other] for other in alias[id(p)] if other in state]
        if not held:
            raise ValueError(f"{where} is of another network: it lacks '{name}'")
        if any(not torch.equal(held[0], other) for other in held[1:]):
            raise ValueError(f"{where} has different values for '{name}', which this network ties")
        found[name] = held[0]
    _fit(dict(model.named_parameters()), found, where)
    own = trainable(model)
    for name, p in model.named_parameters():
        if name not in own and not torch.equal(found[name].to(p), p):
            raise ValueError(
                f"{where} differs in '{name}', which is frozen: a slice cannot reach it; "
                "set requires_grad_()"
            )
    return {name: found[name].detach().to(p, copy=True) for name, p in own.items()}


def difference(origin: Params, other: Params, where: str = "the checkpoint") -> Params:
    """Direction whose step 1 leads from the origin to other weights.

    Examples
    --------
    >>> difference({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([0.0, 4.0])})
    {'w': tensor([-1.,  2.])}
    """
    lost = [name for name in origin if name not in other]
    if lost:
        raise ValueError(f"{where} lacks '{lost[0]}'")
    _fit(origin, other, where)
    way = {n: (other[n].to(p.device).double() - p.double()).to(p) for n, p in origin.items()}
    return checked(origin, way, f"the difference to {where}")


def unflatten(
    origin: Params, rows: Any, layout: Sequence[tuple[str, Sequence[int]]]
) -> list[Params]:
    """Directions from flat vectors, as ``hessian(vectors=True)`` stores its eigenvectors.

    Parameters
    ----------
    rows
        ``(vectors, weights)``, an array or a tensor: ``result.set_vector.values``.
    layout
        Name and shape of each part in order: ``json.loads(result.attrs["weights"])``. Parameters
        that are not among them stay fixed.

    Examples
    --------
    >>> origin = {"w": torch.ones(1, 2), "b": torch.ones(1)}
    >>> unflatten(origin, torch.eye(3)[1:], [("b", [1]), ("w", [1, 2])])[0]["w"]
    tensor([[1., 0.]])
    """
    table = rows if isinstance(rows, Tensor) else torch.from_numpy(np.array(rows, np.float64))
    sizes = [int(np.prod(shape, dtype=int)) for _, shape in layout]
    if table.ndim != 2 or table.shape[1] != sum(sizes):
        raise ValueError(
            f"vectors of shape {tuple(table.shape)} do not fit (vectors, {sum(sizes)}), "
            "the weights of their layout"
        )
    found = []
    for number, row in enumerate(table):
        parts = zip(layout, row.split(sizes), strict=True)
        own = {name: part.reshape(tuple(shape)) for (name, shape), part in parts}
        found.append(checked(origin, own, f"vector {number}"))
    return found


def orthogonalise(first: Params, second: Params) -> Params:
    """Second direction without its part along the first, at its own norm.

    After normalisation, whose norms of filters this changes a little.

    Examples
    --------
    >>> orthogonalise({"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])})
    {'w': tensor([0., 5.])}
    """
    size = _inner(second, second) ** 0.5
    if _inner(first, first) == 0 or abs(abs(cosine(first, second)) - 1) < 1e-12 or size == 0:
        raise ValueError("the directions are zero or parallel: they span no plane")
    share = _inner(first, second) / _inner(first, first)
    rest = {n: d.double() - share * first[n].double() for n, d in second.items()}
    scale = size / _inner(rest, rest) ** 0.5
    return {n: (scale * d).to(second[n]) for n, d in rest.items()}


def cosine(*directions: Params) -> float:
    """Of the angle between two directions; NaN for a single one, or if one is zero.

    Examples
    --------
    >>> cosine({"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([3.0, 4.0])})
    0.6
    """
    if len(directions) != 2:
        return float("nan")
    rows = [torch.cat([d[name].reshape(-1) for name in directions[0]]) for d in directions]
    wide = torch.stack([row.double() for row in rows]).cpu()
    gram = wide @ wide.T
    size = float(gram[0, 0] * gram[1, 1]) ** 0.5
    return float(gram[0, 1]) / size if size else float("nan")


def _fit(origin: Params, other: Params, where: str) -> None:
    """Shapes of what both have, and finite values."""
    for name, value in other.items():
        if name in origin and value.shape != origin[name].shape:
            raise ValueError(
                f"{where} has '{name}' of shape {tuple(value.shape)} instead of "
                f"{tuple(origin[name].shape)}"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{where} has values in '{name}' that are NaN or infinite")


def _inner(first: Params, second: Params) -> float:
    return sum(float((d.double() * second[n].double()).sum()) for n, d in first.items())
