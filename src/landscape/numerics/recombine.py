"""An image with the phases of one image and the amplitudes of another."""

import torch
from torch import Tensor


def recombine(phase: Tensor, amplitude: Tensor) -> Tensor:
    r"""Give the Fourier transform of one real image the magnitudes of another.

    ``F(k) = |B(k)| exp(i arg A(k))`` in every channel, zero frequency included: the mean comes with
    the amplitudes, its sign with the phases. Where ``A(k) = 0``, the phase is 0.

    Parameters
    ----------
    phase, amplitude
        Real images A and B, ``(..., h, w)``.

    Returns
    -------
    Tensor
        Real images of their shape.

    References
    ----------
    Oppenheim & Lim (1981), "The importance of phase in signals".

    Examples
    --------
    A wave is moved by its phase and as high as its amplitude:

    >>> grid = torch.arange(8, dtype=torch.float64) * torch.pi / 4
    >>> mixed = recombine(grid.sin().view(1, 8), 3 * grid.cos().view(1, 8))
    >>> torch.allclose(mixed, 3 * grid.sin().view(1, 8))
    True
    """
    size = phase.shape[-2:]
    if amplitude.shape[-2:] != size:
        told = " and ".join("x".join(map(str, x.shape[-2:])) for x in (phase, amplitude))
        raise ValueError(f"images of one size can be recombined, not of {told}")
    field = torch.polar(torch.fft.rfft2(amplitude).abs(), torch.fft.rfft2(phase).angle())
    return torch.fft.irfft2(field, s=size)
