"""A result is a labelled value: an ``xarray.Dataset`` with a schema of attributes. No torch here.

Attributes of every result: ``analyzer``; ``settings`` (the bound keyword arguments, sorted JSON);
``model``, ``family``, ``data`` where known; ``facts`` (sorted JSON: sha256 of the weights, number
of parameters and examples, versions). No time, host or path, so a re-run is byte for byte the same.
Every variable has ``long_name`` and ``units``.
"""

import errno
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from reprlib import recursive_repr
from typing import Any

import numpy as np
import xarray as xr

Result = xr.Dataset

_NOT_A_RESULT = "is not a landscape result"
_ADDRESS = re.compile(r"<(?:[\w-]+ )*([\w.<>]+)(?: object)? at 0x[0-9a-fA-F]+>")


def stamp(result: Result, analyzer: str, settings: Mapping[str, Any], **facts: Any) -> Result:
    """Attach who made a result and how; checks that every variable is labelled.

    Examples
    --------
    >>> one = xr.Dataset({"x": ((), 1.0, {"long_name": "one", "units": "1"})})
    >>> stamp(one, "demo", {"seed": 0}).attrs["settings"]
    '{"seed": 0}'
    """
    for name, variable in result.variables.items():
        missing = [key for key in ("long_name", "units") if key not in variable.attrs]
        if missing:
            raise ValueError(f"variable '{name}' of {analyzer} has no {' and no '.join(missing)}")
    facts = {"landscape": _version(), **facts}
    attrs = {
        "analyzer": analyzer,
        "settings": json.dumps(dict(settings), sort_keys=True, default=plain),
        "facts": json.dumps(facts, sort_keys=True, default=plain),
    }
    return result.assign_attrs({**result.attrs, **attrs})


def label(result: Result, *, model: str, family: str = "", data: str = "", **facts: Any) -> Result:
    """Name the network and the data of a result; further facts join ``attrs["facts"]``."""
    known = json.loads(result.attrs.get("facts", "{}"))
    joined = json.dumps(known | facts, sort_keys=True, default=plain)
    return result.assign_attrs(model=model, family=family, data=data, facts=joined)


def save(result: Result, path: str | os.PathLike[str]) -> Path:
    """Write a result as netCDF-4; the same result gives the same bytes.

    The file is made in memory, written under a temporary name and renamed: a reader never sees half
    of it, and an interrupted or failed write leaves what was there before.

    Raises
    ------
    OSError
        If it cannot be written; ``path`` is untouched then.
    """
    path = Path(path)
    data = bytes(result.to_netcdf(None, engine="h5netcdf"))
    return write(path, data)


def write(path: str | os.PathLike[str], data: bytes) -> Path:
    """Replace ``path`` by ``data`` in one step."""
    path = Path(path)
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(path)
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return path


def check_writable(path: str | os.PathLike[str], need: int = 1 << 20) -> None:
    """Fail now rather than after the computation.

    Raises
    ------
    OSError
        If ``path`` cannot be written, or its disk has less than ``need`` bytes left.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(path)
        try:
            with open(part, "wb") as file:
                file.write(b"\0" * need)  # a quota or a full disk shows only when bytes are written
                file.flush()
                os.fsync(file.fileno())
        finally:
            part.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Result:
    """Read a result into memory.

    Raises
    ------
    ValueError
        If the file is no netCDF-4 file, is truncated, or was not written by an analyzer.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            result = file.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} {_NOT_A_RESULT} (damaged, or not netCDF-4): {error}") from None
    if "analyzer" not in result.attrs:
        raise ValueError(f"{path} {_NOT_A_RESULT}: it does not say which analyzer made it")
    return result


def to_json(result: Result) -> dict[str, Any]:
    """A result as plain JSON values; nan and inf become the strings "nan", "inf", "-inf".

    Examples
    --------
    >>> x = xr.Dataset({"x": ("t", [1.0, np.nan], {"long_name": "x", "units": "1"})})
    >>> to_json(x)["variables"]["x"]["values"]
    [1.0, 'nan']
    """

    def entry(variable: xr.DataArray) -> dict[str, Any]:
        return {
            "dims": [str(d) for d in variable.dims],
            "values": _nested(variable.values.tolist()),
            "long_name": variable.attrs.get("long_name", ""),
            "units": variable.attrs.get("units", ""),
        }

    return {
        "variables": {str(name): entry(v) for name, v in result.data_vars.items()},
        "coords": {str(name): entry(v) for name, v in result.coords.items()},
        "attrs": {str(k): _nested(_listed(v)) for k, v in result.attrs.items()},
    }


def to_csv(result: Result) -> str:
    """A result as comma-separated long tables, one for each set of dimensions.

    Each table has the coordinates of its dimensions in front; the tables are parted by an empty
    line. (A ragged result has rows only where the coordinate exists.)
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, variable in result.data_vars.items():
        groups.setdefault(tuple(str(d) for d in variable.dims), []).append(str(name))
    tables = []
    for dims in sorted(groups, key=len, reverse=True):
        part = result[groups[dims]]
        if not dims:
            rows = [",".join(groups[dims]), ",".join(str(part[n].item()) for n in groups[dims])]
            tables.append("\n".join(rows) + "\n")
            continue
        frame = part.to_dataframe().dropna(how="all", subset=groups[dims]).reset_index()
        tables.append(frame.to_csv(index=False, lineterminator="\n"))
    return "\n".join(tables)


def _nested(value: Any) -> Any:
    if isinstance(value, list):
        return [_nested(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def plain(value: Any) -> Any:
    """Make JSON of settings that are not: a callable or class by its name, arrays as lists.

    The same in every run: an object that does not say what it is, is told by its type and
    attributes, and no address in memory is kept.

    Examples
    --------
    >>> class Decay:
    ...     def __init__(self, size):
    ...         self.size = size
    >>> plain(json.dumps), plain(Decay(3))
    ('json.dumps', 'landscape.result.Decay(size=3)')
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if hasattr(value, "detach"):  # a tensor is too long to be told, but must not be mistaken
        return _digest(value.detach().cpu().numpy())
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    if type(value).__repr__ is not object.__repr__:
        return _ADDRESS.sub(r"\1", repr(value))
    inside = [f"{key}={_state(each)}" for key, each in getattr(value, "__dict__", {}).items()]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return f"{kind}({', '.join(inside)})" if inside else kind


@recursive_repr()
def _state(value: Any) -> str:
    """Tell what an object holds, in full."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_state(each)}" for key, each in value.items()) + "}"
    if isinstance(value, set | frozenset):
        return f"[{', '.join(sorted(map(_state, value)))}]"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_state, value))}]"
    return _digest(value) if isinstance(value, np.ndarray) else str(plain(value))


def _digest(array: np.ndarray) -> str:
    array = np.ascontiguousarray(array)
    return f"{array.dtype}{list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Say which file could not be written: of a full disk the system does not."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def _beside(path: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(name, 0o666 & ~mask)  # a temporary file is private; a result is not
    return Path(name)


def _version() -> str:
    try:
        return version("vision-landscape")
    except PackageNotFoundError:  # imported from a source tree that is not installed
        return "unknown"
