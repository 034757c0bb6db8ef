"""Networks on a line or plane through the weights, and their loss at points of it.

All points see the same examples, read once. Weights are written by one axpy a direction on a flat
buffer, whose views are the parameters; neither is ever copied, and the user's are never written to.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from landscape.subject.folding import Pair, folded, pairs
from landscape.subject.forward import Statistics, coupled, normalise, recalibrate, substitute
from landscape.subject.loss import Loss
from landscape.subject.objective import Batches, ravel, unravel
from landscape.subject.penalty import Params

_PIECE = 32  # examples that pass together: their maps stay in the cache of a core


@dataclass
class Plane:
    """``w + sum_i step_i d_i``: the weights at a point, and their norms in closed form.

    Attributes
    ----------
    origin
        The parameters that a direction may move, by name.
    directions
        One or two, by the same names; a name that lacks does not move.

    Examples
    --------
    >>> plane = Plane({"w": torch.tensor([3.0, 4.0])}, ({"w": torch.tensor([1.0, 0.0])},))
    >>> plane.at([1.0])["w"], plane.squares([[0.0], [1.0]])
    (tensor([4., 4.]), tensor([[25.],
            [32.]], dtype=torch.float64))
    """

    origin: Params
    directions: tuple[Params, ...]
    _flat: list[Tensor] = field(init=False, repr=False)
    _moving: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = [self.origin, *self.directions]
        zero = {n: torch.zeros_like(p) for n, p in self.origin.items()}
        self._flat = [ravel({n: row.get(n, zero[n]) for n in zero}) for row in rows]
        self._moving = torch.empty_like(self._flat[0])

    def at(self, step: Sequence[float]) -> Params:
        """Parameters at a point: views of one buffer, which the next call overwrites."""
        base, *moves = self._flat
        self._moving.copy_(base)
        for size, move in zip(step, moves, strict=True):
            self._moving.add_(move, alpha=size)
        return unravel(self._moving, self.origin)

    def squares(self, steps: Sequence[Sequence[float]]) -> Tensor:
        """Squared norm of each parameter tensor at each point, ``(points, tensors)``, float64.

        A quadratic form of six inner products a tensor, summed in float64.
        """
        parts = [unravel(flat, self.origin) for flat in self._flat]
        gram = torch.stack([_gram([part[name] for part in parts]) for name in self.origin])
        at = torch.as_tensor(steps, dtype=torch.float64).reshape(len(steps), -1)
        at = torch.cat([torch.ones(len(steps), 1, dtype=torch.float64), at], 1)
        return torch.einsum("pi,tij,pj->pt", at, gram, at).clamp_min(0)


def _gram(vectors: list[Tensor]) -> Tensor:
    wide = torch.stack([v.reshape(-1).double() for v in vectors]).cpu()
    return wide @ wide.T


@dataclass
class Gauge:
    """Loss and accuracy of a network with any weights, on examples that were read once.

    Attributes
    ----------
    model
        Any classifier, in eval mode.
    batches
        ``(inputs, targets)``; kept on the device of the weights.
    loss
        ``(outputs, targets)`` to one number per example.
    batchnorm
        ``"eval"``, the running statistics; ``"batch"``, those of each batch.
    recalibrated
        At each point first measure the statistics on that many examples, the first ones; 0: don't.
    """

    model: nn.Module
    batches: Batches
    loss: Loss
    batchnorm: Statistics = "eval"
    recalibrated: int = 0
    _items: list[tuple[Tensor, Tensor]] = field(init=False, repr=False)
    _first: Tensor | None = field(init=False, repr=False)
    _pairs: list[Pair] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        where = next(iter(self.model.parameters())).device
        every = [(x.to(where), y.to(where)) for x, y in self.batches]
        self._first = None
        if self.recalibrated:
            self._first = torch.cat([x for x, _ in every])[: self.recalibrated]
        size = None if coupled(self.model, self.batchnorm) else _PIECE
        self._items = [
            (_near(x), y)
            for inputs, targets in every
            for x, y in zip(
                inputs.split(size or len(inputs)), targets.split(size or len(inputs)), strict=True
            )
        ]
        with normalise(self.model, self.batchnorm):
            self._pairs = pairs(self.model, self._items[0][0][:2])

    @torch.no_grad()
    def measure(self, params: Params) -> tuple[float, float, float]:
        """Mean loss, its standard error over examples, accuracy; sums are float64.

        Accuracy is of the largest target where targets are soft, and NaN without classes.
        """
        losses, hits = [], []
        with self._posed(params):
            for inputs, targets in self._items:
                outputs = self.model(inputs)
                each = self.loss(outputs, targets)
                if each.shape != inputs.shape[:1]:
                    raise ValueError(
                        f"the loss must return one number per example, ({len(inputs)},), "
                        f"but returned {tuple(each.shape)}; use reduction='none'"
                    )
                losses.append(each.double())
                if outputs.ndim == 2:
                    labels = targets if targets.ndim == 1 else targets.argmax(1)
                    hits.append((outputs.argmax(1) == labels).double())
        every = torch.cat(losses)
        error = every.std() / len(every) ** 0.5 if len(every) > 1 else every.new_tensor(torch.nan)
        right = torch.cat(hits).mean() if hits else every.new_tensor(torch.nan)
        mean, error, right = torch.stack([every.mean(), error, right]).cpu().tolist()
        return mean, error, right

    @contextmanager
    def _posed(self, params: Params) -> Iterator[None]:
        with substitute(self.model, params), normalise(self.model, self.batchnorm):
            again = nullcontext() if self._first is None else recalibrate(self.model, self._first)
            with again, folded(self._pairs):
                yield


def _near(inputs: Tensor) -> Tensor:
    """Channels beside each other, which CPUs convolve faster."""
    last = torch.channels_last if inputs.ndim == 4 and inputs.is_floating_point() else None
    return inputs.contiguous(memory_format=last) if last else inputs.contiguous()
