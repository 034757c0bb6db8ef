"""How far a long computation got, on stderr."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]


@contextmanager
def shown(name: str) -> Iterator[Progress]:
    """Yield a ``progress(items, total, label)`` for analyzers.

    On a terminal a bar with the time left, which is gone afterwards; else a line at the start and
    one at the end.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda items, total, label: _lines(items, total, f"{name} {label}")
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # stdout is for data and must not come out of the console of stderr
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:

        def follow(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
            task = bars.add_task(f"{name} {label}", total=total)
            for item in items:
                yield item
                bars.advance(task)

        yield follow


def numbered(total: int) -> Callable[[str], Any]:
    """`shown` for one result after another: which of so many it is, and about how long all take."""
    times = [time.monotonic()]

    @contextmanager
    def one(name: str) -> Iterator[Progress]:
        done = len(times) - 1
        each = (times[-1] - times[0]) / max(done, 1)
        left = f", about {duration(each * (total - done))} left" if done else ""
        with shown(f"[{done + 1} of {total}{left}] {name}") as progress:
            yield progress
        times.append(time.monotonic())

    return one


def _lines(items: Iterable[Any], total: int, label: str) -> Iterator[Any]:
    click.echo(f"{label}: {total} step{'s' * (total != 1)}", err=True)
    start = time.monotonic()
    yield from items
    click.echo(f"{label}: done in {duration(time.monotonic() - start)}", err=True)


def duration(seconds: float) -> str:
    """Seconds for people.

    Examples
    --------
    >>> duration(5.2), duration(125), duration(7300)
    ('5 s', '2 min 5 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def epochs_on(total: int) -> Callable[[int, float], None]:
    """Make a ``report(epoch, loss)`` for a training: a line each epoch, with the time left."""
    times: list[float] = [time.monotonic()]

    def report(epoch: int, loss: float) -> None:
        times.append(time.monotonic())
        left = (times[-1] - times[0]) / (len(times) - 1) * (total - epoch)
        click.echo(f"epoch {epoch}/{total}  loss {loss:.4f}  {duration(left)} left", err=True)

    return report
