"""`landscape sharpness`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure

RADII = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
POLICIES = click.Choice(["frozen", "batch"])


def _number(name: str, kind: Any, default: Any, text: str, **more: Any) -> Any:
    return click.option(name, type=kind, default=default, show_default=True, help=text, **more)


@click.command(short_help="Average and worst rise of the loss around the weights.")
@options.subject(limit=256, batch_size=128, split="train")
@click.option(
    "--radius",
    "radii",
    type=float,
    multiple=True,
    default=RADII,
    show_default=True,
    help="Of the averages; again for each.",
)
@_number("--directions", int, 10, "Random directions.")
@_number("--ball", float, None, "Distance at radius 1 of the ball. Default: norm of the weights.")
@_number("--rise", float, 0.1, "Flat is where the NLL rises by less, in nats.")
@_number("--fall", float, 0.05, "Flat is where the accuracy falls by less, a share.")
@_number("--m", int, 32, "Images of a group, for each of which the worst direction is sought.")
@_number("--steps", int, 5, "Of ascent; the first is that of SAM.")
@_number("--rho", float, (0.05, 0.5), "Radii of the worst case, Euclidean and adaptive.", nargs=2)
@_number("--rescale", float, 4.0, "Factor of the twin's filters and queries.")
@_number("--batchnorm", POLICIES, "frozen", "Running statistics, or those of the batch or group.")
@options.output
def command(**shared: Any) -> Any:
    """Measure how much the loss rises around the weights, on average and at worst.

    \b
    Example:
      landscape sharpness --model vit_s
      landscape sharpness -m resnet_s -m vit_s --directions 30 --m 64 --steps 20
    """  # noqa: D301
    return measure("sharpness", **shared)
