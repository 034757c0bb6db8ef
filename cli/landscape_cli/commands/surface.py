"""`landscape surface`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="The loss on a random plane through the weights.")
@options.subject(limit=256, batch_size=128, split="train")
@click.option(
    "--points",
    type=int,
    default=11,
    show_default=True,
    help="Grid points along each direction; odd, to hit the weights.",
)
@click.option(
    "--span",
    type=float,
    default=1.0,
    show_default=True,
    help="How far each way; 1 moves each filter by its own norm.",
)
@options.weight_decay
@options.output
def command(**shared: Any) -> Any:
    """Compute the loss on a filter-normalised random plane through the weights.

    \b
    Example:
      landscape surface --model vit_s
      landscape surface -m resnet_s -m vit_s --points 21 --augment deit --weight-decay 0.05
    """  # noqa: D301
    return measure("surface", **shared)
