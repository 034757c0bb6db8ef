"""`landscape hessian`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Hessian eigenvalues of the loss, of each mini-batch and of all.")
@options.subject(limit=128, batch_size=16, split="train")
@click.option("--k", type=int, default=5, show_default=True, help="Eigenvalues a mini-batch.")
@options.decay
@click.option(
    "--tol",
    type=float,
    default=1e-3,
    show_default=True,
    help="Converged when the residual is at most this share of the eigenvalue.",
)
@click.option(
    "--max-products",
    type=int,
    default=200,
    show_default=True,
    help="Hessian-vector products after which a mini-batch gives up, and says so.",
)
@click.option(
    "--whole/--no-whole", default=True, show_default=True, help="Also of all images as one batch."
)
@options.curvature
@click.option(
    "--ends", is_flag=True, default=False, help="Of all images also both ends of the spectrum."
)
@click.option(
    "--parts", is_flag=True, default=False, help="Also the Gauss-Newton part of each eigenvalue."
)
@click.option("--vectors", is_flag=True, default=False, help="Also the eigenvectors of all images.")
@click.option(
    "--engine",
    type=click.Choice(["landscape", "pyhessian"]),
    default="landscape",
    show_default=True,
    help="PyHessian's power iteration, for a cross-check.",
)
@options.output
def command(**shared: Any) -> Any:
    """Compute the Hessian eigenvalues of largest magnitude, of each mini-batch and of all images.

    \b
    Example:
      landscape hessian --model vit_s
      landscape hessian -m resnet_s -m vit_s --augment deit --weight-decay 0.05
      landscape hessian --model vit_s --ends --parts
    """  # noqa: D301
    return measure("hessian", **shared)
