"""Nothing is downloaded without saying so."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen


def announce(what: str, url: str, folder: str | Path, timeout: float = 10) -> None:
    """Say on stderr what is about to be fetched: source, size and where to.

    Raises
    ------
    OSError
        In one line and within ``timeout`` seconds, when the server cannot be reached.
    """
    size = 0
    try:
        with urlopen(Request(url, method="HEAD"), timeout=timeout) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
    except HTTPError:
        pass  # the server is there; the download itself tells what it thinks
    except OSError as error:
        raise OSError(
            f"{urlsplit(url).hostname or url} could not be reached for {what} "
            f"({getattr(error, 'reason', error)}); fetch {url} elsewhere and pass it by --weights"
        ) from error
    amount = f"{size / 1e6:.1f} MB" if size else "of unknown size"
    print(f"landscape: downloading {what} from {url} ({amount}) to {folder}", file=sys.stderr)


@contextmanager
def watched(what: str) -> Iterator[dict[str, str]]:
    """Watch foreign code load weights: announce what torch.hub fetches, hash what torch.load reads.

    Yields
    ------
    dict
        SHA-256 of every file that was read, by its name.
    """
    import torch

    fetch, load = torch.hub.download_url_to_file, torch.load
    read: dict[str, str] = {}

    @wraps(fetch)
    def announced(url: str, dst: str, *args: Any, **kwargs: Any) -> None:
        announce(what, url, Path(dst).parent)
        try:
            fetch(url, dst, *args, **kwargs)
        except HTTPError as error:
            raise OSError(
                f"{what} could not be fetched: {url} answers {error.code} {error.reason}; "
                "give a file by --weights"
            ) from error

    @wraps(load)
    def hashed(f: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(f, str | os.PathLike) and Path(f).is_file():
            with open(f, "rb") as file:
                read[Path(f).name] = hashlib.file_digest(file, "sha256").hexdigest()
        return load(f, *args, **kwargs)

    torch.hub.download_url_to_file, torch.load = announced, hashed
    try:
        yield read
    finally:
        torch.hub.download_url_to_file, torch.load = fetch, load
