"""`landscape density`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Density of all Hessian eigenvalues; trace; negative mass.")
@options.subject(limit=128, batch_size=128, split="train")
@click.option("--probes", type=int, default=8, show_default=True, help="Random vectors.")
@click.option("--steps", type=int, default=60, show_default=True, help="Products for each.")
@click.option(
    "--deflate",
    type=int,
    default=0,
    show_default=True,
    help="Eigenvalues of largest magnitude to compute apart: less error.",
)
@options.decay
@options.curvature
@click.option(
    "--parts", is_flag=True, default=False, help="Also of the Gauss-Newton part and the residual."
)
@options.output
def command(**shared: Any) -> Any:
    """Estimate the density of all Hessian eigenvalues by stochastic Lanczos quadrature.

    \b
    Example:
      landscape density --model vit_s
      landscape density -m resnet_s -m vit_s --augment deit --weight-decay 0.05
      landscape density --model vit_s --parts
      landscape density --model resnet_s --probes 4 --deflate 10
    """  # noqa: D301
    return measure("density", **shared)
