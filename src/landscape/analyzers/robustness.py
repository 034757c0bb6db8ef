"""Accuracy under noise of one band of frequencies, and under Fourier basis images."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._controls import OF_MODELS, controlled
from landscape.analyzers._labelled import averaged, label
from landscape.analyzers._noise import (
    CENTRES,
    Noise,
    Norm,
    Pixels,
    checked,
    score,
    signs,
    size,
    squares,
)
from landscape.numerics.bands import conjugate, edges, plane, radius, rings, rms, wave
from landscape.result import Result
from landscape.subject.objective import Batches

_FREQUENCY = {"long_name": "frequency", "units": "π rad/sample"}
_RATIO = "RMS of the noise / RMS of the image in the band"
_STRENGTH = {
    "energy": {"long_name": "RMS of the noise", "units": "pixel range"},
    "snr": {"long_name": _RATIO, "units": "1"},
    "paper": {"long_name": "noise amplitude before the filter", "units": "normalised input"},
}


@analyzer
def robustness(
    model: nn.Module,
    batches: Batches,
    *,
    norm: Norm = "energy",
    bands: int | tuple[float, ...] | None = None,
    strengths: tuple[float, ...] | None = None,
    replicates: int = 1,
    width: float = 0.1,
    clip: bool = False,
    heat: int = 0,
    heat_strength: float = 0.1,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    controls: Sequence[str] = (),
    twins: Sequence[nn.Module] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Measure accuracy and NLL under noise of one band of frequencies at a time.

    White Gaussian noise is filtered by the ring of the band in the 2-D Fourier plane and scaled in
    each image. Zero frequency is in no band, so the mean of a channel never moves. Noise is drawn
    for each image by its number: all bands, strengths and networks see the same white noise, and
    the drop is paired image by image.

    It is added to pixels ``p`` in [0, 1], where inputs are ``(p - mean) / std``. Without ``mean``
    and ``std`` it is added to the inputs, in their units.

    Parameters
    ----------
    model
        Any classifier of images.
    batches
        Re-iterable ``(inputs, targets)``, inputs ``(b, c, h, w)`` of one size.
    norm
        ``"energy"``: the noise of every band has one L2 norm, ``strength sqrt(c h w)``, in every
        image. ``"snr"``: ``strength`` times the L2 norm that the image itself has in the band,
        which falls with frequency. ``"paper"``: that of Park & Kim's code, for replication:
        ``strength`` times the sign of the noise, in units of the inputs, through a square ring
        ``width`` wide that is not symmetric, and the real part; its energy grows with frequency.
    bands
        How many rings of one width up to the Nyquist frequency, to which the corners beyond are
        added; or the edges of rings, in pi rad/sample. By default 8, or as many as the images
        have. Not for ``norm="paper"``, whose rings are around 0.1, 0.2, ... 0.9.
    strengths
        By default 0.05, 0.1, 0.2 (energy), 0.5, 1, 2 (snr), 0.35, 0.7, 1.4 (paper).
    replicates
        Draws of the noise for each image.
    width
        Of the square rings of ``norm="paper"``, in pi rad/sample.
    clip
        Clip noisy pixels to [0, 1]. This spreads the noise over other bands.
    heat
        Also the error under single Fourier basis images: at so many frequencies along each axis,
        an odd number, evenly from minus to plus Nyquist. 0: none.
    heat_strength
        Root mean square of a basis image over channels and pixels, as of the noise; each channel
        of each image gets a random sign.
    mean, std
        Of each channel, by which the inputs were normalised.
    controls, twins
        Also measure ``"untrained"`` twins of the network, or the network with ``"uniform"`` or
        ``"mean"`` attention, as in `landscape.fourier`. Other images have no labels to be lost.
    seed
        Of the noise.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``strength`` and ``band``: ``accuracy``, ``nll``; ``accuracy_drop`` and
        ``nll_increase`` against clean images; ``noise_rms``, of the noise as added, and
        ``outside``, the share of the values outside [0, 1] before any clipping (NaN without
        ``mean``). Over ``band``: ``image_rms``, what the images have there. Over ``strength``:
        ``slope``, of the accuracy drop by frequency, the mean over images of least squares.
        ``clean_accuracy``, ``clean_nll``. ``replicate_accuracy`` and ``replicate_nll``, also over
        ``replicate``. ``heat_error`` over ``vertical`` and ``horizontal`` on request. Standard
        errors ``_se`` are over images, each with the mean of its replicates. Coordinates of a
        band: ``frequency``, its mean radius, also in ``cycles`` per pixel; ``lower``, ``upper``.
        Under controls ``control_...`` over ``control``, too.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?", figure 2b. Yin et al. (2019), "A Fourier
    Perspective on Model Robustness in Computer Vision" (L2 norm 4 for each channel of CIFAR images
    is strength 0.125).

    Examples
    --------
    The mean of an image does not feel this noise:

    >>> import landscape, torch
    >>> net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    >>> images = torch.rand(6, 3, 8, 8, dtype=torch.float64)
    >>> result = landscape.robustness(net, [(images, net(images).argmax(1))])
    >>> bool(result.accuracy_drop.any()), result.sizes["band"]
    (False, 5)
    """
    measure = partial(
        _measure,
        norm=norm,
        bands=bands,
        strengths=strengths,
        replicates=replicates,
        width=width,
        pixels=Pixels(mean, std, clip),
        heat=heat,
        heat_strength=heat_strength,
        seed=seed,
    )
    return controlled(measure, model, batches, controls, twins, seed, progress, choices=OF_MODELS)


