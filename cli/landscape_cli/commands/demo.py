"""`landscape demo`."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from landscape_cli import options
from landscape_cli.commands.claims import run
from landscape_cli.verdicts import called

MODELS = ("resnet_s", "vit_s", "alternet_s")
#: the paper's loss: augmented training data, with weight decay
LOSS = {"augment": "deit", "weight_decay": 0.05}
STEPS: dict[str, dict[str, Any]] = {
    "fourier": {},
    "variance": {},
    "hessian": LOSS,
    "surface": LOSS,
}
QUICK: dict[str, dict[str, Any]] = {
    "fourier": {"limit": 32},
    "variance": {"limit": 32},
    "hessian": {"limit": 8, "batch_size": 4, "k": 2, "tol": 0.1, "whole": False},
    "surface": {"limit": 16, "points": 5},
}
#: of the claims, two whose measurements take seconds
CHEAP = ("attention_reduces_variance", "decay_makes_the_relief")


@click.command(short_help="All analyzers on three networks, in some minutes.")
@click.option("--quick", is_flag=True, help="Less of everything: to see that it runs.")
@options.weights
@click.option(
    "-o",
    "--output",
    metavar="FOLDER",
    default="results",
    show_default=True,
    help="Gets MODEL@DATA/ANALYZER.nc, figures/ANALYZER.png and the verdicts, in quick/.",
)
@click.pass_context
def command(ctx: click.Context, quick: bool, weights: str | None, output: str) -> None:
    """Analyze a ResNet, a ViT and an AlterNet on embedded data and draw them side by side.

    Then test the claims, on few images: to see what a report looks like, not to trust it. With
    other weights (--weights) there are no claims to test.

    \b
    Example:
      landscape demo
      landscape demo --quick --weights random -o untrained
    """  # noqa: D301
    pictures = []
    for name, chosen in STEPS.items():
        analyzer = import_module(f"landscape_cli.commands.{name}").command
        sizes = QUICK[name] if quick else {}
        shared = {"models": MODELS, "weights": weights, "output": output}
        pictures.append(ctx.invoke(analyzer, **shared, **chosen, **sizes))
    if weights is None:
        judged = CHEAP if quick else ()
        folder = str(Path(output) / "quick")
        asked = {"models": MODELS, "data": "deadleaves", "seeds": 1, "quick": True}
        ctx.invoke(run, names=judged, output=folder, **asked)
        pictures.append(Path(folder) / f"{called(judged)}@deadleaves.html")
    click.echo(f"Look at {', '.join(map(str, pictures))}", err=True)
