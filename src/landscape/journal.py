"""Finished pieces of a long computation, kept on disk as they come. No torch here.

A journal is a folder: ``journal.json`` says of what, then one ``.npz`` a piece, each written in one
step. So a run that was killed takes up where it stopped and ends in the same bytes, and several
processes share one computation: a piece is done by whoever locks it first, the last one to leave
deletes the folder, and the locks of a process that dies are gone with it.
"""

import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from glob import escape
from pathlib import Path
from typing import IO, Any, Self, Union

import numpy as np
from numpy.typing import NDArray

from landscape.result import write

Piece = Mapping[str, NDArray]
Place = Union[str, os.PathLike[str], "Journal", None]
_HEAD = "journal.json"
_LOOKS = 20  # at a folder without a head, before it is said to be none
_LOCK = ".lock"  # its byte 0 is shared by those who use the folder, the others stand for pieces


class Journal:
    """Pieces by name, under a fingerprint of all that they depend on.

    Inside ``with`` nobody else discards it.

    Parameters
    ----------
    path
        Its folder, made when the first piece is there. None: nothing is kept.
    fingerprint
        What the pieces depend on, by name: digests of weights, batches, settings. That of the code
        joins them.

    Raises
    ------
    ValueError
        If the folder has pieces of another fingerprint, or is no journal.

    Examples
    --------
    >>> import tempfile
    >>> book = Journal(tempfile.mkdtemp() + "/x.journal", {"weights": "abc"})
    >>> book.piece("first", lambda: {"x": np.ones(2)})["x"]
    array([1., 1.])
    >>> book.piece("first", lambda: 1 / 0)["x"]
    array([1., 1.])
    """

    def __init__(self, path: str | os.PathLike[str] | None, fingerprint: Mapping[str, str]) -> None:
        self.path = None if path is None else Path(path)
        self.fingerprint = {"code": code(), **fingerprint}
        self._uses = 0
        self._file: IO[bytes] | None = None  # of the locks, while in use
        if self.path is not None:
            self._check(self.path)

    def __enter__(self) -> Self:
        self._uses += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._uses -= 1
        if not self._uses and self._file is not None:
            self._file.close()
            self._file = None

    def _check(self, path: Path) -> None:
        """Compare what an existing folder says of itself."""
        head = path / _HEAD
        for _ in range(_LOOKS):  # folders come and go while others discard them
            seen = _pieces(path)  # before the head, which another process may write now
            try:
                found = json.loads(head.read_text("utf-8"))
                break
            except (FileNotFoundError, NotADirectoryError):
                if not path.exists() or (path.is_dir() and not seen):
                    return
                time.sleep(0.001)
            except ValueError as error:
                raise ValueError(f"{head} is damaged ({error}); delete {path}") from None
        else:
            raise ValueError(f"{path} is no journal: it has no {_HEAD}; choose another place")
        keys = sorted(found.keys() | self.fingerprint.keys())
        other = [key for key in keys if found.get(key) != self.fingerprint.get(key)]
        if other:
            raise ValueError(
                f"{path} was begun with other {' and other '.join(other)}; "
                "go on with those, or delete it, or choose another place"
            )

    def read(self, name: str) -> Piece | None:
        """Return a finished piece, or None.

        Raises
        ------
        ValueError
            If its file is damaged.
        """
        if self.path is None:
            return None
        file = self.path / f"{name}.npz"
        try:
            with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except FileNotFoundError:
            return None
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{file} is damaged ({error}); delete it") from None

    def piece(self, name: str, make: Callable[[], Piece]) -> Piece:
        """Return a piece: the one that is there, else make it and keep it."""
        found = self.read(name)
        if found is None:
            found = make()
            with self:
                self._keep(name, found)
        return found

    def pieces(
        self, names: Iterable[str], make: Callable[[str], Piece], wait: float = 0.2
    ) -> Iterator[tuple[str, Piece]]:
        """Yield every piece once, as it is finished: by this process or by another one.

        Parameters
        ----------
        names
            Of the pieces that are wanted.
        make
            Makes the piece of a name.
        wait
            Seconds between looks at what other processes are busy with.
        """
        left = list(names)
        with self:
            while left:
                busy = []
                for name in left:
                    found = self.read(name)
                    if found is None:
                        with self._locked(name) as mine:
                            if mine:  # another may have finished it since
                                found = self.piece(name, partial(make, name))
                    if found is None:
                        busy.append(name)
                    else:
                        yield name, found
                if len(busy) == len(left):
                    time.sleep(wait)
                left = busy

    def _keep(self, name: str, piece: Piece) -> None:
        if self.path is None:
            return
        self._begin(self.path)
        data = io.BytesIO()
        np.savez(data, **piece)  # type: ignore[arg-type]
        write(self.path / f"{name}.npz", data.getvalue())

    def _begin(self, path: Path) -> IO[bytes]:
        """Make the folder, if nobody has, and hold it; say what it is of."""
        while self._file is None or not _stands(self._file, path):
            if self._file is not None:
                self._file.close()
            try:
                path.mkdir(parents=True, exist_ok=True)
                self._file = open(path / _LOCK, "a+b")  # noqa: SIM115
            except (FileExistsError, FileNotFoundError):  # discarded just now, by another process
                if path.is_file():
                    raise
                self._file = None
                continue
            _lock(self._file, 0, "LOCK_SH")  # waits for who is discarding it
        if not (path / _HEAD).exists():
            write(path / _HEAD, json.dumps(self.fingerprint, sort_keys=True).encode())
        self._check(path)
        return self._file

    @contextmanager
    def _locked(self, name: str) -> Iterator[bool]:
        """Hold the lock of a piece, or say that another process does."""
        if self.path is None:
            yield True
            return
        file = self._begin(self.path)
        byte = 1 + int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        if not _lock(file, byte, "LOCK_EX", "LOCK_NB"):
            yield False
            return
        try:
            yield True
        finally:
            _lock(file, byte, "LOCK_UN")


