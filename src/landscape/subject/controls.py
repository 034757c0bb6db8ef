"""Controls of the input: batches that lack one thing which an effect may be due to.

Each is a function ``(batches, seed)`` that gives new frozen batches of the same shapes and targets.
What it does to an image does not depend on how the images are cut into batches.

============  ===================================  ============================================
control       keeps                                loses
============  ===================================  ============================================
`shuffled`    the pixels of each image             where they are: the spectrum becomes white
`phase`       amplitude spectrum, mean colour      edges and shapes: all that phases align
`noise`       mean and variance of each channel    everything else
`constant`    the mean colour of each image        all variation but of borders and positions
============  ===================================  ============================================

The values of `phase` and `noise` can leave the range of pixels; the network gets them as they are.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from landscape.subject.objective import Batches

Frozen = list[tuple[Tensor, Tensor]]
Control = Callable[[Batches, int], Frozen]
INPUTS: dict[str, Control] = {}  #: by name, in the order of this file


def _control(function: Control) -> Control:
    INPUTS[function.__name__] = function
    return function


@_control
def shuffled(batches: Batches, seed: int = 0) -> Frozen:
    """Permute the pixels of each image, all channels alike, another permutation for each.

    Raises
    ------
    ValueError
        If the inputs are no images ``(b, c, h, w)``.

    Examples
    --------
    >>> image = torch.arange(4.0).view(1, 1, 2, 2)
    >>> shuffled([(image, torch.zeros(1))], seed=0)[0][0].sort().values.sum().item()
    6.0
    """
    generator = torch.Generator().manual_seed(seed)

    def move(image: Tensor) -> Tensor:
        order = torch.randperm(image[0].numel(), generator=generator).to(image.device)
        return image.flatten(1)[:, order].view_as(image)

    return _each(batches, move)


@_control
def phase(batches: Batches, seed: int = 0) -> Frozen:
    r"""Turn the phases of each image at random and keep the amplitudes.

    ``F_c(k) exp(i phi(k))`` with the phases ``phi`` of white noise, which are uniform and odd, so
    that the image stays real; one ``phi`` for all channels of an image, so that their relations
    stay, too (Prichard & Theiler 1994). ``phi(0) = 0``: the mean colour stays. In float64, then
    rounded to the dtype of the images.

    Raises
    ------
    ValueError
        If the inputs are no images ``(b, c, h, w)``.

    Examples
    --------
    >>> image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    >>> turned = phase([(image, torch.zeros(1))], seed=0)[0][0]
    >>> torch.allclose(torch.fft.fft2(turned).abs(), torch.fft.fft2(image).abs())
    True
    """
    generator = torch.Generator().manual_seed(seed)

    def turn(image: Tensor) -> Tensor:
        size = image.shape[-2:]
        white = torch.randn(size, generator=generator, dtype=torch.float64).to(image.device)
        field = torch.fft.rfft2(white)
        field = field / field.abs()
        field[0, 0] = 1
        return torch.fft.irfft2(torch.fft.rfft2(image.double()) * field, s=size).to(image)

    return _each(batches, turn)


@_control
def noise(batches: Batches, seed: int = 0) -> Frozen:
    """White Gaussian noise with the mean and standard deviation of the data in each channel.

    Over all images and positions; what was drawn is scaled to have both to rounding.

    Raises
    ------
    ValueError
        If the inputs are no images ``(b, c, h, w)``.

    Examples
    --------
    >>> image = torch.tensor([0.0, 2.0, 2.0, 0.0]).view(1, 1, 2, 2)
    >>> drawn = noise([(image, torch.zeros(1))], seed=0)[0][0]
    >>> round(drawn.mean().item(), 6), round(drawn.std(correction=0).item(), 6)
    (1.0, 1.0)
    """
    generator = torch.Generator().manual_seed(seed)
    mean, spread = _statistics(_each(batches, torch.Tensor.double))

    def draw(image: Tensor) -> Tensor:
        white = torch.randn(image.shape, generator=generator, dtype=torch.float64)
        return white.to(image.device)

    drawn = _each(batches, draw)
    own_mean, own_spread = _statistics(drawn)
    scale = torch.where(own_spread > 0, spread / own_spread, 0.0)
    return [
        (((white - own_mean) * scale + mean).to(inputs), targets)
        for (white, targets), (inputs, _) in zip(drawn, batches, strict=True)
    ]


@_control
def constant(batches: Batches, seed: int = 0) -> Frozen:
    """Give each image its own mean colour everywhere; nothing is drawn.

    Raises
    ------
    ValueError
        If the inputs are no images ``(b, c, h, w)``.

    Examples
    --------
    >>> image = torch.tensor([0.0, 2.0, 2.0, 0.0]).view(1, 1, 2, 2)
    >>> constant([(image, torch.zeros(1))])[0][0].flatten()
    tensor([1., 1., 1., 1.])
    """

    def flatten(image: Tensor) -> Tensor:
        colour = image.double().mean((1, 2), keepdim=True).to(image)
        return colour.expand_as(image).clone()

    return _each(batches, flatten)


def _each(batches: Batches, change: Callable[[Tensor], Tensor]) -> Frozen:
    """Change images one by one, in order, so that the cut into batches does not matter."""
    found = []
    for inputs, targets in batches:
        if inputs.ndim != 4:
            raise ValueError(
                f"controls of the input need images (b, c, h, w), not {tuple(inputs.shape)}"
            )
        found.append((torch.stack([change(image) for image in inputs]), targets))
    return found


def _statistics(batches: Frozen) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over the set, ``(c, 1, 1)`` each."""
    pixels = torch.cat([inputs.transpose(0, 1).flatten(1) for inputs, _ in batches], 1)
    mean, spread = pixels.mean(1), pixels.std(1, correction=0)
    return mean[:, None, None], spread[:, None, None]
