"""Which cue decides where two disagree: phase or amplitude, shape or texture."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._conflicts import Conflict, conflicts, partners
from landscape.analyzers._controls import OF_MODELS, controlled
from landscape.analyzers._labelled import averaged, label
from landscape.analyzers._noise import Pixels, size
from landscape.numerics.recombine import recombine
from landscape.result import Result
from landscape.subject.objective import Batches


@analyzer
def cues(
    model: nn.Module,
    batches: Batches,
    *,
    cue_labels: Mapping[str, Tensor] | None = None,
    clip: bool = False,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    controls: Sequence[str] = (),
    twins: Sequence[nn.Module] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Measure which of two cues decides, on images where they show different classes.

    *Phase or amplitude*, of any labelled images: every image lends its phases to the amplitudes of
    another one, of another class. Edges and outlines are in the phases, the power spectrum and the
    mean colour in the amplitudes. Of pixels ``p`` in [0, 1], where inputs are ``(p - mean) / std``;
    without ``mean`` and ``std``, of the inputs.

    *Any two of the cues* of which ``cue_labels`` tells what each image shows, as its shape and its
    texture: on the images as they are, where the two show different classes and no third cue shows
    either.

    A decision is the largest output. The share of the first cue is that of the decisions for the
    first among those for either, as Geirhos et al. (2019) count shape bias. A network that sees
    neither has a share of a half, and decides for either as often as chance: look at both numbers.

    Parameters
    ----------
    model
        Any classifier of images.
    batches
        Re-iterable ``(inputs, targets)``, inputs ``(b, c, h, w)`` of one size. Of soft targets the
        largest counts.
    cue_labels
        For each of two or more cues the class that each image shows by it, ``(n,)`` in the order of
        the batches.
    clip
        Clip pixels of recombined images to [0, 1].
    mean, std
        Of each channel, by which the inputs were normalised.
    controls, twins
        Also measure ``"untrained"`` twins of the network, or the network with ``"uniform"`` or
        ``"mean"`` attention, as in `landscape.fourier`.
    seed
        Of the choice of pairs.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``conflict``, ``"phase/amplitude"`` and the pairs of cues: ``share`` of the first cue
        among the decisions for either; ``first``, ``second`` and ``either``, shares of the images
        that are decided so; ``right_share``, the share where the network is right on both images of
        a pair as they are (NaN for images that were not recombined). Standard errors ``_se`` are
        over images. ``images`` in conflict. ``decision`` over ``image``: 1 first, 0 second, -1
        neither, -2 no conflict. ``clean_accuracy``; ``outside``, the share of values of recombined
        images outside [0, 1] before any clipping (NaN without ``mean``). Under controls
        ``control_...`` over ``control``, too.

    References
    ----------
    Geirhos et al. (2019), "ImageNet-trained CNNs are biased towards texture". Oppenheim & Lim
    (1981), "The importance of phase in signals". Chen et al. (2021), "Amplitude-Phase
    Recombination".

    Examples
    --------
    What looks at the mean colour alone always goes by the amplitudes:

    >>> import landscape, torch
    >>> net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    >>> images = torch.rand(20, 3, 8, 8, dtype=torch.float64)
    >>> result = landscape.cues(net, [(images, net(images).argmax(1))])
    >>> result["share"].item(), result["either"].item()
    (0.0, 1.0)
    """
    pixels = Pixels(mean, std, clip)
    measure = partial(_measure, cue_labels=cue_labels or {}, pixels=pixels, seed=seed)
    return controlled(measure, model, batches, controls, twins, seed, progress, choices=OF_MODELS)


def _measure(
    model: nn.Module,
    batches: Batches,
    *,
    cue_labels: Mapping[str, Tensor],
    pixels: Pixels,
    seed: int,
    progress: Progress,
) -> xr.Dataset:
    items = list(batches)
    size(items)
    images = torch.cat([inputs for inputs, _ in items])
    classes = np.concatenate([_classes(targets) for _, targets in items])
    partner = partners(classes, seed)
    where = next(model.parameters(), images).device
    order = np.split(np.arange(len(images)), np.cumsum([len(x) for x, _ in items])[:-1])
    parts = [
        _answers(model, pixels, images[at].to(where), images[partner[at]].to(where))
        for at in progress(order, len(order), "Cues")
    ]
    plain, mixed, outside = (np.concatenate(part) for part in zip(*parts, strict=True))
    found = conflicts(plain, mixed, classes, partner, cue_labels)
    data = _variables(found)
    data |= averaged(
        "clean_accuracy", (), (plain == classes).astype(float), "accuracy on images as they are"
    )
    about = "share of the values outside [0, 1]"
    data["outside"] = ((), outside.mean(), label(about))
    return xr.Dataset(data, _coordinates(found))


def _classes(targets: Tensor) -> np.ndarray:
    hard = targets if targets.ndim == 1 else targets.argmax(1)
    return hard.cpu().numpy()


@torch.no_grad()
def _answers(
    model: nn.Module, pixels: Pixels, phase: Tensor, amplitude: Tensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes of images as they are and recombined, and how much of the latter left [0, 1]."""
    own = pixels.read(phase)
    change = recombine(own, pixels.read(amplitude)) - own
    mixed, outside = pixels.add(phase, change)
    plain, other = (model(inputs).argmax(1).cpu().numpy() for inputs in (phase, mixed))
    return plain, other, outside.numpy()


def _variables(found: Sequence[Conflict]) -> dict[str, Any]:
    codes = np.stack([one.decision for one in found])
    there = codes > -2
    data: dict[str, Any] = {}
    for name, hit, of, about in (
        ("share", codes == 1, codes >= 0, "share of the first cue"),
        ("first", codes == 1, there, "images decided for the first cue"),
        ("second", codes == 0, there, "images decided for the second cue"),
        ("either", codes >= 0, there, "images decided for either cue"),
        (
            "right_share",
            codes == 1,
            (codes >= 0) & np.stack([one.right for one in found]),
            "share of the first cue where both images are known",
        ),
    ):
        samples = np.where(of, hit, np.nan)
        data |= averaged(name, "conflict", samples, about, defined=True)
    about = "decision: 1 first, 0 second cue, -1 neither, -2 no conflict"
    data["decision"] = (("conflict", "image"), codes, label(about))
    data["images"] = ("conflict", there.sum(1), label("images in conflict"))
    return data


def _coordinates(found: Sequence[Conflict]) -> dict[str, Any]:
    return {
        "conflict": ("conflict", [one.name for one in found], label("cues in conflict")),
        "first_cue": ("conflict", [one.first for one in found], label("first cue")),
        "second_cue": ("conflict", [one.second for one in found], label("second cue")),
        "image": ("image", np.arange(len(found[0].decision)), label("image")),
    }