def _measure(
    model: nn.Module,
    batches: Batches,
    *,
    norm: Norm,
    bands: int | tuple[float, ...] | None,
    strengths: tuple[float, ...] | None,
    replicates: int,
    width: float,
    pixels: Pixels,
    heat: int,
    heat_strength: float,
    seed: int,
    progress: Progress,
) -> xr.Dataset:
    items = list(batches)
    h, w = size(items)
    strengths = checked(norm, strengths)
    for name, value in (("width", width), ("heat_strength", heat_strength)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} must be a positive number, got {value}")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1, got {replicates}")
    masks, middle, ends = _bands(norm, h, w, bands, width)
    grid = ([], []) if heat == 0 else (plane(h, heat), plane(w, heat))
    names = [[conjugate(row, column, h, w) for column in grid[1]] for row in grid[0]]
    waves = sorted({name for line in names for name in line})
    noise = Noise(norm, masks, strengths, replicates, pixels, seed)
    scores: dict[Any, list[Tensor]] = {}
    each = 2 + replicates * len(masks) * len(strengths) + len(waves)
    answers = _answers(model, items, noise, waves, heat_strength)
    for place, values in progress(answers, each * len(items), "Robustness"):
        scores.setdefault(place, []).append(values.cpu())
    table = {place: torch.cat(parts).numpy() for place, parts in scores.items()}
    clean, image = table["clean"], table["image"]
    every = np.stack(
        [
            np.stack([[table[r, s, b] for b in range(len(masks))] for s in range(len(strengths))])
            for r in range(replicates)
        ]
    )  # (replicate, strength, band, image, what)
    field = ("strength", "band")
    one = every.mean(0)
    data = averaged("accuracy", field, one[..., 0], "accuracy")
    data |= averaged("accuracy_drop", field, clean[:, 0] - one[..., 0], "loss of accuracy")
    data |= averaged("nll", field, one[..., 1], "negative log-likelihood", "nats")
    rise = one[..., 1] - clean[:, 1]
    data |= averaged("nll_increase", field, rise, "increase of the NLL", "nats")
    sizes = np.sqrt(one[..., 2].mean(-1))
    data["noise_rms"] = (field, sizes, label("RMS of the noise", "pixel range"))
    share = one[..., 3].mean(-1)
    data["outside"] = (field, share, label("share of the values outside [0, 1]"))
    own = np.sqrt(image.mean(0))
    data["image_rms"] = ("band", own, label("RMS of the images in the band", "pixel range"))
    if len(middle) > 1:
        weights = (middle - middle.mean()) / ((middle - middle.mean()) ** 2).sum()
        slopes = np.einsum("sbi,b->si", clean[:, 0] - one[..., 0], weights)
        about = "slope of the loss of accuracy by frequency"
        data |= averaged("slope", "strength", slopes, about, "1 / (π rad/sample)")
    data |= averaged("clean_accuracy", (), clean[:, 0], "accuracy on clean images")
    data |= averaged("clean_nll", (), clean[:, 1], "NLL of clean images", "nats")
    dims = (*field, "replicate")
    for i, (name, units) in enumerate((("accuracy", "1"), ("nll", "nats"))):
        of = np.moveaxis(every[..., i].mean(-1), 0, -1)
        data[f"replicate_{name}"] = (dims, of, label(f"{name} of each draw of the noise", units))
    if waves:
        errors = np.stack([[1 - table["heat", *n][:, 0] for n in line] for line in names])
        data |= averaged("heat_error", ("vertical", "horizontal"), errors, "error")
    coords = _coordinates(norm, strengths, replicates, middle, ends)
    for axis, n, steps in (("vertical", h, grid[0]), ("horizontal", w, grid[1])):
        if heat:
            named = _FREQUENCY | {"long_name": f"{axis} frequency"}
            coords[axis] = (axis, np.array(steps) * 2 / n, named)
    return xr.Dataset(data, coords)