def opened(place: Place) -> Journal:
    """Return the journal that stands for a place inside an analyzer; one that keeps nothing else.

    Examples
    --------
    >>> opened(None).piece("x", dict)
    {}
    """
    return place if isinstance(place, Journal) else Journal(None, {})


def discard(path: str | os.PathLike[str]) -> None:
    """Delete a journal, if this is one that no other process uses; the last one deletes it.

    In one step for who looks at its place.

    Examples
    --------
    >>> discard("nothing/there")
    """
    path = Path(path)
    if not (path / _HEAD).is_file():
        return
    try:
        with open(path / _LOCK, "a+b") as file:
            if not _lock(file, 0, "LOCK_EX", "LOCK_NB") or not _stands(file, path):
                return
            _sweep(path)
            path.rename(path.with_name(f".{path.name}.{os.getpid()}"))
    except FileNotFoundError:  # by another process, just now
        return
    _sweep(path)


def _pieces(path: Path) -> list[str]:
    """Names in the folder, none if it is gone."""
    try:
        return [name for name in os.listdir(path) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sweep(path: Path) -> None:
    """Delete discarded folders: that of this process, and of others that were killed over it."""
    for away in path.parent.glob(f".{escape(path.name)}.*"):
        shutil.rmtree(away, ignore_errors=True)


def _stands(file: IO[bytes], path: Path) -> bool:
    """Whether an open file of locks is that of the folder which is there now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path / _LOCK))
    except FileNotFoundError:
        return False


def _lock(file: IO[bytes], byte: int, *how: str) -> bool:
    """Lock or unlock one byte, by names of ``fcntl``, or say that another process has it.

    True also where there are no such locks: two may do the same piece, harmlessly.
    """
    try:
        import fcntl
    except ImportError:
        return True
    flags: Any = sum(getattr(fcntl, name) for name in how)
    try:
        fcntl.lockf(file, flags, 1, byte)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


@cache
def code() -> str:
    """Digest of the code that computes: of numerics, subject and analyzers.

    Examples
    --------
    >>> len(code())
    64
    """
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for room in ("analyzers", "numerics", "subject"):
        for file in sorted((root / room).glob("*.py")):
            digest.update(f"{room}/{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()
