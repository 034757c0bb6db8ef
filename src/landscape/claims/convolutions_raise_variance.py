"""Convolutions raise the variance of feature maps."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, VARIANCES, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def steps(variable: str, control: str = "") -> Units | str:
        read = of(variable, "conv", "dwconv", control=control)
        return own(readings, VARIANCES.name, "conv", read, within="image")

    return evidence(
        steps("step"),
        {"untrained": steps("step", "untrained")},
        {"the scale of the features": steps("normalised_step")},
    )


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
