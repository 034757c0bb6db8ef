"""`landscape critical`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


def _number(name: str, default: float, about: str) -> Any:
    return click.option(name, type=type(default), default=default, show_default=True, help=about)


@click.command(short_help="Minimum or saddle: both ends of the spectrum, lines down.")
@options.subject(limit=128, batch_size=128, split="train")
@_number("--tol", 1e-3, "Decrease by the slope, over the risk, that makes it no critical point.")
@_number("--tol-curvature", 1e-3, "Curvature that counts, over the largest.")
@_number("--max-products", 200, "Hessian-vector products for the ends of the spectrum, at most.")
@_number("--probes", 4, "Random vectors for the negative mass; 0 skips it.")
@_number("--steps", 40, "Products for each.")
@options.decay
@click.option(
    "--parameters", metavar="REGEX", default=None, help="Only parameters with such names vary."
)
@click.option(
    "--batchnorm",
    type=click.Choice(["eval", "batch"]),
    default="eval",
    show_default=True,
    help="Running statistics, or those of each batch.",
)
@options.output
def command(**shared: Any) -> Any:
    """Tell whether the weights are a minimum, a saddle, or no critical point of the loss.

    \b
    Example:
      landscape critical --model vit_s
      landscape critical -m resnet_s -m vit_s --augment deit --weight-decay 0.05
    """  # noqa: D301
    return measure("critical", **shared)
