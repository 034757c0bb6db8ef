"""Where networks look: receptive fields, reach of attention, equivariance to shifts."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._controls import controlled
from landscape.analyzers._field import SHARES, Field, fields
from landscape.analyzers._labelled import averaged, label, pair
from landscape.analyzers._reach import STATISTICS, Reach, reaches
from landscape.analyzers._shifts import PARTS, SHIFTS, shifts
from landscape.analyzers._taps import tap_coordinates
from landscape.numerics.fields import specificity
from landscape.result import Result
from landscape.subject.objective import Batches
from landscape.subject.probe import Tap, discover


@analyzer
def receptive(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None = None,
    cotangents: int = 4,
    controls: Sequence[str] = (),
    twins: Sequence[nn.Module] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Measure what feature maps and attention look at, and whether they move with the image.

    *Receptive field* of the middle position of every tap, from gradients by the pixels. The support
    is every pixel that it depends on in any image, exactly: ``k x k`` for one convolution. The
    effective field is the squared gradient ``sum_v |d (v . y) / d x|^2`` over random signs ``v`` of
    the channels ``y``, the squared Jacobian without bias, scaled to mass 1 in each image.

    *Attention* from the tokens that stand for a place to those that do, whose weights are scaled to
    sum to 1; what goes to class and register tokens is told apart. Means over queries.

    *Data specificity* ``V = E|A - E A|^2 / E|A|^2`` over images: 0 for fixed weights, as of a
    convolution or a blur. For taps ``A`` are the gradients above; of a linear network it is 0.

    *Equivariance*: the images are moved in a circle by the stride of the tap, and by one pixel, and
    the map ``f(Tx)`` is compared with the moved map ``T f(x)``. A map that is coarser than a pixel
    is moved by a part of a sample, as if it were band limited.

    Parameters
    ----------
    model
        Any network with feature maps or tokens.
    batches
        Re-iterable ``(inputs, targets)``; the targets are not used. Memory is that of a backward
        pass of one batch.
    taps
        Where to listen, in the order of the network; discovered unless given.
    cotangents
        Random signs of the channels, for each of which there is a backward pass.
    controls, twins
        Also measure on other images, ``"untrained"`` twins, or with ``"uniform"`` or ``"mean"``
        attention, as in `landscape.fourier`; ``control_...`` over ``control``, of all that is no
        count. What a field is on images of one colour or on noise is due to the weights alone.
    seed
        Of the signs and of the controls.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``tap``: ``support_side``, of the smallest square that holds the support, in input
        pixels, ``support_share`` of all pixels, and ``support_cut``, whether the edge of the images
        cuts it, so that the side is a lower bound. ``radius`` (also over ``share``) of the disc
        around the middle that holds 50 and 90 % of the squared gradient, ``rms_radius``, both in
        input pixels with ``_se`` over images; ``field`` (also over ``row``, ``column``), its mean
        map; ``offset`` of that map's centre of mass from the middle; ``dead``, images without any
        gradient, which are left out. ``specificity`` with ``_se``. ``shift_change`` (also over
        ``shift``, ``part``) with ``_se``, ``|f(Tx) - T f(x)| / |f(x)|`` in the interior, the middle
        half along each axis, and in the border around it.

        Over ``layer`` and ``head``, if there is attention (NaN where a layer has no such head):
        ``attention_distance`` in tokens, ``attention_pixels`` in input pixels; ``uniform_distance``
        and ``uniform_pixels``, of attention that looks alike at all it may see;
        ``attention_entropy`` in nats and ``relative_entropy``, by the logarithm of the tokens that
        it may see; ``prefix_share``, the weight on class and register tokens; ``self_share``, on
        the query's own place; each with ``_se`` over images; ``attention_specificity`` with
        ``_se``. A layer is at the ``layer_depth`` of the tap after it.

        Errors of both specificities are the jackknife's over groups of 4 images.

    References
    ----------
    Luo et al. (2016), "Understanding the Effective Receptive Field". Raghu et al. (2021), "Do
    Vision Transformers See Like Convolutional Neural Networks?". Azulay & Weiss (2019), "Why do
    deep convolutional networks generalize so poorly to small image transformations?".

    Examples
    --------
    Two convolutions of 3x3 see 5x5, and what they see is the same for all images:

    >>> import landscape, torch
    >>> one, two = (torch.nn.Conv2d(c, 4, 3, padding=1).double() for c in (3, 4))
    >>> images = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    >>> result = landscape.receptive(torch.nn.Sequential(one, two), [(images, images)])
    >>> result.support_side.values, result.specificity.values.round(12) + 0.0
    (array([3., 5.]), array([0., 0.]))
    """
    measure = partial(_measure, taps=taps, cotangents=cotangents, seed=seed)
    return controlled(measure, model, batches, controls, twins, seed, progress)


