"""Is what is measured here what theory says? Exact identities, on this machine and these versions.

A file of this folder holds checks: functions without arguments, marked `check`, that ask the
functions everyone uses for something whose answer is known, and return what they are off by. The
first line of a docstring is what theory says.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

Check = Callable[[], ArrayLike]
_CHECKS: dict[str, tuple[Check, float]] = {}


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes
    ----------
    check, theory
        Its name, and what should be true.
    deviation, bound
        The largest absolute difference from that, and the largest allowed.
    error
        Why there is no deviation, if the check could not be run.
    seconds
        How long it took.
    """

    check: str
    theory: str
    deviation: float
    bound: float
    error: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the deviation is within the bound; what is no number is not."""
        return self.deviation <= self.bound


def check(bound: float) -> Callable[[Check], Check]:
    """Mark a function that returns differences, none of which may be larger than ``bound``."""

    def mark(function: Check) -> Check:
        _CHECKS[function.__name__] = function, bound
        return function

    return mark


def checks() -> list[str]:
    """Names of all checks, by file and in the order of the files."""
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        import_module(f"landscape.selftest.{path.stem}")
    return list(_CHECKS)


def run(
    names: Sequence[str] = (),
    *,
    progress: Callable[[Iterable[Any], int, str], Iterator[Any]] | None = None,
) -> list[Outcome]:
    """Run checks, all unless named; the random generators are left as they were.

    Parameters
    ----------
    names
        Out of `checks`.
    progress
        ``progress(items, total, label)`` yields the items and may show how far it got.

    Raises
    ------
    ValueError
        For an unknown check.

    Examples
    --------
    >>> [outcome] = run(["box_blur"])
    >>> outcome.ok, outcome.theory
    (True, 'A 2x2 box blur has the gain cos(w_x / 2) cos(w_y / 2).')
    """
    known = checks()
    for name in names:
        if name not in known:
            raise ValueError(f"unknown check '{name}'; choose {', '.join(known)}")
    wanted = list(names) or known
    return [
        _run(name) for name in (progress(wanted, len(wanted), "checks") if progress else wanted)
    ]


def _run(name: str) -> Outcome:
    function, bound = _CHECKS[name]
    theory = (function.__doc__ or "").split("\n\n")[0]
    start, deviation, error = time.monotonic(), float("nan"), ""
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            off = function()
        deviation = float(np.abs(np.asarray(off, dtype=np.float64)).max())
    except Exception as problem:  # whatever it is, the check has failed and the others go on
        error = f"{type(problem).__name__}: {problem}"
    return Outcome(
        name, " ".join(theory.split()), deviation, bound, error, time.monotonic() - start
    )
