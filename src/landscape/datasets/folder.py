"""Photographs in a folder, ``folder:/path``, resized and cropped as networks are tested.

Either one subfolder a class (its name; classes are numbered in sorted order), or a flat folder of
files that start with the class index (``0042_anything.jpg``). Subfolders ``train`` and ``test`` or
``val`` are the splits where they exist; otherwise every split is the whole folder.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from landscape.datasets import Images, order

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
SPLITS = {"train": ("train",), "test": ("test", "val")}
#: of ImageNet, which most networks for photographs were trained on
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def load(
    path: str | None = None,
    *,
    split: str = "test",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    crop: float = 0.875,
    interpolation: str = "bicubic",
) -> Images:
    """Load the photographs of a folder.

    Parameters
    ----------
    path
        The folder.
    split
        ``"train"`` or ``"test"``.
    size
        Side in pixels; 224 unless given.
    limit, seed
        How many images, drawn without replacement by ``seed``; all unless given. Only these are
        decoded.
    crop
        Share of the resized short side that the central crop keeps.
    interpolation
        ``"bicubic"`` or ``"bilinear"``, antialiased.

    Returns
    -------
    Images
        uint8 ``(n, 3, size, size)``; ``classes`` is empty for a flat folder, which does not say
        how many there are.

    Raises
    ------
    ValueError
        When there is no image, a name without a class, or a file that cannot be decoded.
    """
    if path is None:
        raise ValueError("folder needs a path: folder:/path/to/images")
    side = 224 if size is None else size
    if side < 1 or not 0 < crop <= 1:
        raise ValueError(f"size must be positive and crop in (0, 1], got {side} and {crop}")
    files, labels, classes = _listing(_split(Path(path).expanduser(), split))
    index = order(len(files), limit, seed)
    pixels = [_decode(files[i], side, crop, interpolation) for i in index]
    return Images(
        images=torch.stack(pixels),
        targets=torch.tensor([labels[i] for i in index]),
        classes=classes,
        mean=MEAN,
        std=STD,
    )


def _split(root: Path, split: str) -> Path:
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    if split not in SPLITS:
        raise ValueError(f"unknown split '{split}' of folder:{root}; choose train or test")
    present = [name for names in SPLITS.values() for name in names if (root / name).is_dir()]
    own = [name for name in SPLITS[split] if name in present]
    if present and not own:
        raise ValueError(f"{root} has no {split} split, only {', '.join(present)}")
    return root / own[0] if own else root


def _listing(root: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Files in sorted order, their class indices and the names of the classes."""
    folders = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    inside = [_images(folder) for folder in folders]
    flat = _images(root)
    if flat and any(inside):
        raise ValueError(
            f"{root} has images both beside and inside its subfolders ({flat[0].name}, "
            f"{next(p for p in inside if p)[0].relative_to(root)}); keep one of the two"
        )
    if any(inside):
        labels = [i for i, files in enumerate(inside) for _ in files]
        return [p for files in inside for p in files], labels, tuple(f.name for f in folders)
    if not flat:
        raise ValueError(f"{root} holds no image ({', '.join(SUFFIXES)})")
    numbers = [re.match(r"(\d+)(?![0-9A-Za-z])", file.name) for file in flat]
    nameless = [file.name for file, number in zip(flat, numbers, strict=True) if number is None]
    if nameless:
        raise ValueError(
            f"{root}: '{nameless[0]}' does not start with a class index such as 0042_ "
            f"({len(nameless)} of {len(flat)} files); or use one subfolder a class"
        )
    return flat, [int(number[1]) for number in numbers if number], ()


def _images(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]


def _decode(file: Path, size: int, crop: float, interpolation: str) -> Tensor:
    from PIL import Image
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import center_crop, pil_to_tensor, resize

    filters = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}
    if interpolation not in filters:
        raise ValueError(f"unknown interpolation '{interpolation}'; choose {', '.join(filters)}")
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"pixels of mode {image.mode} do not fit 8 bits a channel")
            opaque = image.convert("RGBA") if "transparency" in image.info else image
            picture = opaque.convert("RGB")
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error and more
        raise ValueError(f"{file} cannot be decoded: {error}") from error
    # on PIL images on purpose: its resize is the one that published accuracies were measured with
    resized = resize(picture, [int(size / crop + 1e-6)], interpolation=filters[interpolation])
    return pil_to_tensor(center_crop(resized, [size, size]))
