"""`landscape ablation`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Loss with attention frozen to its mean, or narrowed.")
@options.subject(limit=1024, batch_size=64, split="test")
@click.option(
    "--window",
    "windows",
    type=int,
    multiple=True,
    default=(3, 5),
    show_default=True,
    help="Side of the square that attention is narrowed to, in places; again for each.",
)
@options.output
def command(**shared: Any) -> Any:
    """Measure accuracy and NLL with attention frozen, and with attention narrowed.

    \b
    Example:
      landscape ablation -m vit_s -m alternet_s --data cifar10
      landscape ablation --model vit_s --window 1 --window 3 --window 7
    """  # noqa: D301
    return measure("ablation", **shared)
