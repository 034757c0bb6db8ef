"""`landscape batchsize`."""

from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import measure

MATRICES = click.Choice(["hessian", "ggn", "residual"])
STATISTICS = click.Choice(["eval", "batch"])


def _sizes(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"numbers parted by commas, as 8,16,32; got '{value}'") from None


@click.command(short_help="The largest Hessian eigenvalues against batch size.")
@options.subject(limit=256, batch_size=256, split="train")
@click.option("--sizes", metavar="N,N,...", callback=_sizes, default=None, help="Batch sizes.")
@click.option("--k", type=int, default=5, show_default=True, help="Eigenvalues a batch.")
@click.option("--per-unit", type=int, default=None, help="Batches of a size in the largest one.")
@options.decay
@click.option("--matrix", type=MATRICES, default="hessian", help="Or one of its two parts.")
@click.option("--batchnorm", type=STATISTICS, default="eval", help="Running or batch statistics.")
@click.option("--tol", type=float, default=1e-3, show_default=True, help="Relative residual.")
@click.option("--max-products", type=int, default=200, show_default=True, help="Give up after.")
@options.output
def command(**shared: Any) -> Any:
    """Extrapolate the largest Hessian eigenvalues in 1 / batch size, and check it.

    \b
    Example:
      landscape batchsize --model resnet_s
      landscape batchsize -m resnet_s -m vit_s --sizes 8,16,32,64,128 --limit 512
    """  # noqa: D301
    return measure("batchsize", **shared)
