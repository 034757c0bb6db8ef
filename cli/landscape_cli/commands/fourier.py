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
@click.option(
    "--window",
    type=click.Choice(["none", "hann", "dct"]),
    default="none",
    show_default=True,
    help="Of the power, against leakage from the borders.",
)
@options.outliers
@options.controls(*options.INPUTS, *options.OF_MODELS)
@options.output
def command(**shared: Any) -> Any:
    """Measure spectra of the feature maps at every depth.

    Log amplitudes as the paper has them; power, and its steps from operation to operation.

    \b
    Example:
      landscape fourier --model vit_s
      landscape fourier -m resnet_s -m vit_s --axis diagonal -o out
      landscape fourier --model vit_s --window hann --control untrained
    """  # noqa: D301
    return measure("fourier", labels=False, **shared)
