"""Nothing is downloaded without saying so."""

import sys
from pathlib import Path
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
            f"{urlsplit(url).hostname} could not be reached for {what} "
            f"({getattr(error, 'reason', error)}); fetch {url} elsewhere and pass it by --weights"
        ) from error
    amount = f"{size / 1e6:.1f} MB" if size else "of unknown size"
    print(f"landscape: downloading {what} from {url} ({amount}) to {folder}", file=sys.stderr)
