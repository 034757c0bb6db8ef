"""Self-attention reduces the variance of feature maps."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._first_order import HALF_DECIBEL, VARIANCES, variance_steps


def _evidence(readings: Sequence[Reading]) -> Evidence:
    return variance_steps(readings, "msa", "msa", sign=-1)


claim = Claim(
    title="Self-attention reduces the variance of feature maps",
    statement="MSAs aggregate feature maps and reduce their variance.",
    source="Park & Kim (2022), figure 9",
    statistic="fall of the spatial variance across attention with its skip; mended: of variance "
    "over mean square; means over layers",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of variance",
    analyses=(VARIANCES,),
    evidence=_evidence,
    misleads="A residual stream grows with depth, whatever is added to it.",
)
