"""A user's network is a guest: whatever an analyzer does, it leaves as it came."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[nn.Module]:
    """Restore everything on leaving: also on an exception and on Ctrl-C.

    Weights, buffers (persistent or not), which tensors they are, training modes, ``requires_grad``,
    gradients, hooks, and the random generators of torch, NumPy and Python.

    Examples
    --------
    >>> net = nn.Linear(1, 1)
    >>> before = net.weight.item()
    >>> with untouched(net):
    ...     _ = net.eval(), nn.init.zeros_(net.weight)
    >>> net.training, net.weight.item() == before
    (True, True)
    """
    rooms = [_Room(module) for module in model.modules()]
    tensors = {id(t): _Held(t) for room in rooms for t in room.tensors()}
    generators = _generators()
    try:
        yield model
    finally:
        for room in rooms:
            room.restore()
        for held in tensors.values():
            held.restore()
        _set_generators(generators)


class _Room:
    """A module's own slots: which tensors, which children, which hooks, which mode."""

    _SLOTS = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.training = module.training
        self.slots = {
            name: (value, value.copy())
            for name, value in vars(module).items()
            if name in self._SLOTS or (name.endswith("_hooks") and isinstance(value, dict))
        }

    def tensors(self) -> Iterator[Tensor]:
        for name in ("_parameters", "_buffers"):
            yield from (t for t in self.slots[name][1].values() if t is not None)

    def restore(self) -> None:
        self.module.training = self.training
        for name, (value, copy) in self.slots.items():
            value.clear()
            value.update(copy)
            vars(self.module)[name] = value


class _Held:
    """A tensor's content, flag and gradient."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.content = tensor.detach().clone()
        self.flag = tensor.requires_grad
        self.grad = tensor.grad if tensor.is_leaf else None
        self.grad_content = None if self.grad is None else self.grad.detach().clone()

    def restore(self) -> None:
        tensor = self.tensor
        if not torch.equal(tensor.detach(), self.content):  # NaN is unequal, and copied: fine
            tensor.data.copy_(self.content)
        if tensor.is_leaf:
            tensor.requires_grad_(self.flag)
            if self.grad is not None and self.grad_content is not None:
                self.grad.data.copy_(self.grad_content)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad


def _generators() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), cuda, np.random.get_state(), random.getstate()  # noqa: NPY002


def _set_generators(state: tuple[Any, ...]) -> None:
    cpu, cuda, array, python = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)
    np.random.set_state(array)  # noqa: NPY002
    random.setstate(python)
