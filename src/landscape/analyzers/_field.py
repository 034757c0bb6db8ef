"""Gradients of the middle of a feature map by the pixels of the images: where it looks."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.numerics.fields import box, distances, products, radii, specificity, spread
from landscape.subject.probe import Tap, capture

SHARES = (0.5, 0.9)
_GROUP = 4  # images whose gradients are compared with each other


@dataclass
class Field:
    """What is known of the receptive field of one tap, gathered image by image."""

    grid: tuple[int, int]
    support: Tensor
    total: Tensor
    count: int = 0
    radii: list[Tensor] = field(default_factory=list)
    groups: list[Tensor] = field(default_factory=list)

    def middle(self) -> tuple[float, float]:
        """Row and column in the images of the middle of the map's central position."""
        sides = zip(self.grid, self.support.shape, strict=True)
        row, column = ((n // 2 + 0.5) * side / n - 0.5 for n, side in sides)
        return row, column

    def add(self, gradients: Tensor) -> None:
        """Take in ``(cotangents, b, c, h, w)`` of new images."""
        gradients = gradients.double()
        power = gradients.square().sum((0, 2))
        self.support |= (gradients != 0).any(0).any(0).any(0)
        mass = power.sum((1, 2), keepdim=True)
        seen = mass.flatten() > 0
        self.total += (power[seen] / mass[seen]).sum(0)
        self.count += int(seen.sum())
        h, w = self.support.shape
        where = distances(h, w, *self.middle())
        found = [radii(power, where, SHARES), spread(power, where)[:, None]]
        self.radii.append(torch.cat(found, 1).cpu())
        for part in gradients.flatten(2).transpose(0, 1).split(_GROUP):
            if len(part) > 1:
                self.groups.append(products(part).sum(-1).cpu())

    def measured(self) -> dict[str, NDArray[np.float64]]:
        """The numbers; radii ``(images, 3)``, NaN for an image without gradient."""
        h, w, cut = box(self.support)
        mean = (self.total / max(self.count, 1)).cpu()
        row, column = self.middle()
        y = (mean.sum(1) * torch.arange(len(mean))).sum() - row
        x = (mean.sum(0) * torch.arange(mean.shape[1])).sum() - column
        value, error = torch.tensor(torch.nan), torch.tensor(torch.nan)
        if self.groups:
            value, error = specificity(torch.stack(self.groups))
        none = np.nan if self.count == 0 else 1.0
        return {
            "side": np.array(float(max(h, w))),
            "share": np.array(float(self.support.double().mean())),
            "cut": np.array(float(cut)),
            "field": mean.numpy() * none,
            "offset": np.array(float(torch.hypot(y, x))) * none,
            "radii": torch.cat(self.radii).numpy(),
            "dead": np.array(sum(len(r) for r in self.radii) - self.count, float),
            "specificity": np.array([float(value), float(error)]),
        }


def fields(
    model: nn.Module,
    items: list[tuple[Tensor, Tensor]],
    taps: list[Tap],
    cotangents: int,
    seed: int,
    progress: Progress,
) -> list[Field]:
    """Receptive field of every tap; memory is that of the backward passes of one batch.

    The gradients are of ``v . y`` for the channels ``y`` in the middle of the map and random signs
    ``v``, the same for all images; their mean square over ``v`` is that of the whole Jacobian.
    """
    where = next(model.parameters(), items[0][0]).device
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # `untouched` puts it back; no gradient of it is needed
    found: dict[Tap, Field] = {}

    def middle(maps: Tensor) -> tuple[tuple[int, int], Tensor]:
        h, w = maps.shape[2:]
        return (h, w), maps[:, :, h // 2, w // 2].clone()

    for inputs, _ in progress(items, len(items), "Receptive fields"):
        images = inputs.to(where).detach().requires_grad_()
        with torch.enable_grad(), capture(model, taps, middle, graph=True) as live:
            model(images)
            heard = dict(live)
        for number, tap in enumerate(taps):
            grid, y = heard[tap]
            if tap not in found:
                blank = torch.zeros(images.shape[2:], dtype=torch.float64, device=where)
                found[tap] = Field(grid, blank.bool(), blank)
            if found[tap].grid != grid:
                raise ValueError(
                    f"tap {tap} has maps of {found[tap].grid} and of {grid}: all images must have "
                    "one size"
                )
            draw = np.random.default_rng([seed, number]).choice(
                [-1.0, 1.0], (cotangents, y.shape[1])
            )
            signs = torch.from_numpy(draw).to(y)
            found[tap].add(torch.stack([_gradient((y * v).sum(), images) for v in signs]))
    return [found[tap] for tap in taps]


def _gradient(value: Tensor, images: Tensor) -> Tensor:
    """Gradient by the images; zero for what was not made from them."""
    if not value.requires_grad:
        return torch.zeros_like(images)
    (found,) = torch.autograd.grad(
        value, images, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return found
