"""`landscape plot`."""

from pathlib import Path

import click


@click.command(short_help="A figure of stored results.")
@click.argument("paths", metavar="RESULT...", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="FIGURE",
    required=True,
    help="The suffix is the format: .png, .pdf, .svg, ...",
)
def command(paths: tuple[str, ...], output: str) -> None:
    """Draw stored RESULTs of one analyzer in one figure.

    \b
    Example:
      landscape plot results/*@deadleaves/fourier.nc -o fourier.pdf
    """  # noqa: D301
    import landscape
    from landscape_cli.output import draw

    click.echo(draw([landscape.load(path) for path in paths], Path(output)))
