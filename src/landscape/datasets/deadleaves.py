"""Dead-leaves images: natural-image statistics with a labelled foreground object.

The background is the dead-leaves model (Matheron 1968; Lee, Mumford & Huang 2001):
occluding shapes whose radii follow a power law, each carrying a 1/f texture, so the
radial power spectrum falls like that of photographs (exponent about -2). On top lies
one object whose class shows in three cues of different spatial frequency:

=========  ==================================  =================
cue        what carries it                     frequencies
=========  ==================================  =================
shape      the silhouette, 10 kinds            low
texture    a fine luminance pattern, 10 kinds  high
palette    the hue, 10 bins                    zero (the mean)
=========  ==================================  =================

Every image is a function of ``(seed, split, index)`` alone.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.datasets import Images, order
from landscape.datasets._object import hue, pattern, pose, silhouette

Array = NDArray[np.floating[Any]]

SHAPES = (
    "disc",
    "square",
    "triangle",
    "star",
    "cross",
    "ring",
    "crescent",
    "bar",
    "corner",
    "hourglass",
)
#: probability that (shape, texture, palette) shows the class; otherwise the cue is drawn at random
MIXTURES: dict[str, tuple[float, float, float]] = {
    "": (1.0, 0.7, 0.7),
    "shape": (1.0, 0.0, 0.0),
    "texture": (0.0, 1.0, 0.0),
    "palette": (0.0, 0.0, 1.0),
    "conflict": (1.0, 0.0, 0.0),  # texture is drawn among the *other* classes
}
SPLITS = {"train": 0, "test": 1}
COUNTS = {"train": 20_000, "test": 5_000}
#: channel mean and standard deviation of the training mixture (a test recomputes them)
MEAN = (0.499, 0.499, 0.499)
STD = (0.220, 0.219, 0.219)

_LEAVES = 20  # background leaves at 32 px; grows with the size
_KEY = 0xDEAD1EAF


def load(
    path: str | None = None,
    *,
    split: str = "test",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Images:
    """Render dead-leaves images.

    Parameters
    ----------
    path
        The mixture: nothing (shape always agrees with the class, texture and palette with
        probability 0.7 each), ``"shape"``, ``"texture"``, ``"palette"`` (that cue alone) or
        ``"conflict"`` (shape of the class, texture of another).
    split
        ``"train"`` (20,000 images) or ``"test"`` (5,000).
    size
        Side in pixels; 32 unless given.
    limit
        How many images, drawn without replacement by ``seed``; all unless given.
    seed
        Which images ``limit`` picks. The images themselves do not depend on it.

    Returns
    -------
    Images
        uint8 ``(n, 3, size, size)``; ``cues`` holds the shown shape, texture and palette.

    Examples
    --------
    >>> two = load("conflict", limit=2)
    >>> two.images.shape, bool((two.cues["shape"] != two.cues["texture"]).all())
    (torch.Size([2, 3, 32, 32]), True)
    """
    mixture = path or ""
    if mixture not in MIXTURES:
        raise ValueError(
            f"unknown mixture 'deadleaves:{mixture}'; choose deadleaves or "
            + ", ".join(f"deadleaves:{m}" for m in MIXTURES if m)
        )
    if split not in SPLITS:
        raise ValueError(f"unknown split '{split}' of deadleaves; choose train or test")
    index = order(COUNTS[split], limit, seed)
    pixels, targets, cues = render(index, mixture=mixture, split=split, size=size or 32)
    return Images(
        images=torch.from_numpy(pixels),
        targets=torch.from_numpy(targets),
        classes=SHAPES,
        mean=MEAN,
        std=STD,
        cues={name: torch.from_numpy(value) for name, value in cues.items()},
    )


def render(
    index: NDArray[np.int64], *, mixture: str = "", split: str = "test", size: int = 32
) -> tuple[NDArray[np.uint8], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """Render the images of the given indices: uint8 ``(n, 3, size, size)``, classes, shown cues."""
    chunks = [index[i : i + 250] for i in range(0, len(index), 250)]
    parts = [_render(chunk, mixture, split, size) for chunk in chunks]
    pixels = np.concatenate([p for p, _, _ in parts])
    targets = np.concatenate([t for _, t, _ in parts])
    cues = {c: np.concatenate([k[c] for _, _, k in parts]) for c in ("shape", "texture", "palette")}
    return pixels, targets, cues


def _render(
    index: NDArray[np.int64], mixture: str, split: str, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    leaves = round(_LEAVES * (size / 32) ** 2)
    scenes = [_scene(int(i), mixture, split, leaves, size) for i in index]
    draw = {key: np.stack([s[key] for s in scenes]) for key in _OBJECT}
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(axis, axis, indexing="ij")

    fields = _one_over_f(draw["noise"])
    picture = draw["ground"][:, :, None, None] + 0.10 * fields[:, :1]
    for one, field, scene in zip(picture, fields[:, 0], scenes, strict=True):
        for k in range(leaves):
            _throw(one, field, scene, k)

    cues = {name: draw["cues"][:, i].astype(np.int64) for i, name in enumerate(_CUES)}
    shape, texture, palette = (cues[name] for name in _CUES)
    u, v = pose(draw["pose"], x, y)
    radius = draw["pose"][:, 2, None, None] * size
    alpha = np.clip(silhouette(shape, u, v) * radius + 0.5, 0, 1)[:, None]
    contrast = draw["vivid"][:, :, None, None]  # of hue and texture; some objects are camouflaged
    colour = hue((palette + draw["jitter"][:, 0]) / 10)
    coat = 0.5 + contrast[:, :1] * colour[:, :, None, None] + draw["jitter"][:, 1, None, None, None]
    coat = coat + contrast[:, 1:] * pattern(texture, draw, x, y)[:, None] + 0.08 * fields[:, 1:2]
    picture = picture * (1 - alpha) + coat * alpha
    for one, field, scene in zip(picture, fields[:, 0], scenes, strict=True):
        for k in (leaves, leaves + 1):  # occluders, thrown after the object
            _throw(one, field, scene, k)
    pixels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    return pixels, draw["target"].astype(np.int64), cues


_CUES = ("shape", "texture", "palette")
_OBJECT = ("target", "cues", "ground", "noise", "pose", "vivid", "jitter", "phase", "tilt")


def _scene(index: int, mixture: str, split: str, leaves: int, size: int) -> dict[str, NDArray]:
    """All random numbers of one image, from a generator of its own."""
    rng = np.random.default_rng([_KEY, SPLITS[split], index])
    target = rng.integers(10)
    others = rng.integers(10, size=3)
    agrees = rng.random(3) < np.asarray(MIXTURES[mixture])
    cues = np.where(agrees, target, others)
    if mixture == "conflict":
        cues[1] = (target + 1 + rng.integers(9)) % 10
    n = leaves + 2
    # radii: density r^-3 between r0 and r1, by inversion of its distribution function
    r0, r1 = 2 / size, 0.5
    radius = (r0**-2 - rng.random(n) * (r0**-2 - r1**-2)) ** -0.5
    centre = rng.random((n, 2)) * 1.2 - 0.1
    angle = rng.random(2) * 2 * np.pi
    reach = rng.uniform(0.24, 0.36, 2)
    centre[leaves:] = 0.5 + np.stack([np.cos(angle) * reach, np.sin(angle) * reach], -1)
    radius[leaves:] = rng.uniform(0.07, 0.14, 2)
    return {
        "target": target,
        "cues": cues,
        "ground": _muted(rng, 1)[0],
        "noise": rng.standard_normal((2, size, size), dtype=np.float32),
        "radius": radius,
        "centre": centre,
        "aspect": rng.uniform(0.6, 1.0, n),
        "angle": rng.random(n) * np.pi,
        "power": rng.choice([1.0, 2.0, 2.0, 6.0], n),
        "colour": _muted(rng, n),
        "contrast": rng.uniform(0.04, 0.16, n),
        "sign": rng.choice([-1.0, 1.0], n),
        "pose": np.array(
            [
                *rng.uniform(0.40, 0.60, 2),
                rng.uniform(0.28, 0.40),
                rng.normal(0, 0.3),
                rng.uniform(0.8, 1.0),
            ]
        ),
        "jitter": np.array([rng.uniform(-0.25, 0.25), rng.uniform(-0.15, 0.15)]),
        "vivid": rng.uniform([0.12, 0.07], [0.3, 0.2]),
        "phase": rng.random(3) * 2 * np.pi,
        "tilt": rng.random() * 2 * np.pi,
    }


def _muted(rng: np.random.Generator, n: int) -> NDArray:
    """Colours whose luminance spreads wide and whose chroma is small, as in photographs."""
    return np.clip(rng.uniform(0.15, 0.85, (n, 1)) + rng.normal(0, 0.06, (n, 3)), 0.02, 0.98)


def _throw(picture: Array, field: Array, scene: dict[str, NDArray], k: int) -> None:
    """Throw leaf ``k`` on one picture ``(3, h, w)``, touching only its bounding box."""
    size = picture.shape[-1]
    r, a = float(scene["radius"][k]), float(scene["aspect"][k])
    p, t = float(scene["power"][k]), float(scene["angle"][k])
    cx, cy = scene["centre"][k]
    lo = [max(int((m - 1.5 * r) * size) - 1, 0) for m in (cx, cy)]
    hi = [min(int((m + 1.5 * r) * size) + 2, size) for m in (cx, cy)]
    if lo[0] >= hi[0] or lo[1] >= hi[1]:
        return
    dx = (np.arange(lo[0], hi[0], dtype=np.float32) + 0.5)[None, :] / size - cx
    dy = (np.arange(lo[1], hi[1], dtype=np.float32) + 0.5)[:, None] / size - cy
    c, s = np.cos(t), np.sin(t)
    u, v = np.abs(c * dx + s * dy) / r, np.abs(c * dy - s * dx) / (r * a)
    inside = 1 - (u**p + v**p) ** (1 / p)
    alpha = np.clip(inside * r * a * size + 0.5, 0, 1)
    own = field[lo[1] : hi[1], lo[0] : hi[0]]
    leaf = scene["colour"][k][:, None, None] + scene["contrast"][k] * own * scene["sign"][k]
    box = picture[:, lo[1] : hi[1], lo[0] : hi[0]]
    box += alpha * (leaf - box)


def _one_over_f(noise: Array) -> Array:
    """White noise to amplitude 1/f, zero mean, unit variance: (n, k, h, w)."""
    size = noise.shape[-1]
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    f[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(noise) / f, s=noise.shape[-2:])
    return (field / field.std(axis=(-2, -1), keepdims=True)).astype(np.float32)
