"""Folder of a repository on GitHub: of a trusted one only, and from torch.hub's cache first."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import torch

from landscape.models.download import announce
from landscape.models.place import Place, undrawn
from landscape.models.remedy import line


class UntrustedError(ValueError):
    """A repository that may not run yet; ``repository`` is what `remember` takes."""

    def __init__(self, repository: str) -> None:
        self.repository = repository
        super().__init__(
            f"hub:{repository} would run the code of https://github.com/{repository} on this "
            "machine; if you trust it, give --trust (trust=True in Python), or add "
            f"'{_listed(repository)}' to {_trusted()} for good"
        )


def remember(repository: str) -> None:
    """Trust ``OWNER/REPO`` for good: put it on torch.hub's list."""
    file = _trusted()
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text() if file.exists() else ""
    gap = "\n" if before and not before.endswith("\n") else ""
    file.write_text(f"{before}{gap}{_listed(repository)}\n")


def clone(repository: str, trust: bool) -> tuple[Path, str]:
    """Folder of ``OWNER/REPO[:REF]``, and in words where it is from.

    Raises
    ------
    UntrustedError
        Before anything is downloaded.
    """
    path, _, ref = repository.partition(":")
    listed = _trusted().read_text().split() if _trusted().exists() else []
    if not trust and _listed(path) not in listed:
        raise UntrustedError(path)
    home = Path(torch.hub.get_dir())
    branches = [ref] if ref else ["main", "master"]  # in the order in which torch.hub tries them
    folders = {home / f"{_listed(path)}_{b.replace('/', '_')}": b for b in branches}
    if not any(folder.is_dir() for folder in folders):
        _download(path, ref, list(folders))
    folder = next(folder for folder in folders if folder.is_dir())
    kind = "commit" if _is_commit(ref) else "ref"
    default = "" if ref else " (the default)"
    return folder, f"https://github.com/{path}, {kind} {folders[folder]}{default}"


def _download(path: str, ref: str, folders: list[Path]) -> None:
    """Let torch.hub fetch the code; it takes it from there to one of ``folders``."""
    spec = f"{path}:{ref}" if ref else path
    remedy = "clone it where it can be reached, and use hub:/path/to/clone/ENTRY"
    home = folders[0].parent
    try:
        archive = f"https://github.com/{path}/zipball/{ref or 'HEAD'}"
        announce(f"the code of {spec}", archive, home)
    except OSError as error:
        reason = getattr(error.__cause__, "reason", error.__cause__)
        raise OSError(f"github.com could not be reached for {spec} ({reason}); {remedy}") from error
    before = _trusted().read_bytes() if _trusted().exists() else None
    try:
        # torch.hub looks for a commit only at the tips of branches and tags
        known = _is_commit(ref) and _is_in_history(path, ref)
        with Place(home).entered(), undrawn():
            torch.hub.list(spec, skip_validation=known, trust_repo=True, verbose=False)
    except (Exception, SystemExit) as error:
        # it downloads, then runs hubconf.py: only the first matters here
        if not any(folder.is_dir() for folder in folders):
            raise OSError(
                f"torch.hub could not fetch {spec}: {_reason(error)}; {remedy}"
            ) from error
    finally:
        if before is None:  # it adds to the list
            _trusted().unlink(missing_ok=True)
        else:
            _trusted().write_bytes(before)


def _is_in_history(path: str, sha: str) -> bool:
    """Whether a commit belongs to the default branch: not, for one of a fork."""
    headers = {"Accept": "application/vnd.github.v3+json"}
    if token := os.environ.get("GITHUB_TOKEN"):
        headers["Authorization"] = f"token {token}"
    url = f"https://api.github.com/repos/{path}/compare/{sha}...HEAD"
    try:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return json.load(answer)["status"] in ("ahead", "identical")
    except (OSError, ValueError, KeyError):
        return False  # torch.hub's own look decides


def _reason(error: BaseException) -> str:
    for one in _chain(error):  # torch.hub loses a refusal of GitHub in a KeyError
        if isinstance(one, HTTPError):
            hint = "; GITHUB_TOKEN raises GitHub's limit" if one.code in (403, 429) else ""
            return f"{one.url} answers {one.code} {one.reason}{hint}"
    return line(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def commit(folder: Path) -> str:
    """Tell the commit that a git clone has checked out; empty where that is not known."""
    git = folder / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if (branch := head.removeprefix("ref: ")) == head:
            return f"commit {head}"
        if (git / branch).is_file():
            return f"commit {(git / branch).read_text().strip()}"
        packed = (git / "packed-refs").read_text().splitlines()
        return next(
            (f"commit {text.split()[0]}" for text in packed if text.endswith(f" {branch}")), ""
        )
    except OSError:
        return ""


def _is_commit(ref: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", ref) is not None


def _listed(path: str) -> str:
    return path.replace("/", "_")


def _trusted() -> Path:
    return Path(torch.hub.get_dir()) / "trusted_list"
