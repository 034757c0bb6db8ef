"""`landscape selftest`."""

import json
from dataclasses import asdict
from typing import Any

import click


@click.command(short_help="Is what is measured here what theory says?")
@click.argument("checks", metavar="[CHECK]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="A list of objects, with everything.")
def command(checks: tuple[str, ...], as_json: bool) -> Any:
    """Check identities that hold exactly, with the functions that every command uses.

    Prints what theory says, the largest deviation from it on this machine, with these versions, and
    how large it may be. Exit status 1 if one is larger.

    \b
    Example:
      landscape selftest
      landscape selftest box_blur parseval
    """  # noqa: D301
    from landscape import selftest
    from landscape_cli.progress import shown
    from landscape_cli.summary import table

    with shown("selftest") as progress:
        found = selftest.run(checks, progress=progress)
    if as_json:
        click.echo(
            json.dumps([asdict(outcome) | {"ok": outcome.ok} for outcome in found], indent=1)
        )
    else:
        heads = ["check", "what theory says", "deviation", "bound", "ok"]
        rows = [[o.check, o.theory, o.deviation, o.bound, o.ok] for o in found]
        click.echo(table([heads, *rows]))
    for outcome in (o for o in found if o.error):
        click.echo(f"{outcome.check}: {outcome.error}", err=True)
    return 0 if all(outcome.ok for outcome in found) else 1
