"""``hub:OWNER/REPO[:REF]/ENTRY``: an entry point of a repository's ``hubconf.py``, by torch.hub.

An entry is code, so a repository of GitHub runs only when its OWNER_REPO is in torch.hub's
``trusted_list``, or by ``--trust`` (``trust=True``), which holds for this call and adds nothing to
that list. On a terminal the command asks; a yes is remembered in the list, as torch.hub does. That
a repository is in the cache, or of an owner that torch itself trusts, is no leave. ``REF`` is a
branch, a tag or a full commit; without it ``main`` is taken, else ``master``. What torch.hub has in
its cache is used as it is, without a network. ``hub:/local/folder/ENTRY`` takes a folder that holds
a ``hubconf.py``, downloads no code and needs no leave.
"""

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from landscape.models.card import Card
from landscape.models.clone import clone, commit
from landscape.models.download import watched
from landscape.models.family import family
from landscape.models.file import around, calling, execute, public
from landscape.models.place import Place, undrawn

#: keywords by which an entry hands out a fresh or a trained network, and their two values
SWITCHES: dict[str, tuple[Any, Any]] = {"pretrained": (False, True), "weights": (None, "DEFAULT")}


def card(rest: str, trust: bool = False) -> Card:
    """Card of an entry point, as in ``facebookresearch/deit:main/deit_tiny_patch16_224``.

    It knows no preprocessing: an entry does not tell.

    Parameters
    ----------
    rest
        ``OWNER/REPO[:REF]/ENTRY`` or ``/local/folder/ENTRY``.
    trust
        Whether the code of that GitHub repository may run on this machine.

    Raises
    ------
    UntrustedError
        When it may not, before anything is downloaded.
    """
    repository, _, entry = rest.rpartition("/")
    local = repository.startswith(("/", ".", "~"))
    if not local and not re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w./-]+)?", repository):
        raise ValueError(
            f"'hub:{rest}' is not hub:OWNER/REPO[:REF]/ENTRY, nor hub:/local/folder/ENTRY"
        )
    if local:
        folder = Path(repository).expanduser().resolve()
        origin = ", ".join(filter(None, (str(folder), commit(folder))))
    else:
        folder, origin = clone(repository, trust)
    conf = folder / "hubconf.py"
    if not conf.is_file():
        raise FileNotFoundError(f"{folder} has no hubconf.py")
    place, names = execute(conf, entry)
    _check_dependencies(repository, place, names.get("dependencies") or ())
    entries = public(names)
    if entry not in entries:
        near = get_close_matches(entry, entries, n=3, cutoff=0) or ["none"]
        raise ValueError(f"{repository} has no entry '{entry}'; nearest: {', '.join(near)}")
    found = _card(f"hub:{rest}", place, entries[entry])
    return replace(found, source=f"{origin}, code {place.digest()[:12]}", offline=local)


@dataclass
class Published:
    """The weights that an entry loads by itself.

    Attributes
    ----------
    name
        Spec of the network.
    make
        The entry, asked for its trained network.
    files
        SHA-256 of every checkpoint that the last call read, by file name.
    """

    name: str
    make: Callable[[], nn.Module]
    files: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> dict[str, Tensor]:
        """State dict of the trained network; says on stderr what is fetched and read."""
        with undrawn(), watched(f"the weights of {self.name}") as self.files:
            state = self.make().state_dict()
        for file, sha256 in self.files.items():
            print(f"landscape: {self.name} read {file}, SHA-256 {sha256}", file=sys.stderr)
        return state


def _card(name: str, place: Place, entry: Callable[..., Any]) -> Card:
    try:
        accepted = inspect.signature(entry).parameters
    except (TypeError, ValueError):
        accepted = {}  # type: ignore[assignment]
    switch = next((s for s in SWITCHES if s in accepted), None)
    if switch is None:
        make = calling(place, entry, name)
        with watched(f"the weights of {name}"):
            found = around(name, _network(name, make), source="")
        return replace(found, pretrained=Published(name, make) if found.fixed else None)
    fresh, trained = SWITCHES[switch]
    build = _network(name, calling(place, entry, name, **{switch: fresh}))
    with undrawn():
        kind = family(build())
    return Card(
        name=name,
        family=kind,
        build=build,
        source="",
        pretrained=Published(
            name, _network(name, calling(place, entry, name, **{switch: trained}))
        ),
        size=None,
        weight_decay=0.0,
        licence="unknown",
    )


def _network(name: str, make: Callable[[], Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        made = make()
        if not isinstance(made, nn.Module):
            raise ValueError(f"{name} returned a {type(made).__name__}, not an nn.Module")
        return made

    return build


def _check_dependencies(repository: str, place: Place, names: Any) -> None:
    def lacks(name: str) -> bool:
        try:
            return find_spec(name) is None
        except (ImportError, ValueError):
            return True

    with place.entered():
        missing = [str(name) for name in names if lacks(str(name))]
    if missing:
        raise ValueError(
            f"{repository} depends on what is not installed: {', '.join(missing)}; "
            f"pip install {' '.join(missing)}"
        )
