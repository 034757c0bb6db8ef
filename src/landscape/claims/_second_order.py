"""Analyses of the loss that several claims need, and what they read from them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from landscape.claims import Analysis, Evidence, Reading
from landscape.claims._evidence import contrast, least
from landscape.result import Result

Numbers = NDArray[np.float64]
LAMBDA = 0.05  # the weight decay that the networks of the debate are trained with
TWENTY_PERCENT = 0.223  # ln 1.25: a ratio of 0.8

SPECTRUM = Analysis(
    "spectrum",
    "hessian",
    images=64,
    batch_size=16,
    split="train",
    augment="deit",
    settings={"k": 5, "whole": False},
)
SPECTRUM_CLEAN = replace(SPECTRUM, name="spectrum-clean", augment="none")
SPECTRUM_WEAK = replace(
    SPECTRUM_CLEAN, name="spectrum-weak", families=("conv", "msa"), weights="weak"
)
SPECTRUM_DECAY = replace(
    SPECTRUM, name="spectrum-decay", settings={**SPECTRUM.settings, "weight_decay": LAMBDA}
)
DENSITY = Analysis(
    "density",
    "density",
    images=64,
    split="train",
    augment="deit",
    settings={"probes": 4, "steps": 30},
)
LINES = Analysis(
    "lines",
    "surface",
    split="train",
    augment="deit",
    settings={"dims": 1, "points": 9, "span": 0.4, "planes": 10},
)
LINES_CLEAN = replace(LINES, name="lines-clean", augment="none")
SHARPNESS = Analysis(
    "sharpness",
    "sharpness",
    images=64,
    split="train",
    augment="deit",
    settings={"radii": (0.1, 0.2)},
)
CRITICAL = Analysis(
    "critical",
    "critical",
    images=64,
    split="train",
    augment="deit",
    settings={"probes": 0, "max_products": 100},
)


def top(result: Result) -> Numbers:
    """Logarithm of the eigenvalue of largest magnitude, for each mini-batch."""
    return np.log(np.abs(result["eigenvalue"].values).max(1))


def rise(radius: float, decay: float = 0.0) -> Callable[[Result], Numbers]:
    """Logarithm of the mean rise of NLL + decay at a radius, both sides, for each line."""

    def of(result: Result) -> Numbers:
        total = result["nll"] + decay * result["l2"] if decay else result["nll"]
        centre = total.sel(alpha=0.0, method="nearest")
        ends = total.sel(alpha=[-radius, radius], method="nearest").mean("alpha")
        # a rise that is none has no logarithm: it is as flat as a thousandth of a nat
        return np.log(np.maximum((ends - centre).values, 1e-3))

    return of


def flatter(
    readings: Sequence[Reading],
    measures: Sequence[tuple[Analysis, Callable[[Result], Numbers], str]],
    first: str,
    second: str,
) -> Evidence:
    """How much flatter networks ``second`` are, by the measure that says so least."""
    return least(
        [
            contrast(readings, analysis.name, first, second, statistic, within=within)
            for analysis, statistic, within in measures
        ]
    )


def share_negative(result: Result) -> Numbers:
    """Share of negatives among the eigenvalues of largest magnitude, for each mini-batch."""
    return (result["eigenvalue"].values < 0).mean(1)


def negative_mass(result: Result) -> Numbers:
    """Share of the negative part in the mean magnitude of all eigenvalues, for each probe."""
    size = result["weight"] * np.abs(result["node"])
    return (size.where(result["node"] < 0, 0.0).sum("step") / size.sum("step")).values
