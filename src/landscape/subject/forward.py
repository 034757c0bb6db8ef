"""Run a network with other parameters and with chosen normalisation, and leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

Statistics = Literal["eval", "batch"]
_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


def trainable(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that require a gradient, by name, detached; tied ones once."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


@contextmanager
def substitute(model: nn.Module, params: dict[str, Tensor]) -> Iterator[None]:
    """Put tensors in the place of parameters; tied ones follow. May be nested.

    Unlike ``torch.func.functional_call`` it can last over the backward passes: a network with
    activation checkpoints runs forward again there, and would do so with its own parameters.

    Examples
    --------
    >>> net = nn.Linear(1, 1, bias=False)
    >>> with substitute(net, {"weight": Tensor([[3.0]])}):
    ...     net(Tensor([[2.0]]))
    tensor([[6.]])
    """
    own = dict(model.named_parameters())
    unknown = sorted(params.keys() - own.keys())
    if unknown:
        raise ValueError(f"the network has no parameter '{unknown[0]}'")
    other = {id(own[name]): value for name, value in params.items()}
    slots = [
        (module, key, value)
        for module in model.modules()
        for key, value in module._parameters.items()
        if id(value) in other
    ]
    try:
        for module, key, value in slots:
            module._parameters[key] = other[id(value)]  # type: ignore[assignment]
        yield
    finally:
        for module, key, value in slots:
            module._parameters[key] = value


@contextmanager
def normalise(model: nn.Module, by: Statistics) -> Iterator[None]:
    """Batch (and instance) normalisation by running statistics, or by those of the batch.

    No buffer is updated either way; a layer that tracks no statistics has only those of the batch.
    Nothing but the normalisation changes: dropout stays as it is.

    Examples
    --------
    >>> net = nn.BatchNorm1d(1, affine=False)
    >>> with normalise(net, "batch"):
    ...     net(Tensor([[1.0], [5.0]])).T.round()
    tensor([[-1.,  1.]])
    >>> net.running_mean
    tensor([0.])
    """
    layers = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    before = [(m, m.training, m._buffers.copy()) for m in layers]
    try:
        for layer in layers:
            layer.training = by == "batch"
            if by == "batch":  # without them there is nothing to update
                layer._buffers.update(dict.fromkeys(_RUNNING))
        yield
    finally:
        for layer, training, buffers in before:
            layer.training = training
            layer._buffers.update(buffers)


@contextmanager
def recalibrate(model: nn.Module, inputs: Tensor) -> Iterator[None]:
    """Batch normalisation by the statistics that these inputs have at the present weights.

    They are measured in one pass, in which each layer normalises by those of the inputs. The
    network's own buffers are neither read nor written, and stand again afterwards.

    Examples
    --------
    >>> net = nn.BatchNorm1d(1, affine=False)
    >>> with recalibrate(net, Tensor([[1.0], [5.0]])):  # unbiased variance 8
    ...     net(Tensor([[3.0], [11.0]])).T
    tensor([[0.0000, 2.8284]])
    """
    layers = [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    before = [(m, m.training, m.momentum, m._buffers.copy()) for m in layers]
    try:
        for layer in layers:
            layer.training, layer.momentum = True, 1.0
            layer._buffers.update(
                {n: b.clone() for n, b in layer._buffers.items() if b is not None}
            )
        model(inputs)
        for layer in layers:
            layer.training = False
        yield
    finally:
        for layer, training, momentum, buffers in before:
            layer.training, layer.momentum = training, momentum
            layer._buffers.update(buffers)


def coupled(model: nn.Module, by: Statistics) -> bool:
    """Whether the examples of a batch see each other: statistics are those of the batch."""
    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    return any(by == "batch" or not m.track_running_stats for m in layers)
