"""Images in a NumPy archive, ``npz:/path.npz``.

Arrays ``images``, uint8 ``(n, h, w, 3)`` or ``(n, 3, h, w)``, and ``targets``, integers ``(n,)``;
optionally ``mean`` and ``std`` (three numbers in [0, 1]; measured on the images where absent) and
``classes`` (names). Without names the numbers up to the largest target are the classes, so an
archive that lacks the last ones must name them all. The archive is one set: every split is the
whole of it.
"""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from landscape.datasets import Images, order

KEYS = ("images", "targets", "mean", "std", "classes")


def load(
    path: str | None = None,
    *,
    split: str = "test",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Images:
    """Load the images of a NumPy archive.

    Parameters
    ----------
    path
        The archive; written by ``np.savez(path, images=..., targets=...)``.
    split
        Any; an archive is one set.
    size
        Side in pixels; the images' own unless given, else the short side is resized (bilinear,
        antialiased) and the centre cropped.
    limit, seed
        How many images, drawn without replacement by ``seed``; all unless given.

    Raises
    ------
    ValueError
        When an array is missing or has another type, shape or range; says how to mend it.
    """
    if path is None:
        raise ValueError("npz needs a path: npz:/path/to/images.npz")
    file = Path(path).expanduser()
    arrays = _arrays(file)
    images = _nchw(arrays["images"], file)
    classes = _classes(arrays.get("classes"), file)
    targets = _targets(arrays["targets"], len(images), classes, file)
    classes = classes or tuple(str(i) for i in range(int(targets.max()) + 1))
    mean, std = _statistics(arrays, images, file)
    index = order(len(images), limit, seed)
    pixels = torch.from_numpy(np.ascontiguousarray(images[index]))
    if size is not None and pixels.shape[-2:] != (size, size):
        from torchvision.transforms.v2.functional import center_crop, resize

        pixels = center_crop(resize(pixels, [size], antialias=True), [size, size]).contiguous()
    labels = torch.from_numpy(targets[index])
    return Images(images=pixels, targets=labels, classes=classes, mean=mean, std=std)


def _arrays(file: Path) -> dict[str, NDArray]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in KEYS if key in archive.files}
            names = ", ".join(archive.files)
    except (ValueError, TypeError, EOFError, OSError, BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{file} cannot be read as .npz of plain arrays: {error}; write it with "
            "np.savez(path, images=..., targets=...) from arrays that are not of objects"
        ) from error
    for key in ("images", "targets"):
        if key not in arrays:
            raise ValueError(f"{file} has no array '{key}', only {names or 'nothing'}")
    return arrays


def _nchw(images: NDArray, file: Path) -> NDArray[np.uint8]:
    if images.dtype != np.uint8:
        remedy = "store integers 0..255 as uint8"
        if np.issubdtype(images.dtype, np.floating):
            remedy = "store (255 * images).round().astype('uint8') if they lie in [0, 1]"
        raise ValueError(f"{file}: images are {images.dtype}, not uint8; {remedy}")
    last = images.ndim == 4 and images.shape[3] == 3
    first = images.ndim == 4 and images.shape[1] == 3
    if last == first or not images.size:
        raise ValueError(
            f"{file}: images have shape {images.shape}; expected (n, h, w, 3) or (n, 3, h, w)"
        )
    return images if first else images.transpose(0, 3, 1, 2)


def _classes(names: NDArray | None, file: Path) -> tuple[str, ...]:
    if names is None:
        return ()
    if names.ndim != 1 or names.dtype.kind != "U":
        raise ValueError(f"{file}: classes are {names.dtype} {names.shape}, not a list of names")
    return tuple(str(name) for name in names)


def _targets(
    targets: NDArray, count: int, classes: tuple[str, ...], file: Path
) -> NDArray[np.int64]:
    if targets.dtype.kind not in "iu":
        raise ValueError(f"{file}: targets are {targets.dtype}; expected integers")
    if targets.shape != (count,):
        raise ValueError(f"{file}: targets have shape {targets.shape}; expected ({count},)")
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or (classes and high >= len(classes)):
        upper = f"0..{len(classes) - 1}" if classes else "0 and up"
        raise ValueError(f"{file}: targets run from {low} to {high}; expected {upper}")
    return targets.astype(np.int64)


def _statistics(
    arrays: dict[str, NDArray], images: NDArray[np.uint8], file: Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    levels = np.arange(256) / 255
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(3)])
    share = counts / counts.sum(1, keepdims=True)
    mean = np.asarray(arrays.get("mean", share @ levels), float)
    variance = share @ levels**2 - (share @ levels) ** 2
    std = np.asarray(arrays.get("std", np.sqrt(np.maximum(variance, 0))), float)
    for name, value in (("mean", mean), ("std", std)):
        if value.shape != (3,) or not np.isfinite(value).all() or value.min() < 0:
            raise ValueError(f"{file}: {name} is {value.tolist()}; expected 3 numbers in [0, 1]")
        if value.max() > 1:
            raise ValueError(f"{file}: {name} is {value.tolist()}; divide it by 255")
    if std.min() < 1e-6:
        raise ValueError(f"{file}: std is {std.tolist()}; store a positive 'std' in the archive")
    return tuple(mean.tolist()), tuple(std.tolist())
