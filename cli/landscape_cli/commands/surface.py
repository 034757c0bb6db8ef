"""`landscape surface`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure

SCHEMES = click.Choice(["filter", "layer", "none", "paper"])
MODES = click.Choice(["exact", "adaptive"])


@click.command(short_help="The loss on random lines or planes through the weights.")
@options.subject(limit=256, batch_size=128, split="train")
@click.option(
    "--points",
    type=int,
    default=11,
    show_default=True,
    help="Grid points along each direction; odd, to hit the weights.",
)
@click.option(
    "--span", type=float, default=1.0, show_default=True, help="How far each way, in norms."
)
@click.option(
    "--dims", metavar="1|2", type=int, default=2, show_default=True, help="A line or a plane."
)
@click.option(
    "--directions",
    type=SCHEMES,
    default="filter",
    help="Random, with the norms of the network's output filters (default), its layers, nothing, "
    "or its columns across output channels, as in the code of Park & Kim.",
)
@click.option("--ignore", metavar="REGEX", default=None, help="Also fix names that match.")
@click.option("--orthogonal", is_flag=True, default=False, help="Orthogonalise the second.")
@click.option("--planes", metavar="K", type=int, default=1, help="So many draws. Default: 1.")
@click.option("--mode", type=MODES, default="exact", help="All points, or interpolate from fewer.")
@click.option("--tol", type=float, default=None, help="Of adaptive, nats. Default: half nll_se.")
@click.option(
    "--batchnorm",
    metavar="frozen|batch|recal:M",
    default="frozen",
    help="Statistics: running ones, the batch's, or at each point those of the first M images.",
)
@options.decay
@options.output
def command(**shared: Any) -> Any:
    """Compute the loss on random lines or planes through the weights.

    \b
    Example:
      landscape surface --model vit_s
      landscape surface -m resnet_s -m vit_s --points 21 --augment deit --weight-decay 0.05
      landscape surface -m resnet_s --points 41 --mode adaptive --batchnorm recal:256
    """  # noqa: D301
    return measure("surface", **shared)
