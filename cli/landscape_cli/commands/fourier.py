"""`landscape fourier`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Log amplitude of the feature maps along frequency.")
@options.subject(limit=256, batch_size=64, split="test")
@click.option(
    "--axis",
    type=click.Choice(["diagonal", "radial"]),
    default="radial",
    show_default=True,
    help="Means over rings, or equal frequencies along both axes, as in the paper.",
)
@options.output
def command(**shared: Any) -> Any:
    """Measure the relative log amplitude of the feature maps along frequency, at every depth.

    \b
    Example:
      landscape fourier --model vit_s
      landscape fourier -m resnet_s -m vit_s --axis diagonal -o out
    """  # noqa: D301
    return measure("fourier", labels=False, **shared)
