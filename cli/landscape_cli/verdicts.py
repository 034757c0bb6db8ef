"""What `landscape claims` does: measure, judge, tell."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click

from landscape_cli.output import draw
from landscape_cli.progress import numbered


def listed() -> str:
    """Names and titles of all claims, and which analyses each needs."""
    from landscape.claims import find, names

    rows = [(name, find(name)) for name in names()]
    width = max(len(name) for name, _ in rows)
    lines = []
    for name, claim in rows:
        needs = ", ".join(analysis.name for analysis in claim.analyses)
        lines += [f"{name:{width}}  {claim.title}", f"{'':{width}}  {claim.source}; needs {needs}"]
    return "\n".join(lines)


def judged(
    *,
    names: Sequence[str],
    models: Sequence[str],
    data: str,
    seeds: int,
    quick: bool,
    output: str,
    measure: bool,
) -> dict[str, Any]:
    """Verdicts by name; writes report, twin, result and figure, and prints their paths."""
    from landscape import claims
    from landscape.result import check_writable, save, write
    from landscape.study.case import public, slug
    from landscape.study.gather import beside, gather, jobs, missing
    from landscape.study.report import page, twin, verdicts

    folder = Path(output)
    chosen = {name: claims.find(name) for name in names or claims.names()}
    home = f"{called(names)}@{slug(public(data))}"
    check_writable(folder / f"{home}.html")
    needs = [analysis for claim in chosen.values() for analysis in claim.analyses]
    every = jobs(needs, models, data, folder, seeds=seeds, quick=quick)
    more = {
        name: beside(claim, models, data, folder, seeds=seeds, quick=quick)
        for name, claim in chosen.items()
    }
    shown = None
    if measure:
        wanted = {job.path: job for job in [*every, *chain(*more.values())]}
        left = missing(list(wanted.values()))
        click.echo(f"{len(left)} of {len(wanted)} results are to be measured", err=True)
        shown = numbered(len(left))
    readings = list(gather(every, shown))
    found, files = {}, {}
    for name, claim in chosen.items():
        found[name] = (claim, claim.judge([*readings, *gather(more[name], shown)]))
        needed = {analysis.name for analysis in claim.analyses}
        files[name] = [
            str(job.path.relative_to(folder))
            for job in [*every, *more[name]]
            if job.analysis.name in needed and job.path.is_file()
        ]
    given = "".join([*(f" {name}" for name in names), *(f" -m {model}" for model in models)])
    command = f"landscape claims run{given} --data {data} --seeds {seeds}" + " --quick" * quick
    networks = list(dict.fromkeys(r.model for r in readings)) or models
    result = verdicts(found, networks, data)
    text = page(
        found, result, networks=networks, data=data, files=files, command=command, quick=quick
    )
    click.echo(write(folder / f"{home}.html", text.encode()))
    click.echo(write(folder / f"{home}.json", twin(found).encode()))
    click.echo(save(result, folder / f"{home}.nc"))
    if any(verdict.effect for _, verdict in found.values()):
        click.echo(draw([result], folder / "figures" / f"{home}.png"))
    return found


def called(names: Sequence[str]) -> str:
    """What a report is of: some claims do not take the place of all."""
    return f"{names[0]}+{len(names) - 1}".removesuffix("+0") if names else "claims"


def told(found: dict[str, Any]) -> None:
    """Print the verdict table to stderr, in short."""
    from landscape.study.report import ranked

    for name, (_, verdict) in ranked(found).items():
        effect = f"{verdict.effect} {verdict.units}" if verdict.effect else verdict.reason
        click.echo(f"{verdict.word:14} {name:40} {effect}", err=True)
