"""Directions to slice along that come from something known: other weights, curvature, a path."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from landscape.subject.forward import trainable
from landscape.subject.penalty import Params
from landscape.subject.slices import checked, difference, orthogonalise, unflatten, weights
from landscape.subject.trajectory import Trajectory, principal

State = nn.Module | Mapping[str, Tensor]


def towards(model: nn.Module, *others: State) -> list[Params]:
    """Directions to other checkpoints: step 1 along one has its weights.

    Only parameters move. With ``batchnorm="recal:M"`` a network with BatchNorm has statistics that
    belong to its weights at each point; frozen ones are this network's also at step 1.

    Parameters
    ----------
    model
        Where step 0 is.
    others
        Networks of the same make, or their state dicts.

    Raises
    ------
    ValueError
        Naming the parameter that lacks, that this network lacks, whose shape differs, or that is
        not finite; or if nothing differs.

    Examples
    --------
    >>> import landscape, torch
    >>> a, b = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    >>> way = landscape.towards(a, b)
    >>> bool(torch.allclose(a.weight + way[0]["weight"], b.weight))
    True
    >>> data = [(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))]
    >>> line = landscape.surface(a, data, directions=way, points=5, span=(0.0, 1.0))
    """
    if not others:
        raise ValueError("towards what? Give a network or a state dict, or two for a plane")
    origin = trainable(model)
    names = _names("checkpoint", len(others))
    return [
        difference(origin, weights(model, _state(other, name), name), name)
        for other, name in zip(others, names, strict=True)
    ]


def eigenvectors(model: nn.Module, result: Any, count: int = 2) -> list[Params]:
    """Unit eigenvectors of the Hessian of the whole set, that of largest magnitude first.

    Along one the second derivative of the loss is its eigenvalue, if loss, examples and weight
    decay are those of the result.

    Parameters
    ----------
    model
        Which the result is of.
    result
        Of ``landscape.hessian(..., vectors=True)``. Parameters that did not vary there stay fixed.
    count
        How many: 1 for a line, 2 for a plane.

    Raises
    ------
    ValueError
        If the result has no or too few eigenvectors, if one has not converged, or if they do not
        fit the network.

    Examples
    --------
    >>> import landscape, torch
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> x, t = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> found = landscape.hessian(net, [(x, t)], k=1, loss=square, vectors=True)
    >>> landscape.eigenvectors(net, found, 1)[0]["weight"].abs().round(decimals=4)
    tensor([[1., 0.]])
    """
    if "set_vector" not in getattr(result, "data_vars", ()) or "weights" not in result.attrs:
        raise ValueError("the result has no eigenvectors; make it by hessian(..., vectors=True)")
    rows = result["set_vector"].values
    if not 1 <= count <= len(rows):
        raise ValueError(f"the result has {len(rows)} eigenvectors, so count is not {count}")
    for rank, good in enumerate(result["set_converged"].values[:count], 1):
        if not good:
            raise ValueError(
                f"eigenvector {rank} has not converged: raise max_products of hessian or lower "
                "count"
            )
    return unflatten(trainable(model), rows[:count], json.loads(result.attrs["weights"]))


def trajectory(model: nn.Module, checkpoints: Sequence[State], count: int = 2) -> Trajectory:
    """Plane of a path: its principal components, through the weights of a network.

    Parameters
    ----------
    model
        Through which the plane goes, usually the end of the path.
    checkpoints
        Networks or state dicts, in order; `towards` says what is refused.
    count
        How many components.

    Returns
    -------
    Trajectory
        ``directions``, orthogonal unit vectors, that of largest variance first; ``shares`` of the
        variance about the mean; ``coordinates`` of each checkpoint by least squares; ``residuals``,
        how far each lies off the plane: there the slice is not the loss of the checkpoint.

    References
    ----------
    Li et al. (2018), "Visualizing the Loss Landscape of Neural Nets", section 7.

    Examples
    --------
    >>> import landscape, torch
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> path = [{"weight": net.weight + torch.tensor([[0.0, t]])} for t in (4.0, 1.0, 0.0)]
    >>> found = landscape.trajectory(net, path, 1)
    >>> found.coordinates.abs().round(decimals=4).T
    tensor([[4., 1., 0.]], dtype=torch.float64)
    """
    names = _names("checkpoint", len(checkpoints))
    points = [
        weights(model, _state(each, name), name)
        for each, name in zip(checkpoints, names, strict=True)
    ]
    return principal(trainable(model), points, count)


def given(origin: Params, directions: Any) -> tuple[Params, ...]:
    """Check a caller's one or two directions; what they lack stays fixed.

    Examples
    --------
    >>> given({"w": Tensor([1.0]), "b": Tensor([1.0])}, [{"w": Tensor([2.0])}])
    ({'w': tensor([2.]), 'b': tensor([0.])},)
    """
    each = [directions] if isinstance(directions, Mapping) else list(directions)
    if not 1 <= len(each) <= 2 or not all(isinstance(d, Mapping) for d in each):
        raise ValueError(
            "directions is a scheme, or a list of one or two dicts of tensors by name, "
            f"not {len(each)} of {', '.join(sorted({type(d).__name__ for d in each})) or 'them'}"
        )
    names = _names("direction", len(each))
    return tuple(
        checked(origin, _tensors(d, name), name) for d, name in zip(each, names, strict=True)
    )


def square(first: Params, *others: Params) -> tuple[Params, ...]:
    """Turn the second of two directions to a right angle with the first; its norm stays.

    Examples
    --------
    >>> square({"w": Tensor([1.0, 0.0])}, {"w": Tensor([3.0, 4.0])})[1]
    {'w': tensor([0., 5.])}
    """
    if len(others) != 1:
        raise ValueError("orthogonal=True is for the two directions of a plane, not for a line")
    return first, orthogonalise(first, others[0])


def _names(what: str, count: int) -> list[str]:
    return [f"{what} {i}" if count > 1 else f"the {what}" for i in range(1, count + 1)]


def _state(source: State, where: str) -> dict[str, Tensor]:
    state = source.state_dict() if isinstance(source, nn.Module) else source
    if not isinstance(state, Mapping):
        raise ValueError(
            f"{where} must be a network or a state dict, not a {type(source).__name__}"
        )
    return _tensors(state, where)


def _tensors(found: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{where} must have a tensor for each name, but '{name}' has a "
                f"{type(value).__name__}"
            )
    return dict(found)
