"""`landscape claims`."""

from typing import Any

import click

from landscape_cli.verdicts import judged, listed, told

MODELS = ("resnet_s", "vit_s", "alternet_s")


@click.group(short_help="Verdicts on the claims about convolutions and self-attention.")
def command() -> None:
    """Test claims of the debate: measure what they need, judge them, write a report.

    \b
    Example:
      landscape claims list
      landscape claims run --data cifar10
      landscape claims run attention_flattens_the_loss -m resnet_s -m vit_s --quick -o quick
      landscape claims report
    """  # noqa: D301


def _shared(function: Any) -> Any:
    for decorate in (
        click.argument("names", metavar="[NAME]...", nargs=-1),
        click.option("-m", "--model", "models", metavar="MODEL", multiple=True, default=MODELS,
                     show_default=True, help="Networks to compare; again for more."),
        click.option("-d", "--data", default="deadleaves", show_default=True, help="Data set."),
        click.option("--seeds", type=click.IntRange(1), default=3, show_default=True,
                     help="Trainings of each network, where there are so many."),
        click.option("--quick", is_flag=True, help="On few images: no basis for a verdict."),
        click.option("-o", "--output", metavar="FOLDER", default="results", show_default=True,
                     help="Gets results, claims@DATA.html (.json, .nc), figures/claims@DATA.png; "
                     "NAME@DATA for some claims."),
    ):  # fmt: skip
        function = decorate(function)
    return function


@command.command("list", short_help="The claims, their sources and what they need.")
def list_() -> None:
    """Print a table of all claims.

    \b
    Example:
      landscape claims list
    """  # noqa: D301
    click.echo(listed())


@command.command(short_help="Measure what is missing, judge, write the report.")
@_shared
def run(**shared: Any) -> None:
    """Measure what the claims need and is not there yet, judge them, and write the report.

    A run that was stopped goes on where it was: what is finished is in FOLDER.

    \b
    Example:
      landscape claims run --data cifar10
      landscape claims run -m timm:resnet18 -m timm:vit_tiny_patch16_224 --data folder:photos
    """  # noqa: D301
    told(judged(measure=True, **shared))


@command.command(short_help="Judge what is there, write the report.")
@_shared
def report(**shared: Any) -> None:
    """Judge by the results in FOLDER alone, and write the report; computes nothing.

    \b
    Example:
      landscape claims report --data cifar10
    """  # noqa: D301
    told(judged(measure=False, **shared))
