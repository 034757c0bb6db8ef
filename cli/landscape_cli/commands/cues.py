"""`landscape cues`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Which cue decides where two disagree: shape, texture, ...")
@options.subject(limit=1024, batch_size=64, split="test")
@click.option("--clip", is_flag=True, default=False, help="Clip recombined pixels to their range.")
@options.controls(*options.OF_MODELS)
@options.output
def command(**shared: Any) -> Any:
    """Measure which of two cues decides, on images where they show different classes.

    \b
    Example:
      landscape cues -m resnet_s -m vit_s -m alternet_s --data deadleaves:conflict
      landscape cues --model vit_s --data cifar10 --control untrained
    """  # noqa: D301
    return measure("cues", **shared)
