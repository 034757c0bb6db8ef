"""Convolutions raise the variance of feature maps."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._first_order import HALF_DECIBEL, VARIANCES, variance_steps


def _evidence(readings: Sequence[Reading]) -> Evidence:
    return variance_steps(readings, "conv", "conv", "dwconv", sign=1)


claim = Claim(
    title="Convolutions raise the variance of feature maps",
    statement="Convs transform feature maps and increase their variance.",
    source="Park & Kim (2022), figure 9",
    statistic="rise of the spatial variance across convolutional blocks with their skip, on one "
    "grid; mended: of variance over mean square; means over blocks of convolutional networks",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of variance",
    analyses=(VARIANCES,),
    evidence=_evidence,
    misleads="A residual stream grows with depth, whatever is added to it.",
)
