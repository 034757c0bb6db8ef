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
@click.option(
    "--quantity",
    metavar="NAME",
    help="Of surfaces: nll (the default), accuracy, l2, decay (weight decay times that) or loss, "
    "NLL plus decay. Of others that have several: normalised_variance of variance, ...",
)
@click.option("--relief", is_flag=True, help="Of surfaces: minus the value at the centre.")
def command(
    paths: tuple[str, ...], output: str, view: str | None, quantity: str | None, relief: bool
) -> None:
    """Draw stored RESULTs of one analyzer in one figure.

    \b
    Example:
      landscape plot results/*@deadleaves/fourier.nc -o fourier.pdf
      landscape plot results/*@deadleaves/surface.nc --view 3d -o surface.png
      landscape plot results/*@deadleaves/surface.nc --quantity loss --relief -o loss.png
      landscape plot results/*@deadleaves/surface.nc -o surface.html
    """  # noqa: D301
    import landscape
    from landscape_cli.output import draw

    asked = {"view": view, "quantity": quantity, "relief": relief or None}
    choice = {name: value for name, value in asked.items() if value is not None}
    click.echo(draw([landscape.load(path) for path in paths], Path(output), **choice))
