"""``path/to/file.py:function``: a network of the user's own.

The file runs under a private name and in a `Place` of its own: it may import its siblings, whose
names are forgotten again afterwards, so that the ``blocks.py`` of one folder is never taken for
that of another.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape.models.card import Card
from landscape.models.family import family
from landscape.models.place import Place, undrawn
from landscape.models.remedy import line, remedy


def card(rest: str) -> Card:
    """Card of a function ``path/to/file.py:function`` that takes no arguments.

    It returns a network, or a `Card`, which says more: preprocessing and published weights. Where
    a network comes with the same weights under two seeds, they were loaded and count as published.
    """
    path, _, name = rest.rpartition(":") if not rest.endswith(".py") else (rest, "", "")
    file = Path(path).expanduser()
    place, names = execute(file)
    functions = public(names)
    if name not in functions:
        own = [n for n, f in functions.items() if _module(f).startswith("landscape_file_")]
        asked = f"{file} has no public function '{name}'" if name else f"name one: {file}:FUNCTION"
        raise ValueError(f"{asked}; it has: {', '.join(own) or 'none'}")
    make = calling(place, functions[name], rest)
    with undrawn():
        made = make()
    if isinstance(made, Card):
        given = replace(made, name=rest, build=calling(place, made.build, rest))
        if made.pretrained is not None:
            return replace(given, pretrained=calling(place, made.pretrained, rest))
        return given
    if not isinstance(made, nn.Module):
        raise ValueError(f"{rest} returned a {type(made).__name__}, not an nn.Module or a Card")
    return around(rest, make, source=str(file))


def around(name: str, make: Callable[[], nn.Module], source: str) -> Card:
    """Make a card of what can be told from the network that a function makes."""
    with undrawn():
        torch.manual_seed(0)
        one = make()
        torch.manual_seed(1)
        twin = make().state_dict()
    state = one.state_dict()
    fixed = state.keys() == twin.keys() and all(torch.equal(v, twin[k]) for k, v in state.items())
    return Card(
        name=name,
        family=family(one),
        build=make,
        source=source,
        pretrained=(lambda: make().state_dict()) if fixed else None,
        size=None,
        weight_decay=0.0,
        licence="unknown",
        fixed=fixed,
    )


def execute(file: Path, entry: str = "") -> tuple[Place, dict[str, Any]]:
    """Run a Python file; return the place it imports from and the names it defines."""
    file = file.resolve()
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    private = f"landscape_file_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(private, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is not a Python file")
    module = module_from_spec(spec)
    place = Place(file.parent)
    try:
        with place.entered(), undrawn():
            sys.modules[private] = module  # dataclasses and pickle look it up there
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(private, None)
        raise ValueError(_failed(f"{file} does not run", error, place, entry)) from error
    sys.modules[private] = place.modules[private] = module
    return place, vars(module)


def public(names: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    """Functions and classes among the names of a module.

    Examples
    --------
    >>> list(public({"net": len, "_net": len, "WIDTH": 3}))
    ['net']
    """
    return {n: value for n, value in names.items() if callable(value) and not n.startswith("_")}


def _module(value: Any) -> str:
    return getattr(value, "__module__", None) or ""


def calling(place: Place, function: Callable[..., Any], name: str, **options: Any) -> Any:
    """Bind a function to its options, to be called where its own imports work."""
    try:
        inspect.signature(function).bind(**options)
    except TypeError as error:
        raise ValueError(f"{name} must be callable without arguments: {error}") from error
    except ValueError:
        pass  # no signature to be had

    def call() -> Any:
        try:
            with place.entered():
                return function(**options)
        except (OSError, ValueError):
            raise
        except Exception as error:
            entry = getattr(function, "__name__", "")
            raise ValueError(_failed(f"{name} failed", error, place, entry)) from error

    return call


def _failed(what: str, error: BaseException, place: Place, entry: str) -> str:
    return "; ".join(filter(None, (f"{what}: {line(error)}", remedy(error, place.folder, entry))))
