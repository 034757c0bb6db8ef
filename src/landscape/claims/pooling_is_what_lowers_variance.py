"""Variance falls where maps are pooled, not where they are attended to."""

from collections.abc import Callable, Sequence

import numpy as np

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Parts, Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, VARIANCES, images
from landscape.result import Result

POOL, ATTENTION = "pool", "msa"


def _more(variable: str, control: str = "") -> Callable[[Result], Parts]:
    """Read the mean fall across poolings minus that across attentions, in dB."""

    def read(result: Result) -> Parts:
        name = f"control_{variable}" if control else variable
        chosen = result.sel(control=control) if control else result
        mean, error = chosen[name].values, chosen[f"{name}_se"].values
        falls = -10 * np.diff(np.log10(mean))
        errors = 10 / np.log(10) * np.hypot(error[1:] / mean[1:], error[:-1] / mean[:-1])
        kind = result["kind"].values.astype(str)[1:]
        pool, attention = kind == POOL, kind == ATTENTION
        # errors of steps that see the same images may add up: no smaller than their mean
        both = np.hypot(errors[pool].mean(), errors[attention].mean())
        return Parts(
            np.array([falls[pool].mean() - falls[attention].mean()]),
            np.array([both]),
            images(result),
        )

    return read


def _evidence(readings: Sequence[Reading]) -> Evidence:
    both = [
        Reading(r.analysis, r.model, "both", r.seed, r.result)
        for r in readings
        if r.analysis == VARIANCES.name
        and {POOL, ATTENTION} <= set(r.result["kind"].values[1:].astype(str))
    ]
    if not both:
        return Evidence(
            missing="none of the networks has both self-attention and a pooling between its blocks"
        )

    def falls(variable: str, control: str = "") -> Units | str:
        return own(both, VARIANCES.name, "both", _more(variable, control), within="image")

    return evidence(
        falls("variance"),
        {"untrained": falls("variance", "untrained")},
        {"the scale of the features": falls("normalised_variance")},
    )


claim = Claim(
    title="Pooling lowers the variance, self-attention does not",
    statement="Where the variance of feature maps falls, it is the pooling between the stages.",
    source="the discussion of Park & Kim (2022), figure 9",
    statistic="fall of the spatial variance across a pooling or merging of patches, minus that "
    "across an attention with its skip; mended: of variance over mean square; networks that have "
    "both",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of variance",
    analyses=(VARIANCES,),
    evidence=_evidence,
    misleads="A pooling lowers the variance of noise by the positions that it averages, whatever "
    "was learned; merging of patches has weights besides. Across a convolution with a stride the "
    "two cannot be told apart, so that it does not count.",
)
