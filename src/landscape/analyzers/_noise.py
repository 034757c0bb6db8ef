"""Noise in bands of frequency, added to images in units of their pixels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from landscape.numerics.bands import rms, square_ring, unit, within
from landscape.subject.loss import cross_entropy

Norm = Literal["energy", "snr", "paper"]
STRENGTHS: dict[Norm, tuple[float, ...]] = {
    "energy": (0.05, 0.1, 0.2),
    "snr": (0.5, 1.0, 2.0),
    "paper": (0.35, 0.7, 1.4),
}
#: frequencies of Park & Kim's rings
CENTRES = tuple(round(0.1 * step, 1) for step in range(1, 10))


@dataclass(frozen=True)
class Pixels:
    """How inputs stand for pixels ``p`` in [0, 1]: ``x = (p - mean) / std``.

    Without mean and std the inputs are taken as they are, and there is no range to leave.
    """

    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    clip: bool

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None):
            raise ValueError("give mean and std both, or neither")
        if self.clip and self.mean is None:
            raise ValueError("clip needs mean and std: without them no pixel has a range")
        if self.std is not None and not all(0 < s < np.inf for s in self.std):
            raise ValueError(f"std must be positive numbers, got {self.std}")

    def _scales(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for name, values in (("mean", self.mean or (0.0,)), ("std", self.std or (1.0,))):
            if len(values) not in (1, inputs.shape[1]):
                raise ValueError(f"{name} has {len(values)} numbers for {inputs.shape[1]} channels")
            found.append(torch.tensor(values, dtype=torch.float64, device=inputs.device))
        mean, std = (value.view(1, -1, 1, 1) for value in found)
        return mean, std

    def read(self, inputs: Tensor) -> Tensor:
        """Pixels of inputs, float64."""
        mean, std = self._scales(inputs)
        return inputs.double() * std + mean

    def add(self, inputs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs with noise, and the share of the values of each image that left [0, 1]."""
        mean, std = self._scales(inputs)
        noisy = self.read(inputs) + noise
        if self.mean is None:
            outside = torch.full((len(inputs),), torch.nan, dtype=torch.float64)
        else:
            outside = ((noisy < 0) | (noisy > 1)).double().mean((1, 2, 3)).cpu()
        if self.clip:
            noisy = noisy.clamp(0, 1)
        return ((noisy - mean) / std).to(inputs.dtype), outside

    def unscaled(self, inputs: Tensor) -> Tensor:
        """Factors ``(1, c, 1, 1)`` from units of the inputs to those of pixels."""
        return self._scales(inputs)[1]


def white(inputs: Tensor, first: int, replicate: int, seed: int) -> Tensor:
    """Standard normal numbers for each image, told by its number; float64, the inputs' shape.

    The same for every network, batch size, band and strength.
    """
    drawn = [
        np.random.default_rng([seed, replicate, first + i]).standard_normal(inputs.shape[1:])
        for i in range(len(inputs))
    ]
    return torch.from_numpy(np.stack(drawn)).to(inputs.device)


def signs(inputs: Tensor, first: int, seed: int) -> Tensor:
    """A random sign for each channel of each image, ``(b, c, 1, 1)``."""
    drawn = [
        np.random.default_rng([seed, first + i, 1 << 20]).choice([-1.0, 1.0], inputs.shape[1])
        for i in range(len(inputs))
    ]
    return torch.from_numpy(np.stack(drawn)).to(inputs.device)[:, :, None, None]


@dataclass(frozen=True)
class Noise:
    """Noise of several strengths in each of several bands ``(bands, h, w)``."""

    norm: Norm
    masks: Tensor
    strengths: tuple[float, ...]
    replicates: int
    pixels: Pixels
    seed: int

    def fields(self, inputs: Tensor, first: int, replicate: int) -> Iterator[Tensor]:
        """Noise of strength 1 in each band, in units of pixels.

        ``"energy"``: root mean square 1 in every image. ``"snr"``: that of the image in the band.
        ``"paper"``: the sign of white noise in units of the inputs, through a mask, real part.
        """
        noise = white(inputs, first, replicate, self.seed)
        if self.norm == "paper":
            spectrum = torch.fft.fft2(noise.sign())
            for mask in self.masks.to(noise.device):
                yield torch.fft.ifft2(spectrum * mask).real * self.pixels.unscaled(inputs)
            return
        image = self.pixels.read(inputs)
        for mask in self.masks:
            field = unit(within(noise, mask))
            yield field * rms(within(image, mask)) if self.norm == "snr" else field

    def powers(self, inputs: Tensor) -> Tensor:
        """Mean square of each image in each band, ``(b, bands)``."""
        spectrum = torch.fft.fft2(self.pixels.read(inputs)).abs().square().mean(1).flatten(1)
        count = spectrum.shape[1]
        return spectrum @ self.masks.flatten(1).T.to(spectrum) / count**2


def squares(h: int, w: int, centres: Sequence[float], width: float) -> Tensor:
    """Square rings around the frequencies of Park & Kim, ``(bands, h, w)``."""
    return torch.stack([square_ring(h, w, centre, width) for centre in centres])


@torch.no_grad()
def score(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Whether each image is right, and its NLL: float64 ``(b, 2)``."""
    outputs = model(inputs)
    loss = cross_entropy(outputs, targets)
    classes = targets if targets.ndim == 1 else targets.argmax(1)
    return torch.stack([(outputs.argmax(1) == classes).double(), loss.double()], 1).cpu()


def size(items: list[tuple[Tensor, Tensor]]) -> tuple[int, int]:
    """Height and width that all images have."""
    shapes = {tuple(inputs.shape[1:]) for inputs, _ in items}
    if len(shapes) > 1 or any(len(shape) != 3 for shape in shapes):
        told = " and ".join(map(str, sorted(shapes)))
        raise ValueError(f"inputs must be images (c, h, w) of one size, got {told}")
    (_, h, w) = shapes.pop()
    return h, w


def checked(norm: Norm, strengths: tuple[float, ...] | None) -> tuple[float, ...]:
    """Strengths of the noise, those of the norm unless given."""
    if norm not in get_args(Norm):
        raise ValueError(f"norm is one of {', '.join(get_args(Norm))}, not {norm!r}")
    found = STRENGTHS[norm] if strengths is None else tuple(strengths)
    if not found or not all(0 < s < np.inf for s in found) or sorted(set(found)) != list(found):
        raise ValueError(f"strengths must be positive numbers that rise, got {found}")
    return found
