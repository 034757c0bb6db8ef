"""Self-attention and convolution are opposite filters."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, contrast, evidence
from landscape.claims._first_order import HALF_DECIBEL, OPERATORS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def opposite(control: str = "") -> Units | str:
        read = of("hlr", "conv", "msa", along="op", control=control, level="branch")
        return contrast(readings, OPERATORS.name, "conv", "msa", read, within="image")

    return evidence(opposite(), {"untrained": opposite("untrained")})


claim = Claim(
    title="Convolutions pass more high frequencies than self-attention",
    statement="MSAs and convs exhibit opposite behaviours; they are complementary.",
    source="Park & Kim (2022), abstract",
    statistic="power of high over low frequencies in the Jacobian of what a branch adds to the "
    "stream: mean over the convolutional blocks of ResNets minus mean over attention of ViTs",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(OPERATORS,),
    evidence=_evidence,
    misleads="Grids differ between the networks: frequencies are those of each map's own grid.",
)
