"""Which dimension of a parameter counts its filters; what a slice moves and what it holds fixed."""

from torch import Tensor, nn

from landscape.numerics.directions import filter_normalise, gaussian
from landscape.subject.penalty import Params


def filter_axes(model: nn.Module) -> dict[str, int | None]:
    """For each trainable parameter the dimension of its output filters; None: held fixed.

    Convolutions, linear layers, fused qkv and embeddings: 0; transposed convolutions: 1. Held
    fixed, as is usual for slices: vectors and scalars (biases, normalisation), and tables with a
    leading 1 (positions, class tokens).

    Examples
    --------
    >>> filter_axes(nn.Linear(2, 3))
    {'weight': 0, 'bias': None}
    """
    axes: dict[str, int | None] = {}
    owners = {id(p): m for m in model.modules() for p in m.parameters(recurse=False)}
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    for name, value in model.named_parameters():
        if not value.requires_grad:
            continue
        if value.ndim < 2 or value.shape[0] == 1:
            axes[name] = None
        else:
            axes[name] = 1 if isinstance(owners[id(value)], transposed) else 0
    if all(axis is None for axis in axes.values()):
        raise ValueError("no parameter has filters to move along: all are vectors or tables")
    return axes


def random_direction(params: Params, axes: dict[str, int | None], seed: int) -> Params:
    """Gaussian direction, filter-normalised; zero where ``axes`` says None."""

    def one(name: str, value: Tensor) -> Tensor:
        axis = axes[name]
        if axis is None:
            return value.new_zeros(value.shape)
        return filter_normalise(gaussian(name, value, seed), value, axis)

    return {name: one(name, value) for name, value in params.items()}
