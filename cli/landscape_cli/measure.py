"""What the commands of all analyzers do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from landscape_cli.output import draw, places
from landscape_cli.progress import shown


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
    **settings: Any,
) -> Path | None:
    """Run an analyzer on every network, save each result when it is there, draw all.

    All names, weights and files are tried before the first computation. Prints the paths.

    Returns
    -------
    Path or None
        Of the figure.
    """
    import landscape
    from landscape.result import check_writable

    cases = [
        landscape.prepare(
            model,
            data,
            weights=weights,
            augment=augment,
            split=split,
            limit=limit,
            batch_size=batch_size,
            seed=seed,
            labels=labels,
        )
        for model in models
    ]
    paths, picture = places(Path(output), [case.name for case in cases], analyzer)
    for path in [*paths, picture] if figure else paths:
        check_writable(path)
    results = []
    for case, path in zip(cases, paths, strict=True):
        with shown(case.name) as progress:
            function = getattr(landscape, analyzer)
            result = function(case.model, case.batches, seed=seed, progress=progress, **settings)
        results.append(landscape.label(result, **case.facts))
        click.echo(landscape.save(results[-1], path))
    if not figure:
        return None
    click.echo(draw(results, picture))
    return picture
