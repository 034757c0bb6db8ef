"""ImageNet (ILSVRC 2012), ``imagenet:/path``: its 1000 classes in the order that networks learnt.

``/path`` holds the 1000 folders of the validation set (``n01440764`` to ``n15075141``; sorted, they
are classes 0 to 999), or ``val`` and ``train`` with these; or files that start with the class index
(``0042_anything.jpg``). Other sets of photographs are read by ``folder:/path``.
"""

from dataclasses import replace
from pathlib import Path

from landscape.datasets import Images, folder

#: the folder ``test`` of the competition has no labels, so that ``val`` comes first
PLACES = {"train": ("train",), "test": ("val", "test")}


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
    """Load photographs of ImageNet.

    Parameters
    ----------
    path
        The folder of the validation set, or the one above it.
    split
        ``"test"``, which is the validation set, or ``"train"``.
    size, limit, seed, crop, interpolation
        As of `landscape.datasets.folder.load`.

    Raises
    ------
    ValueError
        When the classes are not the 1000 of ImageNet; says how many there are.
    """
    if path is None:
        raise ValueError("imagenet needs a path: imagenet:/path/to/val")
    if split not in PLACES:
        raise ValueError(f"unknown split '{split}' of imagenet; choose train or test")
    root = Path(path).expanduser()
    root = next((root / name for name in PLACES[split] if (root / name).is_dir()), root)
    names = _classes()
    if root.is_dir():
        _check_folders(root, names)
    images = folder.load(
        str(root),
        split=split,
        size=size,
        limit=limit,
        seed=seed,
        crop=crop,
        interpolation=interpolation,
    )
    top = int(images.targets.max())
    if top >= len(names):
        raise ValueError(f"{root} has images of class {top}; ImageNet has 0 to {len(names) - 1}")
    return replace(images, classes=names)


def _classes() -> tuple[str, ...]:
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


def _check_folders(root: Path, names: tuple[str, ...]) -> None:
    """Refuse folders of classes that are not the thousand; a flat folder has none."""
    found = {p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}
    if not found - {name for place in PLACES.values() for name in place}:
        return
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"{root} has {len(names) - len(missing)} of the 1000 class folders of ImageNet "
            f"(there is no {missing[0]}); folder:{root} takes other sets of classes"
        )
    if foreign := sorted(found - set(names)):
        raise ValueError(
            f"{root} has {len(foreign)} folders that are no class of ImageNet, as {foreign[0]}; "
            f"remove them, or take folder:{root}"
        )
