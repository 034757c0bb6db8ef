"""Options that several commands share.

==============  ==================================================================
`subject`       which networks, data and weights; how the data is cut into batches
`output`        where results and figure go
`result`        the file of a result, to be read
`weight_decay`  lambda of the L2 term of the loss
`decay`         the same, of which form and on what
`outliers`      what becomes of tokens of very large norm
`controls`      what else to measure, to see what an effect is due to
==============  ==================================================================
"""

from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SEEDS = click.IntRange(0, 2**32 - 1)


class Count(click.ParamType):
    """A number of images, or ``all``, which becomes None."""

    name = "N|all"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | None:
        """Parse; whether so many exist is the library's question."""
        return None if value == "all" else click.INT.convert(value, param, ctx)


weights = click.option(
    "--weights",
    metavar="random|CHECKPOINT|FILE",
    help="Untrained; a checkpoint of the zoo, [weak-][seedN-][initial|warmup|final]; or a file. "
    "Default: the zoo's for the data (seed 0, final), or the published ones.",
)

trust = click.option(
    "--trust",
    is_flag=True,
    help="Let the GitHub code of a hub:OWNER/REPO spec run on this machine, this once. Without it "
    "only what torch.hub's list trusts runs; on a terminal a question offers to add to the list.",
)


def subject(*, limit: int, batch_size: int, split: str) -> Decorator:
    """Make the options on networks and data, with the defaults that suit an analyzer."""
    return _all(
        click.option(
            "-m",
            "--model",
            "models",
            metavar="MODEL",
            multiple=True,
            required=True,
            help="A name of 'landscape models', or timm:NAME, torchvision:NAME, hub:..., "
            "path/to/file.py:function. Again for more networks in one figure.",
        ),
        click.option(
            "-d",
            "--data",
            default="deadleaves",
            show_default=True,
            help="deadleaves, cifar10, folder:/path, npz:/path/file.npz, ...",
        ),
        click.option(
            "--augment",
            type=click.Choice(["none", "basic", "deit"]),
            default="none",
            show_default=True,
            help="Augmentation, drawn once by the seed.",
        ),
        click.option(
            "--limit",
            type=Count(),
            metavar="N|all",
            default=limit,
            show_default=True,
            help="Images, drawn by the seed.",
        ),
        click.option(
            "--batch-size", type=int, default=batch_size, show_default=True, help="Images a batch."
        ),
        click.option(
            "--split",
            type=click.Choice(["train", "test"]),
            default=split,
            show_default=True,
            help="Which images.",
        ),
        weights,
        trust,
        click.option(
            "--seed",
            type=SEEDS,
            default=0,
            show_default=True,
            help="Of every random choice: images, augmentation, directions, random weights.",
        ),
    )


def _all(*options: Decorator) -> Decorator:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


output = _all(
    click.option(
        "-o",
        "--output",
        metavar="PATH",
        default="results",
        show_default=True,
        help="A folder: results go to PATH/MODEL@DATA/ANALYZER.nc, the figure to "
        "PATH/figures/ANALYZER.png (ANALYZER.MODEL@DATA.png for one network). Or a file STEM.nc: "
        "the result of one network (STEM.MODEL.nc for each of several), and the figure STEM.png.",
    ),
    click.option("--figure/--no-figure", default=True, help="Also draw the results."),
)

weight_decay = click.option(
    "--weight-decay",
    metavar="LAMBDA",
    type=float,
    default=0.0,
    show_default=True,
    help="Lambda of the L2 term of the loss, lambda / 2 * sum w^2.",
)

decay = _all(
    weight_decay,
    click.option(
        "--decay-form",
        type=click.Choice(["l2", "norms"]),
        default="l2",
        show_default=True,
        help="That L2 term, or lambda * sum |W_k| of the tensors W_k, to replicate Park & Kim.",
    ),
    click.option(
        "--decayed",
        type=click.Choice(["all", "matrices"]),
        default="all",
        show_default=True,
        help="Which parameters decay; matrices: no bias, no normalisation.",
    ),
)


def controls(*names: str) -> Decorator:
    """Make the options on controls, for the names that say something under an analyzer."""
    return _all(
        click.option(
            "--control",
            "controls",
            type=click.Choice(names),
            multiple=True,
            default=(),
            help="Also measure with pixels shuffled, phases drawn anew, noise or one colour for "
            "images; untrained twins; uniform attention, or its mean over images. Again for more.",
        ),
        click.option(
            "--inits",
            metavar="K",
            type=int,
            default=3,
            show_default=True,
            help="Untrained twins for --control untrained, drawn by the seeds after --seed.",
        ),
    )


outliers = click.option(
    "--outliers",
    type=click.Choice(["keep", "median"]),
    default="keep",
    show_default=True,
    help="Tokens of more than 5 times the median norm: kept, or the median in their place.",
)

INPUTS = ("shuffled", "phase", "noise", "constant")
OF_MODELS = ("untrained", "uniform", "mean")

_MATRIX = click.option(
    "--matrix",
    type=click.Choice(["hessian", "ggn", "residual"]),
    default="hessian",
    show_default=True,
    help="The Hessian, its Gauss-Newton part, or what remains.",
)
_PARAMETERS = click.option(
    "--parameters", metavar="REGEX", default=None, help="Only parameters with such names vary."
)
_BATCHNORM = click.option(
    "--batchnorm",
    type=click.Choice(["eval", "batch"]),
    default="eval",
    show_default=True,
    help="Running statistics, or those of each batch.",
)


def curvature(function: Any) -> Any:
    """Which matrix of second derivatives: of what, in which parameters, normalised how."""
    return _MATRIX(_PARAMETERS(_BATCHNORM(function)))


result = click.argument("path", metavar="RESULT", type=click.Path())
