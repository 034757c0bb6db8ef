"""Finished pieces of a long computation, kept on disk as they come. No torch here.

A journal is a folder: ``journal.json`` says of what, then one ``.npz`` a piece, each written in one
step. So a run that was killed takes up where it stopped and ends in the same bytes, and several
processes share one computation: a piece is done by whoever locks it first, and the lock of a
process that dies is gone with it.
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
from pathlib import Path
from typing import Union

import numpy as np
from numpy.typing import NDArray

from landscape.result import write

Piece = Mapping[str, NDArray]
Place = Union[str, os.PathLike[str], "Journal", None]
_HEAD = "journal.json"


class Journal:
    """Pieces by name, under a fingerprint of all that they depend on.

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
        if self.path is not None and self.path.exists():
            self._check(self.path)

    def _check(self, path: Path) -> None:
        """Compare what an existing folder says of itself."""
        head = path / _HEAD
        seen = [*path.glob("[!.]*")]  # before the head, which another process may write now
        if not head.is_file():
            if path.is_dir() and not seen:
                return
            raise ValueError(f"{path} is no journal: it has no {_HEAD}; choose another place")
        try:
            found = json.loads(head.read_text("utf-8"))
        except ValueError as error:
            raise ValueError(f"{head} is damaged ({error}); delete {path}") from None
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

    def discard(self) -> None:
        """Delete the folder: what it held is in a result now."""
        if self.path is not None:
            discard(self.path)

    def _begin(self, path: Path) -> None:
        """Say what the folder is of, if nobody has."""
        if not (path / _HEAD).exists():
            write(path / _HEAD, json.dumps(self.fingerprint, sort_keys=True).encode())
        self._check(path)

    def _keep(self, name: str, piece: Piece) -> None:
        if self.path is None:
            return
        self._begin(self.path)
        data = io.BytesIO()
        np.savez(data, **piece)  # type: ignore[arg-type]
        write(self.path / f"{name}.npz", data.getvalue())

    @contextmanager
    def _locked(self, name: str) -> Iterator[bool]:
        """Hold the lock of a piece, or say that another process does."""
        if self.path is None:
            yield True
            return
        try:
            import fcntl
        except ImportError:  # no such locks on this system: two may do the same piece, harmlessly
            yield True
            return
        self._begin(self.path)
        with open(self.path / ".lock", "ab") as file:
            start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
            except OSError:
                yield False
                return
            yield True


def opened(place: Place) -> Journal:
    """Return the journal that stands for a place inside an analyzer; one that keeps nothing else.

    Examples
    --------
    >>> opened(None).piece("x", dict)
    {}
    """
    return place if isinstance(place, Journal) else Journal(None, {})


def discard(path: str | os.PathLike[str]) -> None:
    """Delete a journal, if this is one; in one step for who looks at its place.

    Examples
    --------
    >>> discard("nothing/there")
    """
    path = Path(path)
    if (path / _HEAD).is_file():
        away = path.with_name(f".{path.name}.{os.getpid()}")
        path.rename(away)
        shutil.rmtree(away)


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
