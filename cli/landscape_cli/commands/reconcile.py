"""`landscape reconcile`."""

from pathlib import Path

import click

from landscape_cli.output import draw
from landscape_cli.progress import numbered


@click.command(short_help="Which choice of the measurement decides who is flatter.")
@click.argument("first", metavar="MODEL")
@click.argument("second", metavar="MODEL")
@click.option("-d", "--data", default="cifar10", show_default=True, help="Data set.")
@click.option("--quick", is_flag=True, help="Few images: to see that it runs.")
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    default="results",
    show_default=True,
    help="Gets reconcile.nc and figures/reconcile.png, and keeps what was measured.",
)
def command(first: str, second: str, data: str, quick: bool, output: str) -> None:
    """Compare the sharpness of two networks under every combination of choices.

    Loss, data, training recipe, BatchNorm, checkpoint, batch size or radius: all combinations, and
    how much each accounts for the change from the protocol of Park & Kim to that of Chen et al.

    \b
    Example:
      landscape reconcile resnet_s vit_s
    """  # noqa: D301
    from landscape.result import check_writable, save
    from landscape.study.gather import missing
    from landscape.study.reconcile import needed, reconcile

    folder = Path(output)
    check_writable(folder / "reconcile.nc")
    wanted = needed(first, second, data, folder, quick=quick)
    left = missing(wanted)
    click.echo(f"{len(left)} of {len(wanted)} results are to be measured", err=True)
    shown = numbered(len(left))
    result = reconcile(first, second, data, folder, shown=shown, quick=quick)
    click.echo(save(result, folder / "reconcile.nc"))
    click.echo(draw([result], folder / "figures" / "reconcile.png"))
