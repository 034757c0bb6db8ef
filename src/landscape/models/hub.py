"""``hub:OWNER/REPO[:REF]/ENTRY``: an entry point of a repository's ``hubconf.py``, by torch.hub.

A hub entry is code, so a repository runs only when it is trusted: listed in torch.hub's
``trusted_list``, or ``LANDSCAPE_TRUST=1``. ``hub:/local/folder/ENTRY`` takes a folder that holds a
``hubconf.py``, downloads nothing and needs no such leave.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from landscape.models.card import Card
from landscape.models.download import announce
from landscape.models.family import family
from landscape.models.file import Place, around, calling, execute

#: keywords by which an entry hands out a fresh or a trained network, and their two values
SWITCHES: dict[str, tuple[Any, Any]] = {"pretrained": (False, True), "weights": (None, "DEFAULT")}


def card(rest: str) -> Card:
    """Card of an entry point, as in ``facebookresearch/deit:main/deit_tiny_patch16_224``."""
    repository, _, entry = rest.rpartition("/")
    local = repository.startswith(("/", ".", "~"))
    if not local and not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w./-]+)?", repository):
        raise ValueError(
            f"'hub:{rest}' is not hub:OWNER/REPO[:REF]/ENTRY, nor hub:/local/folder/ENTRY"
        )
    folder = Path(repository).expanduser() if local else _clone(repository)
    conf = folder / "hubconf.py"
    if not conf.is_file():
        raise FileNotFoundError(f"{folder} has no hubconf.py")
    place, entries = execute(conf)
    if entry not in entries:
        near = get_close_matches(entry, entries, n=3, cutoff=0) or ["none"]
        raise ValueError(f"{repository} has no entry '{entry}'; nearest: {', '.join(near)}")
    source = str(folder) if local else f"https://github.com/{repository}"
    return replace(_card(f"hub:{rest}", place, entries[entry], source), offline=local)


def _card(name: str, place: Place, entry: Callable[..., Any], source: str) -> Card:
    switch = next((s for s in SWITCHES if s in inspect.signature(entry).parameters), None)
    if switch is None:
        return around(name, calling(place, entry, name), source)
    fresh, trained = SWITCHES[switch]
    build = calling(place, entry, name, **{switch: fresh})
    train = calling(place, entry, name, **{switch: trained})

    def pretrained() -> dict[str, torch.Tensor]:
        where = torch.hub.get_dir()
        print(f"landscape: {name} loads its own weights, downloads go to {where}", file=sys.stderr)
        with redirect_stdout(sys.stderr):
            return train().state_dict()

    with torch.random.fork_rng(devices=[]):
        kind = family(build())
    return Card(
        name=name,
        family=kind,
        build=build,
        source=source,
        pretrained=pretrained,
        size=None,
        weight_decay=0.0,
        licence="unknown",
    )


def _clone(repository: str) -> Path:
    """Folder of a trusted GitHub repository; torch.hub downloads what its cache lacks."""
    path, _, ref = repository.partition(":")
    owner = path.replace("/", "_")
    home = Path(torch.hub.get_dir())
    trusted = home / "trusted_list"
    listed = trusted.read_text().split() if trusted.exists() else []
    if owner not in listed and os.environ.get("LANDSCAPE_TRUST") != "1":
        raise ValueError(
            f"hub:{repository} would run the code of https://github.com/{path} on this machine; if "
            f"you trust it, set LANDSCAPE_TRUST=1, or add '{owner}' to {trusted} for good"
        )
    refs = [ref.replace("/", "_")] if ref else ["main", "master"]
    folders = [home / f"{owner}_{branch}" for branch in refs]
    if not any(folder.is_dir() for folder in folders):
        archive = f"https://github.com/{path}/zipball/{ref or 'HEAD'}"
        try:
            announce(f"the code of {repository}", archive, home)
        except OSError as error:
            reason = getattr(error.__cause__, "reason", error.__cause__)
            raise OSError(
                f"github.com could not be reached for {repository} ({reason}); clone it where it "
                "can be, and use hub:/path/to/clone/ENTRY"
            ) from error
        modules = set(sys.modules)
        try:
            with redirect_stdout(sys.stderr):
                torch.hub.list(repository, trust_repo=True, verbose=False)
        except Exception as error:
            # it downloads, then runs hubconf.py: only the first matters here
            if not any(folder.is_dir() for folder in folders):
                raise OSError(f"torch.hub could not fetch {repository}: {error}") from error
        finally:
            trusted.write_text("".join(f"{line}\n" for line in listed))  # it adds to the list
            for name in set(sys.modules) - modules:
                if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(home)):
                    del sys.modules[name]
    return next(folder for folder in folders if folder.is_dir())
