"""`landscape blocks`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure


@click.command(short_help="Hessian spectra of the parts of a network.")
@options.subject(limit=128, batch_size=128, split="train")
@click.option(
    "--by",
    metavar="kind|module|REGEX",
    default="kind",
    show_default=True,
    help="Parts by what a layer does, by place, or by what the group of a regular expression finds "
    "in the names of parameters.",
)
@click.option("--k", type=int, default=5, show_default=True, help="Eigenvalues a block.")
@click.option("--probes", type=int, default=8, show_default=True, help="For the trace.")
@options.decay
@click.option(
    "--matrix",
    type=click.Choice(["hessian", "ggn", "residual"]),
    default="hessian",
    show_default=True,
    help="The Hessian, its Gauss-Newton part, or what remains.",
)
@click.option(
    "--batchnorm", type=click.Choice(["eval", "batch"]), default="eval", help="Statistics."
)
@click.option("--tol", type=float, default=1e-3, show_default=True, help="Relative residual.")
@click.option("--max-products", type=int, default=200, show_default=True, help="Give up after.")
@options.output
def command(**shared: Any) -> Any:
    """Compute the leading eigenvalues and the trace of each diagonal block of the Hessian.

    \b
    Example:
      landscape blocks --model vit_s --by kind
      landscape blocks -m alternet_s --by module --augment deit
    """  # noqa: D301
    return measure("blocks", **shared)
