"""Analyses of feature maps and operations that several claims need, and what they read."""

import json
from collections.abc import Callable, Sequence

import numpy as np

from landscape.claims import Analysis, Evidence, Reading
from landscape.claims._evidence import Parts, Units, evidence, own
from landscape.result import Result

HALF_DECIBEL = 0.5
TWINS = 2

MAPS = Analysis(
    "maps",
    "fourier",
    labels=False,
    settings={"axis": "diagonal", "controls": ("untrained", "shuffled")},
    twins=TWINS,
)
VARIANCES = Analysis(
    "variances", "variance", labels=False, settings={"controls": ("untrained",)}, twins=TWINS
)
OPERATORS = Analysis(
    "operators",
    "transfer",
    images=32,
    batch_size=16,
    labels=False,
    settings={"controls": ("untrained",)},
    twins=TWINS,
)
NOISE = Analysis("noise", "robustness", images=512)
FIELDS = Analysis(
    "fields",
    "receptive",
    images=32,
    batch_size=16,
    labels=False,
    settings={"controls": ("untrained",)},
    twins=TWINS,
)


DECIBELS = 20 / np.log(10)  # of a logarithm of amplitudes


def images(result: Result) -> int:
    """How many images a result is a mean of."""
    return int(json.loads(result.attrs["facts"])["examples"])


def paper_steps(*kinds: str, sign: int = 1, control: str = "") -> Callable[[Result], Parts]:
    """Steps of the paper's statistic: relative log amplitude at the last bin, in dB.

    Between taps of one grid only; errors as if the two taps were independent.
    """

    def read(result: Result) -> Parts:
        name = "control_relative_log_amplitude" if control else "relative_log_amplitude"
        if name not in result:
            return Parts(np.empty(0), np.empty(0), images(result))
        chosen = result.sel(control=control) if control else result
        last = np.isfinite(result["frequency"].values).sum(1) - 1
        rows = np.arange(len(last))
        level, error = (chosen[n].values[rows, last] * DECIBELS for n in (name, f"{name}_se"))
        grid, kind = (result[n].values.astype(str) for n in ("grid", "kind"))
        own = np.flatnonzero((grid[1:] == grid[:-1]) & np.isin(kind[1:], kinds)) + 1
        steps = sign * (level[own] - level[own - 1])
        return Parts(steps, np.hypot(error[own], error[own - 1]), images(result))

    return read


def of(
    variable: str,
    *kinds: str,
    sign: int = 1,
    along: str = "tap",
    kind: str = "kind",
    control: str = "",
    **choice: str,
) -> Callable[[Result], Parts]:
    """Read a variable at all parts of some kinds, with its standard error.

    Parameters
    ----------
    variable
        With a ``_se`` beside it, or exact.
    kinds
        ``"msa"``, ``"conv"``, ``"mlp"``...; all if none is given.
    sign
        -1 where the claim predicts a decrease.
    along, kind
        The dimension of the parts, and the coordinate along it that tells their kind.
    control
        Under which control.
    choice
        Values of other coordinates, as ``level="branch"``.
    """

    def read(result: Result) -> Parts:
        name = f"control_{variable}" if control else variable
        if name not in result:
            return Parts(np.empty(0), np.empty(0), images(result))
        chosen: dict[str, str] = choice | ({"control": control} if control else {})
        part = result.sel(chosen)
        if kinds:
            part = part.isel({along: np.isin(result[kind].values.astype(str), kinds)})
        values = sign * part[name].values.ravel()
        error = f"{name}_se"
        errors = part[error].values.ravel() if error in part else np.zeros_like(values)
        there = np.isfinite(values)
        return Parts(values[there], errors[there], images(result))

    return read


def variance_steps(readings: Sequence[Reading], who: str, *kinds: str, sign: int) -> Evidence:
    """Steps of the variance across operations, raw, of untrained twins, and without scale."""

    def steps(variable: str, control: str = "") -> Units | str:
        read = of(variable, *kinds, sign=sign, control=control)
        return own(readings, VARIANCES.name, who, read, within="image")

    return evidence(
        steps("step"),
        {"untrained": steps("step", "untrained")},
        {"the scale of the features": steps("normalised_step")},
    )
