"""`landscape variance`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Spatial variance of the feature maps, by depth.")
@options.subject(limit=256, batch_size=64, split="test")
@options.outliers
@options.controls(*options.INPUTS, *options.OF_MODELS)
@options.output
def command(**shared: Any) -> Any:
    """Measure the spatial variance of the feature maps, at every depth.

    \b
    Example:
      landscape variance --model vit_s
      landscape variance -m resnet_s -m vit_s -m alternet_s
    """  # noqa: D301
    return measure("variance", labels=False, **shared)
