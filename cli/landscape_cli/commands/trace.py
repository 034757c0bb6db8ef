"""`landscape trace`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Trace and Frobenius norm of the Hessian, with intervals.")
@options.subject(limit=128, batch_size=128, split="train")
@click.option(
    "--method",
    type=click.Choice(["hutchpp", "xtrace", "hutchinson"]),
    default="hutchpp",
    show_default=True,
    help="Estimator.",
)
@click.option(
    "--products", type=int, default=60, show_default=True, help="How many; with --tol at least."
)
@click.option(
    "--tol", type=float, default=None, help="Relative error down to which hutchinson goes on."
)
@options.decay
@options.curvature
@click.option(
    "--engine",
    type=click.Choice(["landscape", "pyhessian"]),
    default="landscape",
    show_default=True,
    help="PyHessian for a cross-check, with hutchinson only.",
)
@options.output
def command(**shared: Any) -> Any:
    """Estimate the sum of the Hessian's eigenvalues, and of their squares.

    \b
    Example:
      landscape trace --model vit_s
      landscape trace -m resnet_s -m vit_s --method hutchinson --tol 0.05
    """  # noqa: D301
    return measure("trace", **shared)
