"""`landscape transfer`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure

PARTS = ("kernel", "head", "branch", "block")


@click.command(short_help="Frequency response of the operations themselves.")
@options.subject(limit=64, batch_size=32, split="test")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    default=PARTS,
    help="Convolutions by their weights, attention head by head, Jacobians of branches (with and "
    "without the skip), Jacobians of blocks; again for each. Default: all.",
)
@click.option("--bands", type=int, default=4, show_default=True, help="Of frequency, 4, 8, ...")
@click.option("--probes", type=int, default=1, show_default=True, help="Waves of each, an image.")
@click.option(
    "--rows",
    type=click.Choice(["kept", "renormalised"]),
    default="kept",
    show_default=True,
    help="Attention without class tokens as it is, or with rows that sum to 1 again.",
)
@options.controls(*options.INPUTS, *options.OF_MODELS)
@options.output
def command(**shared: Any) -> Any:
    """Measure what convolutions, attention, branches and blocks do to waves of each frequency.

    \b
    Example:
      landscape transfer --model vit_s
      landscape transfer -m resnet_s -m vit_s --part branch --part head --probes 4
      landscape transfer --model vit_s --control untrained
    """  # noqa: D301
    return measure("transfer", labels=False, **shared)
