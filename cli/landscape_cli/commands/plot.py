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
    help="The suffix is the format: .png, .pdf, .svg, ...; of surfaces also .html, a page to turn "
    "them on, in one file that needs no network.",
)
@click.option(
    "--view",
    metavar="NAME",
    help="Only this view of an analyzer that has several: spectra or depth of fourier, contour or "
    "3d of surface, ... (a wrong name lists them).",
)
def command(paths: tuple[str, ...], output: str, view: str | None) -> None:
    """Draw stored RESULTs of one analyzer in one figure.

    \b
    Example:
      landscape plot results/*@deadleaves/fourier.nc -o fourier.pdf
      landscape plot results/*@deadleaves/surface.nc --view 3d -o surface.png
      landscape plot results/*@deadleaves/surface.nc -o surface.html
    """  # noqa: D301
    import landscape
    from landscape_cli.output import draw

    choice = {} if view is None else {"view": view}
    click.echo(draw([landscape.load(path) for path in paths], Path(output), **choice))