def _measure(
    model: nn.Module,
    batches: Batches,
    *,
    taps: list[Tap] | None,
    cotangents: int,
    seed: int,
    progress: Progress,
) -> xr.Dataset:
    """Measure, as often as wanted: on other networks, on other images."""
    if cotangents < 1:
        raise ValueError(f"cotangents must be at least 1, got {cotangents}")
    items = list(batches)
    shapes = {tuple(inputs.shape[1:]) for inputs, _ in items}
    if len(shapes) > 1 or any(len(shape) != 3 for shape in shapes):
        told = " and ".join(map(str, sorted(shapes)))
        raise ValueError(f"inputs must be images (c, h, w) of one size, got {told}")
    taps = discover(model, items[0][0]) if taps is None else list(taps)
    if not taps:
        raise ValueError("taps is an empty list")
    found = fields(model, items, taps, cotangents, seed, progress)
    data, coords = _fields(found)
    changes = shifts(model, items, taps, progress)
    about = "relative change of the map when the image moves"
    data |= averaged("shift_change", ("tap", "shift", "part"), changes, about, defined=True)
    coords["shift"] = ("shift", list(SHIFTS), label("shift of the image"))
    coords["part"] = ("part", list(PARTS), label("part of the map"))
    coords |= tap_coordinates([(tap, one.grid) for tap, one in zip(taps, found, strict=True)])
    layers = reaches(model, items, taps, progress)
    if layers:
        more, places = _layers(layers)
        data |= more
        coords |= places
    return xr.Dataset(data, coords)


def _fields(found: list[Field]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables over taps."""
    rows = [one.measured() for one in found]
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    pixels = "input pixels"
    data: dict[str, Any] = {}
    for name, key, dims, about, units in (
        ("support_side", "side", "tap", "side of the support", pixels),
        ("support_share", "share", "tap", "share of the pixels in the support", "1"),
        ("support_cut", "cut", "tap", "whether the edge cuts the support", "1"),
        ("field", "field", ("tap", "row", "column"), "share of the squared gradient", "1"),
        ("offset", "offset", "tap", "distance of the field's centre from the middle", pixels),
        ("dead", "dead", "tap", "images without gradient", "1"),
    ):
        data[name] = (dims, table[key], label(about, units))
    each = np.moveaxis(table["radii"], 1, -1)  # (tap, which, image)
    about = "radius of the effective receptive field"
    data |= averaged(
        "radius", ("tap", "share"), each[:, : len(SHARES)], about, pixels, defined=True
    )
    about = "RMS radius of the effective receptive field"
    data |= averaged("rms_radius", "tap", each[:, -1], about, pixels, defined=True)
    value, error = table["specificity"].T
    data |= pair("specificity", "tap", value, error, "data specificity of the gradient")
    h, w = table["field"].shape[1:]
    return data, {
        "share": ("share", np.array(SHARES), label("share of the squared gradient inside")),
        "row": ("row", np.arange(h), label("row", pixels)),
        "column": ("column", np.arange(w), label("column", pixels)),
    }


_ATTENTION = {
    "distance": ("attention_distance", "mean attention distance", "tokens"),
    "pixels": ("attention_pixels", "mean attention distance", "input pixels"),
    "uniform": ("uniform_distance", "distance of uniform attention", "tokens"),
    "uniform_pixels": ("uniform_pixels", "distance of uniform attention", "input pixels"),
    "entropy": ("attention_entropy", "entropy of attention", "nats"),
    "relative": ("relative_entropy", "entropy of attention / that of uniform attention", "1"),
    "prefix": ("prefix_share", "attention on class and register tokens", "1"),
    "self": ("self_share", "attention of a token on itself", "1"),
}


def _layers(layers: list[Reach]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Variables over layers and heads."""
    heads = max(layer.site.heads for layer in layers)
    shape = (2, len(STATISTICS) + 1, len(layers), heads)
    table = np.full(shape, np.nan)
    for number, layer in enumerate(layers):
        of = slice(layer.site.heads)
        assert layer.moments is not None
        for k, values in enumerate((layer.moments.mean, layer.moments.standard_error)):
            table[k, :-1, number, of] = values.T.numpy()
        if layer.groups:
            for k, values in enumerate(specificity(torch.stack(layer.groups))):
                table[k, -1, number, of] = values.numpy()
    dims = ("layer", "head")
    data: dict[str, Any] = {}
    for i, key in enumerate(STATISTICS):
        name, about, units = _ATTENTION[key]
        data |= pair(name, dims, table[0, i], table[1, i], about, units)
    about = "data specificity of attention"
    data |= pair("attention_specificity", dims, table[0, -1], table[1, -1], about)
    grids = [layer.site.queries.grid for layer in layers]
    return data, {
        "layer": ("layer", [layer.site.name for layer in layers], label("attention")),
        "head": ("head", np.arange(heads), label("head")),
        "layer_depth": ("layer", [layer.depth for layer in layers], label("normalised depth")),
        "layer_grid": (
            "layer",
            ["none" if grid is None else f"{grid[0]}x{grid[1]}" for grid in grids],
            label("grid of the queries"),
        ),
        "windows": ("layer", [layer.site.windows for layer in layers], label("windows")),
    }
