"""``path/to/file.py:function``: a network of the user's own.

The file runs under a private name; it may import its siblings, whose names are forgotten again
afterwards, so that the ``blocks.py`` of one folder is never taken for that of another.
"""

import hashlib
import importlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from landscape.models.card import Card
from landscape.models.family import family

#: where torch and its like live; hiding and loading these again would break them
_INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


@dataclass
class Place:
    """A folder to import from for a while: what ``sys.path`` and ``sys.modules`` have only there.

    Examples
    --------
    >>> place = Place([str(Path("here").resolve())])
    >>> with place.entered():
    ...     print(sys.path[0] == place.paths[0])
    True
    >>> sys.path[0] == place.paths[0]
    False
    """

    paths: list[str]
    modules: dict[str, ModuleType] = field(default_factory=dict)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Import from here first; put everything back at the end."""
        path, bytecode = list(sys.path), sys.dont_write_bytecode
        names = {p.stem for d in self.paths for p in Path(d).glob("*.py")}
        names |= {p.parent.name for d in self.paths for p in Path(d).glob("*/__init__.py")}
        names -= {"__main__", "landscape"}  # one program, and one class Card
        hidden = {
            name: module
            for name, module in sys.modules.items()
            if (top := name.partition(".")[0]) in names
            and _home(sys.modules.get(top)) not in {*self.paths, *_INSTALLED}
        }
        for name in hidden:
            del sys.modules[name]
        before = set(sys.modules)
        sys.modules.update(self.modules)
        sys.path[:] = self.paths + path
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        try:
            yield
        finally:
            self.paths = [entry for entry in sys.path if entry not in path]
            new = [name for name in sys.modules if name not in before]
            tops = {top: _home(sys.modules.get(top)) for top in (n.partition(".")[0] for n in new)}
            for name in new:
                if tops[name.partition(".")[0]] in self.paths:
                    self.modules[name] = sys.modules.pop(name)
            sys.modules.update(hidden)
            sys.path[:] = path
            sys.dont_write_bytecode = bytecode


def _home(module: ModuleType | None) -> str | None:
    """Name the entry of ``sys.path`` that a top-level module came from."""
    folders = list(getattr(module, "__path__", []))
    if folders:
        return str(Path(folders[0]).parent)
    file = getattr(module, "__file__", None)
    return str(Path(file).parent) if file else None


def card(rest: str) -> Card:
    """Card of a function ``path/to/file.py:function`` that takes no arguments.

    It returns a network, or a `Card`, which says more: preprocessing and published weights. Where
    a network comes with the same weights under two seeds, they were loaded and count as published.
    """
    path, _, name = rest.rpartition(":") if not rest.endswith(".py") else (rest, "", "")
    file = Path(path).expanduser()
    place, functions = execute(file)
    if name not in functions:
        own = [n for n, f in functions.items() if _module(f).startswith("landscape_file_")]
        asked = f"{file} has no public function '{name}'" if name else f"name one: {file}:FUNCTION"
        raise ValueError(f"{asked}; it has: {', '.join(own) or 'none'}")
    make = calling(place, functions[name], rest)
    with torch.random.fork_rng(devices=[]):
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
    with torch.random.fork_rng(devices=[]):
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


def execute(file: Path) -> tuple[Place, dict[str, Callable[..., Any]]]:
    """Run a Python file; return the place it imports from and its public functions and classes."""
    file = file.resolve()
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    private = f"landscape_file_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(private, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is not a Python file")
    module = module_from_spec(spec)
    place = Place([str(file.parent)])
    with place.entered():
        sys.modules[private] = module  # dataclasses and pickle look it up there
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            del sys.modules[private]
            raise ValueError(f"{file} does not run: {_line(error)}") from error
    sys.modules[private] = module
    place.modules.pop(private, None)
    functions = {
        name: value
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_")
    }
    return place, functions


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
        with place.entered():
            try:
                return function(**options)
            except (OSError, ValueError):
                raise
            except Exception as error:
                raise ValueError(f"{name} failed: {_line(error)}") from error

    return call


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
