"""`landscape receptive`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Receptive fields, reach of attention, equivariance to shifts.")
@options.subject(limit=64, batch_size=16, split="test")
@click.option(
    "--cotangents",
    type=int,
    default=4,
    show_default=True,
    help="Random signs of the channels, a backward pass each.",
)
@options.controls(*options.INPUTS, *options.OF_MODELS)
@options.output
def command(**shared: Any) -> Any:
    """Measure what feature maps and attention look at, and whether they move with the image.

    \b
    Example:
      landscape receptive --model vit_s
      landscape receptive -m resnet_s -m vit_s -m alternet_s
    """  # noqa: D301
    return measure("receptive", labels=False, **shared)
