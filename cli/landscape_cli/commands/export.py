"""`landscape export`."""

from pathlib import Path

import click

from landscape_cli import options


@click.command(short_help="A result as comma-separated values.")
@options.result
@click.option(
    "--csv", is_flag=True, expose_value=False, help="Comma-separated values, the only format."
)
@click.option("-o", "--output", metavar="FILE", help="Write there, not to stdout.")
def command(path: str, output: str | None) -> None:
    """Export a RESULT as long tables, one for each set of dimensions, parted by an empty line.

    \b
    Example:
      landscape export results/vit_s@deadleaves/fourier.nc --csv -o fourier.csv
    """  # noqa: D301
    import landscape
    from landscape.result import to_csv, write

    text = to_csv(landscape.load(path))
    if output is None:
        click.echo(text, nl=False)
    else:
        click.echo(write(Path(output), text.encode()))
