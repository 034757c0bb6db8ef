"""A hybrid has a flat loss."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import contrast, least
from landscape.claims._second_order import SPECTRUM, TWENTY_PERCENT, top


def _evidence(readings: Sequence[Reading]) -> Evidence:
    return least(
        [
            contrast(readings, SPECTRUM.name, parent, "hybrid", top, within="mini-batch")
            for parent in ("conv", "msa")
        ]
    )


claim = Claim(
    title="A hybrid is flatter than both its parents",
    statement="AlterNet, which alternates convolutions and self-attention, has a flat loss.",
    source="Park & Kim (2022), figure 12; the talk's discussion",
    statistic="ln of the eigenvalue of largest magnitude of augmented mini-batches of 16: the "
    "flatter parent minus the hybrid",
    units="ln",
    smallest=TWENTY_PERCENT,
    why="a ratio of 0.8",
    analyses=(SPECTRUM,),
    evidence=_evidence,
    misleads="A hybrid between its parents is refuted here, though it may be flatter than the "
    "convolutional one.",
)
