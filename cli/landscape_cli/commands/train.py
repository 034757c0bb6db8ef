"""`landscape train`."""

from pathlib import Path
from typing import Any

import click

from landscape_cli import options
from landscape_cli.measure import asking
from landscape_cli.progress import epochs_on


@click.command(short_help="Train a network as those of the zoo were trained.")
@click.option("-m", "--model", required=True, help="A name of 'landscape models'.")
@click.option("-d", "--data", default="deadleaves", show_default=True, help="A data set.")
@click.option(
    "--recipe",
    "strength",
    type=click.Choice(["strong", "weak"]),
    default="strong",
    show_default=True,
    help="DeiT's augmentation, or crops and flips alone.",
)
@click.option("--epochs", type=int, default=18, show_default=True, help="Passes over the data.")
@click.option("--warmup", type=int, default=3, show_default=True, help="Epochs of linear warm-up.")
@click.option("--lr", type=float, default=1e-3, show_default=True, help="Peak learning rate.")
@click.option("--batch-size", type=int, default=128, show_default=True, help="Images a step.")
@click.option("--weight-decay", type=float, default=0.05, show_default=True, help="Of AdamW.")
@click.option(
    "--seed",
    type=options.SEEDS,
    default=0,
    show_default=True,
    help="Of weights, order and augmentation.",
)
@options.trust
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Processes that augment beside the one that trains.",
)
@click.option("-o", "--output", metavar="FOLDER", help="Default: runs/MODEL@DATA[-weak]-seedSEED.")
def command(
    model: str,
    data: str,
    strength: str,
    output: str | None,
    device: str,
    workers: int,
    trust: bool,
    **recipe: Any,
) -> None:
    """Train a network with AdamW, and write its weights: a recipe that is the same for all.

    The folder gets a checkpoint each epoch: the same command again takes up where it stopped. At
    the end it gets MODEL@DATA[-weak]-seedSEED[-initial|-warmup].safetensors, for --weights.

    \b
    Example:
      landscape train --model vit_s
      landscape train --model resnet_s --data cifar10 --recipe weak --seed 1
    """  # noqa: D301
    from landscape.result import check_writable
    from landscape.study.make import make
    from landscape.zoo.recipe import STRENGTHS, Recipe

    weak = "-weak" if strength == "weak" else ""
    name = f"{model}@{data}{weak}-seed{recipe['seed']}".replace("/", "-")
    folder = Path(output or f"runs/{name}")
    check_writable(folder / "last.pt")
    how = Recipe(augment=STRENGTHS[strength], **recipe)
    report = epochs_on(recipe["epochs"])
    where = {"device": device, "workers": workers, "trust": trust}
    facts = asking(make, model, data, how, folder, report, **where)
    click.echo(f"{model}@{data}: accuracy {facts['accuracy']:.3f} on the test split", err=True)
    click.echo(folder / facts["file"])