def _bands(
    norm: Norm, h: int, w: int, bands: int | tuple[float, ...] | None, width: float
) -> tuple[Tensor, NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Masks ``(bands, h, w)``, their mean frequencies, their lower and upper edges."""
    if norm == "paper":
        if bands is not None:
            raise ValueError("norm 'paper' has bands of its own: give no bands")
        middle = np.array(CENTRES)
        return squares(h, w, CENTRES, width), middle, (middle - width / 2, middle + width / 2)
    bounds = edges(h, w, bands) if bands is None or isinstance(bands, int) else bands
    masks = rings(h, w, bounds)
    middle = np.array([float(radius(h, w)[mask].mean()) for mask in masks])
    return masks, middle, (np.array(bounds[:-1]), np.array(bounds[1:]))


def _coordinates(
    norm: Norm,
    strengths: tuple[float, ...],
    replicates: int,
    middle: NDArray[np.float64],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> dict[str, Any]:
    return {
        "band": ("band", np.arange(len(middle)), label("band")),
        "strength": ("strength", np.array(strengths, float), _STRENGTH[norm]),
        "replicate": ("replicate", np.arange(replicates), label("draw of the noise")),
        "frequency": ("band", middle, _FREQUENCY),
        "cycles": ("band", middle / 2, label("frequency", "cycles/pixel")),
        "lower": ("band", ends[0], _FREQUENCY | {"long_name": "lower edge of the band"}),
        "upper": ("band", ends[1], _FREQUENCY | {"long_name": "upper edge of the band"}),
    }


def _answers(
    model: nn.Module,
    items: list[tuple[Tensor, Tensor]],
    noise: Noise,
    waves: list[tuple[int, int]],
    height: float,
) -> Iterator[tuple[Any, Tensor]]:
    """Scores of each batch, clean and under every noise, with what they are of."""
    where = next(model.parameters(), items[0][0]).device
    first = 0
    for inputs, targets in items:
        inputs, targets = inputs.to(where), targets.to(where)
        yield "clean", score(model, inputs, targets)
        yield "image", noise.powers(inputs)
        for replicate in range(noise.replicates):
            for band, field in enumerate(noise.fields(inputs, first, replicate)):
                for number, strength in enumerate(noise.strengths):
                    noisy, outside = noise.pixels.add(inputs, strength * field)
                    power = (strength * rms(field).flatten()) ** 2
                    told = torch.stack([power.cpu(), outside], 1)
                    found = torch.cat([score(model, noisy, targets), told], 1)
                    yield (replicate, number, band), found
        sign = signs(inputs, first, noise.seed) * height
        for name in waves:
            basis = wave(inputs.shape[2], inputs.shape[3], *name).to(where)
            noisy, _ = noise.pixels.add(inputs, sign * basis)
            yield ("heat", *name), score(model, noisy, targets)
        first += len(inputs)
