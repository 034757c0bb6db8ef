"""`landscape robustness`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


def _number(name: str, kind: type, default: Any, text: str) -> Any:
    return click.option(name, type=kind, default=default, show_default=True, help=text)


@click.command(short_help="Accuracy under noise of one band of frequencies; heat map.")
@options.subject(limit=512, batch_size=64, split="test")
@click.option(
    "--norm",
    type=click.Choice(["energy", "snr", "paper"]),
    default="energy",
    show_default=True,
    help="Noise of the same energy in every band; in proportion to the image's own; Park & Kim's.",
)
@_number("--bands", int, None, "Rings up to the Nyquist frequency.  [default: 8]")
@click.option(
    "--strength",
    "strengths",
    type=float,
    multiple=True,
    default=None,
    help="Of the noise; again for each.",
)
@_number("--replicates", int, 1, "Draws of the noise for each image.")
@_number("--width", float, 0.1, "Of the square rings of --norm paper, in pi rad/sample.")
@click.option("--clip", is_flag=True, default=False, help="Clip noisy pixels to their range.")
@_number(
    "--heat",
    int,
    0,
    "Heat map of so many frequencies a side, an odd number; 0: none. It gets a figure of its own.",
)
@_number("--heat-strength", float, 0.1, "RMS of its waves, where pixels run from 0 to 1.")
@options.controls(*options.OF_MODELS)
@options.output
def command(strengths: tuple[float, ...], heat: int, **shared: Any) -> Any:
    """Measure accuracy and NLL under noise of one band of frequencies at a time.

    \b
    Example:
      landscape robustness -m resnet_s -m vit_s -m alternet_s
      landscape robustness --model vit_s --norm snr --strength 0.5 --strength 1
      landscape robustness --model vit_s --heat 17
    """  # noqa: D301
    views = ("heat",) if heat else ()
    return measure("robustness", strengths=strengths or None, heat=heat, views=views, **shared)
