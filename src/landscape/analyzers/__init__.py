"""Analyzers: functions of (model, batches, settings) that leave no trace on the model.

One public function a file, named like the file; `landscape.NAME` finds it there. The decorator
below is what all have in common.
"""

import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

from landscape.journal import Journal
from landscape.result import Result, plain, stamp
from landscape.subject.batches import check, check_finite, check_repeatable
from landscape.subject.guest import untouched
from landscape.subject.objective import Batches

T = TypeVar("T")
_BESIDE = ("progress", "journal")  # settings that do not change the result
#: ``progress(items, total, label)`` yields the items and may show how far it got
Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]


def silent(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Show nothing."""
    yield from items


def analyzer(function: Callable[..., Result]) -> Callable[..., Result]:
    """Wrap an analyzer: guest rights for the model, checked input, seeded draws, stamped result.

    The model is in eval mode inside. The keyword-only signature is the configuration; it is bound
    and stored with the result, but for what cannot change it: ``progress``, and the ``journal`` of
    a long one, which gets a path and is handed on opened.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Result:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        model, batches = bound.args[:2]
        if not isinstance(model, nn.Module):
            raise TypeError(f"the model must be an nn.Module, got {type(model).__name__}")
        with _interruptible(), untouched(model), ExitStack() as inside:
            model.eval()
            check_finite(model)
            check(batches)
            check_repeatable(model, batches)
            torch.manual_seed(bound.arguments.get("seed", 0))
            digest = fingerprint(model)
            settings = {k: _told(v) for k, v in bound.kwargs.items() if k not in _BESIDE}
            if "journal" in bound.arguments:
                told = json.dumps(settings, sort_keys=True, default=plain).encode()
                depends = {
                    "analyzer": function.__name__,
                    "weights": digest,
                    "batches": contents(batches),
                    "settings": hashlib.sha256(told).hexdigest(),
                    "torch": torch.__version__,
                }
                book = Journal(bound.arguments["journal"], depends)
                bound.arguments["journal"] = inside.enter_context(book)
            result = function(*bound.args, **bound.kwargs)
        result = stamp(
            result,
            function.__name__,
            settings,
            weights_sha256=digest,
            parameters=sum(p.numel() for p in model.parameters()),
            examples=sum(len(x) for x, _ in batches),
            batches=sum(1 for _ in batches),
            torch=torch.__version__,
        )
        return result.assign_attrs(model=type(model).__name__, family="", data="")

    return wrapper


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let an interrupt be one: stopped between two steps, torch may raise an error over it."""
    outer = sys.exception()
    try:
        yield
    except Exception as error:
        seen: BaseException | None = error
        while seen is not None and seen is not outer:
            if isinstance(seen, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            seen = seen.__context__
        raise


def _told(value: Any) -> Any:
    """A setting as it is stored: several networks by their fingerprints."""
    if isinstance(value, list | tuple):
        return [fingerprint(item) if isinstance(item, nn.Module) else item for item in value]
    return value


def contents(batches: Batches) -> str:
    """sha256 of dtypes, shapes and bytes of all inputs and targets."""
    digest = hashlib.sha256()
    for pair in batches:
        for part in pair:
            digest.update(f"{part.dtype}|{tuple(part.shape)}|".encode())
            data = part.detach().cpu().contiguous().reshape(-1)
            digest.update(data.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fingerprint(model: nn.Module) -> str:
    """sha256 of names, dtypes, shapes and bytes of the state dict, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
            data = value.detach().cpu().contiguous().reshape(-1)
            digest.update(data.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
