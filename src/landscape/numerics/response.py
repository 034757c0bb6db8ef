r"""Frequency responses of linear operations on maps: kernels, attention matrices, plane waves.

Frequencies are in units of pi radians per sample of the map's own grid, as in `spectrum2d`. A gain
is a ratio of powers per position: what an operation makes of a wave of mean square 1. The
high-low ratio (HLR) compares the mean gain over high frequencies, ``|w| >= 0.5`` with the corners,
with that over low ones, ``0 < |w| <= 0.25``, or over the lowest of a grid that has none so low.
Zero frequency (DC) is apart.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

LOW, HIGH = 0.25, 0.5
_TINY = 1e-9
_CHUNK = 1 << 24  # entries of attention matrices that are transformed at a time


def radius(h: int, w: int) -> Tensor:
    """Radius ``|w|`` of every frequency of an ``h x w`` grid, float64 ``(h, w)``, DC first."""
    y = torch.fft.fftfreq(h, dtype=torch.float64) * 2
    x = torch.fft.fftfreq(w, dtype=torch.float64) * 2
    return torch.hypot(y[:, None], x[None, :])


def rings(h: int, w: int, count: int = 4) -> Tensor:
    """Masks ``(count + 1, h, w)`` of ``count`` rings up to radius 1, and of the corners beyond.

    Together they are every frequency but zero. The first ``count // 4`` are the low ones and those
    from ``count // 2`` on the high ones: a grid whose lowest frequency is higher has it in the
    first ring. A ring may be empty.

    Raises
    ------
    ValueError
        If the count is no multiple of 4: low and high end at quarters.

    Examples
    --------
    >>> rings(8, 8).sum((1, 2)).tolist(), rings(4, 4).sum((1, 2)).tolist()
    ([4, 4, 16, 22, 17], [4, 0, 4, 2, 5])
    """
    if count < 4 or count % 4:
        raise ValueError(f"bands must be a multiple of 4, got {count}")
    r = radius(h, w)
    ends = torch.arange(1, count, dtype=torch.float64) / count
    # an end belongs to the ring below it, but for those from the high band on
    below = torch.where(ends < HIGH, ends + _TINY, ends - _TINY)
    number = torch.bucketize(r, torch.cat([below, torch.tensor([1 + _TINY])]))
    positive = r[r > 0]
    if len(positive):
        number[r <= positive.min() + _TINY] = number[r <= positive.min() + _TINY].clamp_max(0)
    number[r == 0] = -1
    return number == torch.arange(count + 1)[:, None, None]


def by_ring(gains: Tensor, count: int = 4) -> Tensor:
    """Mean of gains ``(..., h, w)`` over each ring, ``(..., count + 1)``; NaN for an empty one."""
    h, w = gains.shape[-2:]
    mask = rings(h, w, count).flatten(1).to(gains)
    size = mask.sum(1)
    total = gains.flatten(-2) @ mask.T
    return torch.where(size > 0, total / size.clamp_min(1), torch.nan)


def low_high(gains: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean gain over low and over high frequencies, from the means over rings.

    Parameters
    ----------
    gains
        ``(..., rings)``; NaN where a ring is empty.
    sizes
        Frequencies of each ring, ``(rings,)``.

    Examples
    --------
    >>> low_high(torch.tensor([1.0, 9.0, 2.0, 4.0, torch.nan]), torch.tensor([4, 8, 3, 1, 0]))
    (tensor(1.), tensor(2.5000))
    """
    count = gains.shape[-1] - 1
    known = torch.where(sizes > 0, gains, 0.0) * sizes
    low, high = slice(0, count // 4), slice(count // 2, None)
    return (
        known[..., low].sum(-1) / sizes[low].sum(),
        known[..., high].sum(-1) / sizes[high].sum(),
    )


def decibel(power: Tensor) -> Tensor:
    """``10 log10`` of a ratio of powers; -inf for 0."""
    return 10 * torch.log10(power)


def kernel_power(weight: Tensor, h: int, w: int, dilation: Sequence[int] = (1, 1)) -> Tensor:
    r"""Mean over pairs of channels of ``|H(w)|^2`` of a convolution, float64 ``(h, w)``.

    ``H_oi(w) = sum_t k_oi(t) exp(-i w t)``, exact, on the frequencies of an ``h x w`` grid.
    Computed as ``e* G e`` from the Gram matrix ``G`` of the taps, however many channels there are.

    Parameters
    ----------
    weight
        ``(out, in / groups, kh, kw)``.

    Examples
    --------
    A 2x2 box blur is ``cos(wx / 2) cos(wy / 2)``:

    >>> box = torch.full((1, 1, 2, 2), 0.25, dtype=torch.float64)
    >>> kernel_power(box, 4, 4).sqrt()[0]
    tensor([1.0000e+00, 7.0711e-01, 6.1232e-17, 7.0711e-01], dtype=torch.float64)
    """
    kh, kw = weight.shape[-2:]
    flat = weight.detach().double().cpu().reshape(-1, kh * kw)
    gram = (flat.T @ flat / len(flat)).to(torch.complex128)
    waves = [
        torch.exp(-2j * torch.pi * torch.outer(d * torch.arange(k), torch.arange(n).double() / n))
        for k, n, d in zip((kh, kw), (h, w), dilation, strict=True)
    ]
    basis = torch.einsum("ah,bw->abhw", *waves).reshape(kh * kw, h * w)
    return (basis.conj() * (gram @ basis)).sum(0).real.clamp_min(0).view(h, w)


def beyond(h: int, w: int, stride: Sequence[float]) -> Tensor:
    """Frequencies above the Nyquist frequency of the grid after subsampling, bool ``(h, w)``.

    They fold onto lower ones. A frequency that is just the Nyquist frequency does not.

    Examples
    --------
    >>> beyond(4, 1, (2, 1)).flatten().tolist()
    [False, False, True, False]
    """
    y = torch.fft.fftfreq(h, dtype=torch.float64).abs() * 2
    x = torch.fft.fftfreq(w, dtype=torch.float64).abs() * 2
    return (y > 1 / stride[0] + _TINY)[:, None] | (x > 1 / stride[1] + _TINY)[None, :]


def alias_share(power: Tensor, stride: Sequence[int]) -> Tensor:
    r"""Share of the power after subsampling that comes from frequencies above its Nyquist.

    Of a filter with ``|H|^2 = power`` ``(h, w)`` before it and a white input. The aliases of a
    frequency do not correlate then, so that the power at ``u`` of the output is the mean of
    ``|H|^2`` over the ``s^2`` frequencies that fold onto ``u``. DC is left out.

    Examples
    --------
    Without a filter, three of four frequencies; a filter that stops the upper half, none:

    >>> alias_share(torch.ones(64, 64), (2, 2)).item() > 0.7
    True
    >>> alias_share((~beyond(64, 64, (2, 2))).double(), (2, 2)).item()
    0.0
    """
    power = power.clone()
    h, w = power.shape[-2:]
    power[..., 0, 0] = 0.0
    folded = (power * beyond(h, w, stride).to(power)).sum((-2, -1))
    return folded / power.sum((-2, -1))


def attention_response(
    weights: Tensor,
    queries: tuple[int, int],
    keys: tuple[int, int],
    count: int = 4,
) -> dict[str, Tensor]:
    r"""What attention matrices make of plane waves over their keys.

    With ``e_w(k) = exp(i w k)``, the gain at ``w`` is the mean square of ``A e_w`` about its mean.

    Parameters
    ----------
    weights
        ``(..., n, m)`` between the places of two grids, row by row. Rows need not sum to 1.
    queries, keys
        The grids.
    count
        Of rings.

    Returns
    -------
    dict
        ``gain`` ``(..., count + 1)`` from AC to AC in every ring, ``dc`` from DC to DC, ``leak``
        from DC to AC, all powers per position; ``diagonal`` and ``total``: their ratio is the
        shift-invariant share, the diagonal of ``F A F*`` in all of it, without DC (NaN if the grids
        differ). Float64.

    Examples
    --------
    Uniform attention keeps nothing but DC:

    >>> found = attention_response(torch.full((16, 16), 1 / 16), (4, 4), (4, 4))
    >>> found["dc"].item(), bool(found["gain"].nan_to_num().abs().max() < 1e-12)
    (1.0, True)
    """
    lead, (n, m) = weights.shape[:-2], weights.shape[-2:]
    if (n, m) != (queries[0] * queries[1], keys[0] * keys[1]):
        raise ValueError(f"a {n}x{m} matrix is not from a {keys} grid to a {queries} grid")
    flat = weights.reshape(-1, n, m)
    step = max(_CHUNK // (n * m), 1)
    parts = [_responses(part, queries, keys, count) for part in flat.split(step)]
    return {
        k: torch.cat([p[k] for p in parts]).unflatten(0, lead) if lead else parts[0][k][0]
        for k in parts[0]
    }


def _responses(
    weights: Tensor, queries: tuple[int, int], keys: tuple[int, int], count: int
) -> dict[str, Tensor]:
    waves = torch.fft.fft2(weights.unflatten(-1, keys))  # A e_w for -w, (b, n, *keys)
    power = waves.abs().square().mean(1).double()
    mean = waves.mean(1)
    gain = (power - mean.abs().square().double()).clamp_min(0)
    at_zero = weights.sum(-1).double()
    dc = at_zero.mean(1).square()
    total = gain.flatten(1)[:, 1:].sum(1)
    diagonal = torch.full_like(total, torch.nan)
    if queries == keys:
        y, x = (torch.arange(k, device=weights.device).double() for k in keys)
        turn = [torch.exp(2j * torch.pi * torch.outer(i, i) / len(i)) for i in (y, x)]
        # turns back by the phase of the wave at each query
        by_row = torch.einsum(
            "bijhw,ih,jw->bhw", waves.unflatten(1, keys), *(t.to(waves.dtype) for t in turn)
        )
        diagonal = (by_row / weights.shape[1]).abs().square().double().flatten(1)[:, 1:].sum(1)
    return {
        "gain": by_ring(gain, count),
        "dc": dc,
        "leak": (at_zero - at_zero.mean(1, keepdim=True)).square().mean(1),
        "diagonal": diagonal,
        "total": total,
    }


def band_noise(shape: Sequence[int], mask: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise whose spectrum lies inside a mask, of power 1 per position, float64.

    The mean over draws of ``|J e|^2`` is that over all waves of the mask and directions of channels
    (Hutchinson); so it is of ``|J e|^2 / |e|^2``, since length and direction are independent.

    Parameters
    ----------
    shape
        ``(b, c, h, w)``.
    mask
        Bool ``(h, w)``, the same at ``w`` and ``-w``, DC first.
    """
    noise = torch.randn(*shape, generator=generator, dtype=torch.float64)
    noise = torch.fft.ifft2(torch.fft.fft2(noise) * mask).real
    power = noise.square().sum(1, keepdim=True).mean((2, 3), keepdim=True)
    return noise / power.sqrt()


def plane_waves(
    shape: Sequence[int], mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Waves of a random frequency of a mask in a random direction of channels, one an image.

    Returns
    -------
    tuple of Tensor
        Real and imaginary part ``(b, c, h, w)``, float64, together of power 1 per position; rows
        and columns ``(b,)`` of the frequencies in the plane.
    """
    b, c, h, w = shape
    places = mask.flatten().nonzero().flatten()
    chosen = places[torch.randint(len(places), (b,), generator=generator)]
    ky, kx = chosen // w, chosen % w
    direction = torch.randn(b, c, 1, 1, generator=generator, dtype=torch.float64)
    direction = direction / direction.norm(dim=1, keepdim=True)
    turn = torch.rand(b, 1, 1, generator=generator, dtype=torch.float64)
    rows = ky[:, None, None] * torch.arange(h).double()[:, None] / h
    columns = kx[:, None, None] * torch.arange(w).double() / w
    phase = 2 * torch.pi * (rows + columns + turn)[:, None]
    return direction * phase.cos(), direction * phase.sin(), ky, kx
