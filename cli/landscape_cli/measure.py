"""What the commands of all analyzers do."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from landscape_cli.output import draw, places
from landscape_cli.progress import shown

T = TypeVar("T")


def measure(
    analyzer: str,
    *,
    models: Sequence[str],
    data: str,
    augment: str,
    limit: int | None,
    batch_size: int,
    split: str,
    weights: str | None,
    seed: int,
    output: str,
    figure: bool,
    labels: bool = True,
    trust: bool = False,
    decay_form: Literal["l2", "norms"] = "l2",
    decayed: Literal["all", "matrices"] = "all",
    controls: Sequence[str] = (),
    inits: int = 3,
    views: Sequence[str] = (),
    **settings: Any,
) -> Path | None:
    """Run an analyzer on every network, save each result when it is there, draw all.

    All names, weights and files are tried before the first computation. Prints the paths. A long
    analyzer keeps a journal beside each result until all results are there: stopped, it goes on.

    Parameters
    ----------
    views
        Of the analyzer's pictures, those that get a figure of their own.

    Returns
    -------
    Path or None
        Of the figure.
    """
    import landscape
    from landscape.journal import discard
    from landscape.result import check_writable
    from landscape.study import twins

    if (decay_form, decayed) != ("l2", "all"):  # else the number alone says it
        from landscape.subject.penalty import penalty

        settings["weight_decay"] = penalty(settings["weight_decay"], decay_form, decayed)
    cases = [
        asking(
            landscape.prepare,
            model,
            data,
            weights=weights,
            augment=augment,
            split=split,
            limit=limit,
            batch_size=batch_size,
            seed=seed,
            labels=labels,
            trust=trust,
        )
        for model in models
    ]
    paths, picture = places(Path(output), [case.name for case in cases], analyzer)
    pictures: dict[Path, dict[str, str]] = {picture: {}}
    pictures |= {picture.with_stem(f"{picture.stem}.{view}"): {"view": view} for view in views}
    for path in [*paths, *pictures] if figure else paths:
        check_writable(path)
    function = getattr(landscape, analyzer)
    long = "journal" in signature(function).parameters
    for case in cases if "untrained" in controls else ():
        twins(case.card, min(inits, 1), seed)  # now, if there are none
    results = []
    for case, path in zip(cases, paths, strict=True):
        place = path.with_suffix(".journal")
        more = settings | case.asked(function) | ({"journal": place} if long else {})
        if controls:
            more["controls"] = controls
        if "untrained" in controls:
            more["twins"] = twins(case.card, inits, seed)
        with _resumable(place), shown(case.name) as progress:
            result = function(case.model, case.batches, seed=seed, progress=progress, **more)
        results.append(landscape.label(result, **case.facts))
        click.echo(landscape.save(results[-1], path))
    for path in paths if long else ():
        discard(path.with_suffix(".journal"))
    if not figure:
        return None
    for path, choice in pictures.items():
        click.echo(draw(results, path, **choice))
    return picture


@contextmanager
def _resumable(place: Path) -> Iterator[None]:
    """Let an interrupt say where finished pieces are; a journal without any is no use."""
    from landscape.journal import discard

    try:
        yield
    except KeyboardInterrupt:
        if not any(place.glob("*.npz")):
            discard(place)
            raise
        raise KeyboardInterrupt(
            f"finished pieces are kept in {place}; the same command goes on there"
        ) from None


def asking(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call a function that loads a network; on a terminal, ask for the trust that it lacks.

    A yes is remembered as torch.hub remembers it; a no is the library's own error.
    """
    from landscape.models.clone import UntrustedError, remember

    try:
        return function(*args, **options)
    except UntrustedError as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        where = f"https://github.com/{error.repository}"
        question = f"Do you trust the code of {where} to run on this machine, now and later?"
        if not click.confirm(question, err=True):
            raise
        remember(error.repository)
        return function(*args, **options)
