"""Repeatable batches: every pass sees the same examples, or the answer is of no operator."""

import random
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from landscape.subject.objective import Batches

_ASKED = 16  # images that are shown twice: what is drawn for each shows in some of them


def freeze(
    loader: Iterable[tuple[Tensor, Tensor]], n: int | None = None, seed: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Draw the batches of a loader once and keep them.

    Shuffling, augmentation and mixup are drawn here, under ``seed``, and never again; the global
    random generators are put back.

    Parameters
    ----------
    loader
        Yields ``(inputs, targets)``.
    n
        Keep that many examples; the last batch is cut. All unless given.
    seed
        Of torch, NumPy and Python while drawing. (Worker processes of a ``DataLoader`` seed
        themselves from torch's.)

    Returns
    -------
    list of (Tensor, Tensor)

    Raises
    ------
    ValueError
        If the loader has fewer than ``n`` examples, or none.

    Examples
    --------
    >>> data = torch.utils.data.TensorDataset(torch.arange(5.0), torch.arange(5))
    >>> loader = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True)
    >>> [len(x) for x, _ in freeze(loader, n=3)]
    [2, 1]
    """
    python, array = random.getstate(), np.random.get_state()  # noqa: NPY002
    kept: list[tuple[Tensor, Tensor]] = []
    count = 0
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            for inputs, targets in loader:
                room = len(inputs) if n is None else min(len(inputs), n - count)
                if room <= 0:
                    break
                kept.append((inputs[:room].clone(), targets[:room].clone()))
                count += room
        finally:
            random.setstate(python)
            np.random.set_state(array)  # noqa: NPY002
    if not count or (n is not None and count < n):
        raise ValueError(f"the loader has {count} examples, {n or 'some'} are needed")
    return kept


def check(batches: Batches) -> list[tuple[Tensor, Tensor]] | Batches:
    """Refuse batches that no analyzer can use; return them unchanged.

    Raises
    ------
    TypeError
        If they can be read only once, or an item is no pair of tensors.
    ValueError
        If one is empty, its parts differ in length, or holds a number that is not finite.
    """
    if isinstance(batches, Iterator):
        raise TypeError(
            "batches can be read only once (a generator or iterator); pass a list, or "
            "landscape.freeze(loader)"
        )
    empty = True
    for index, item in enumerate(batches):
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise TypeError(f"batch {index} is not a pair (inputs, targets)")
        inputs, targets = item
        if not (isinstance(inputs, Tensor) and isinstance(targets, Tensor)):
            raise TypeError(f"batch {index} does not hold tensors")
        if len(inputs) != len(targets) or len(inputs) == 0:
            raise ValueError(f"batch {index} has {len(inputs)} inputs and {len(targets)} targets")
        for name, part in (("inputs", inputs), ("targets", targets)):
            if part.is_floating_point() and not torch.isfinite(part).all():
                bad = int((~torch.isfinite(part)).sum())
                raise ValueError(f"the {name} of batch {index} hold {bad} NaN or infinite numbers")
        empty = False
    if empty:
        raise ValueError("there is no batch")
    return batches


@torch.no_grad()
def check_repeatable(model: nn.Module, batches: Batches) -> None:
    """Refuse data or a network that answer differently when asked twice.

    A shuffling or augmenting loader, dropout or stochastic depth would make every product of a
    Lanczos run one with another matrix.

    Raises
    ------
    TypeError
        If the batches can be read only once.
    ValueError
        If a second pass over the data, or over the outputs of its first images, differs.
    """
    check(batches)
    if not isinstance(batches, list | tuple):
        for index, (one, two) in enumerate(zip(batches, batches, strict=False)):
            if not all(
                a.shape == b.shape and torch.equal(a, b) for a, b in zip(one, two, strict=True)
            ):
                raise ValueError(
                    f"batch {index} differs between two passes: shuffling or random augmentation; "
                    "pass landscape.freeze(loader)"
                )
    inputs = next(iter(batches))[0]
    where = next(model.parameters(), inputs)
    inputs = inputs[:_ASKED].to(where.device)
    first, second = _outputs(model, inputs), _outputs(model, inputs)
    if not torch.allclose(first, second, rtol=1e-5, atol=1e-6, equal_nan=True):
        raise ValueError(
            "the network answers differently when asked twice (dropout, stochastic depth, or batch "
            "statistics that move): use model.eval() or fix its randomness"
        )


def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    outputs = model(inputs)
    if not isinstance(outputs, Tensor):
        raise TypeError(f"the network returns {type(outputs).__name__}, not one tensor of outputs")
    return outputs


def check_finite(model: nn.Module) -> None:
    """Refuse a network whose weights or buffers hold NaN or inf; names the tensor."""
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            bad = int((~torch.isfinite(value)).sum())
            if bad:
                raise ValueError(f"'{name}' holds {bad} NaN or infinite numbers of {value.numel()}")
