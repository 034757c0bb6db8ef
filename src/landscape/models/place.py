"""A place for foreign code to run in: what it turns in this process is turned back when it leaves.

A repository leaves modules called ``models`` or ``utils`` behind, paths to import from, networks in
timm's registry under names of timm's own, and now and then a switch of torch. What one place
changed is there again when that place is entered again, and nowhere else: what is loaded first
never decides what is loaded next. Functions that a repository replaces inside installed packages
stay replaced.
"""

import hashlib
import importlib
import os
import random
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

#: where torch and its like live; hiding and loading these again would break them
_INSTALLED = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


@dataclass
class Place:
    """A folder to import from for a while, and the state that its code wants around it.

    Attributes
    ----------
    folder
        Where its code lies.
    paths
        What ``sys.path`` has only there.
    modules
        What ``sys.modules`` has only there.
    environ
        Variables that its code set, or removed (None).
    state
        Switches that its code turned: number in the list of all, and value.

    Examples
    --------
    >>> place = Place(Path("here").resolve())
    >>> with place.entered():
    ...     torch.set_default_dtype(torch.float64)
    ...     first = sys.path[0] == str(place.folder)
    >>> first, sys.path[0] == str(place.folder), torch.get_default_dtype()
    (True, False, torch.float32)
    >>> with place.entered():
    ...     inside = torch.get_default_dtype()
    >>> inside
    torch.float64
    """

    folder: Path
    paths: list[str] = field(default_factory=list)
    modules: dict[str, ModuleType] = field(default_factory=dict)
    environ: dict[str, str | None] = field(default_factory=dict)
    state: dict[int, Any] = field(default_factory=dict)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Import from here first; put everything back at the end. Prints go to stderr."""
        switches = _switches()
        outside = [read() for read, _ in switches]
        with self._variables(), self._imports(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Overwriting .* in registry")  # it is put back
            for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", kind)  # for its authors, not for its users
            try:
                for number, value in self.state.items():
                    switches[number][1](value)
                with redirect_stdout(sys.stderr):
                    yield
            finally:
                self.state = {}
                for number, (read, write) in enumerate(switches):
                    if (inside := read()) != outside[number]:
                        self.state[number] = inside
                        write(outside[number])

    @contextmanager
    def _variables(self) -> Iterator[None]:
        outside = dict(os.environ)
        _write_variables(self.environ)
        try:
            yield
        finally:
            names = {*os.environ, *outside}
            changed = {n for n in names if os.environ.get(n) != outside.get(n)}
            self.environ = {name: os.environ.get(name) for name in changed}
            _write_variables({name: outside.get(name) for name in changed})

    @contextmanager
    def _imports(self) -> Iterator[None]:
        path, bytecode = list(sys.path), sys.dont_write_bytecode
        modules = dict(sys.modules)
        if str(self.folder) not in self.paths:
            self.paths.insert(0, str(self.folder))
        names = {p.stem for d in self.paths for p in Path(d).glob("*.py")}
        names |= {p.name for d in self.paths for p in Path(d).glob("*/")}
        names -= {"__main__", "landscape"}  # one program, and one class Card
        for name in modules:
            top = name.partition(".")[0]
            if top in names and _home(modules.get(top)) not in {*self.paths, *_INSTALLED}:
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
            tops = {name.partition(".")[0] for name in new} - before - {"landscape"}
            roots = [Path(entry).resolve() for entry in self.paths]
            elsewhere = {*_INSTALLED, *path}
            own = {top for top in tops if _is_below(sys.modules.get(top), roots, elsewhere)}
            for name in new:
                if name.partition(".")[0] in own:
                    self.modules[name] = sys.modules.pop(name)
            sys.modules.update(modules)
            sys.path[:] = path
            sys.dont_write_bytecode = bytecode

    def digest(self) -> str:
        """SHA-256 of the files that have run here: their content and their names in the folder."""
        files = {getattr(module, "__file__", None) for module in self.modules.values()}
        total = hashlib.sha256()
        for file in sorted(Path(name) for name in files if name):
            own = file.is_relative_to(self.folder)
            name = file.relative_to(self.folder) if own else Path(file.name)
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{name.as_posix()} {content}\n".encode())
        return total.hexdigest()


@contextmanager
def undrawn() -> Iterator[None]:
    """Leave the random generators of torch, NumPy and Python where they stood.

    Examples
    --------
    >>> with undrawn():
    ...     first = torch.rand(1), np.random.rand(), random.random()
    >>> first == (torch.rand(1), np.random.rand(), random.random())
    True
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _switches() -> list[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """What reads and what writes each state of the process that foreign code may turn."""
    # imported first, always: else a clone of either would be imported in place of it, or not,
    # according to what came before
    import timm.models._registry
    import torchvision.models._api

    stores = [v for n, v in vars(timm.models._registry).items() if _is_store(n, v)]
    stores.append(torchvision.models._api.BUILTIN_MODELS)
    return [
        (torch.get_default_dtype, torch.set_default_dtype),
        (torch.get_default_device, _set_device),
        (torch.is_grad_enabled, torch.set_grad_enabled),
        (torch.get_num_threads, torch.set_num_threads),
        (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        (lambda: torch.hub._hub_dir, lambda value: setattr(torch.hub, "_hub_dir", value)),
        (_folder, _go),
        (lambda: [_copy(store) for store in stores], lambda value: _fill(stores, value)),
    ]


def _is_store(name: str, value: Any) -> bool:
    return name.startswith("_") and not name.startswith("__") and isinstance(value, dict | set)


def _copy(store: Any) -> Any:
    if isinstance(store, set):
        return set(store)
    # of a name's tags, or a module's names: lists, sets and dicts that change in place
    return {k: copy(v) if isinstance(v, list | set | dict) else v for k, v in store.items()}


def _fill(stores: list[Any], contents: list[Any]) -> None:
    for store, content in zip(stores, contents, strict=True):
        store.clear()
        store.update(_copy(content))


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None


def _go(folder: str | None) -> None:
    if folder is not None:
        with suppress(OSError):
            os.chdir(folder)


def _write_variables(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _home(module: ModuleType | None) -> str | None:
    """Name the entry of ``sys.path`` that a top-level module came from."""
    folders = list(getattr(module, "__path__", []))
    if folders:
        return str(Path(folders[0]).parent)
    file = getattr(module, "__file__", None)
    return str(Path(file).parent) if file else None


def _is_below(module: ModuleType | None, roots: list[Path], elsewhere: set[str]) -> bool:
    home = _home(module)
    if home is None or home in elsewhere:
        return False
    return any(Path(home).resolve().is_relative_to(root) for root in roots)
