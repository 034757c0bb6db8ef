"""Self-attention is a low-pass filter."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, OPERATORS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def branch(control: str = "") -> Units | str:
        read = of("hlr", "msa", sign=-1, along="op", control=control, level="branch")
        return own(readings, OPERATORS.name, "msa", read, within="image")

    return evidence(branch(), {"untrained": branch("untrained")})


claim = Claim(
    title="Self-attention is a low-pass filter",
    statement="MSAs are low-pass filters.",
    source="Park & Kim (2022), the title claim",
    statistic="power of low over high frequencies in the Jacobian of what each attention branch "
    "adds to the stream; mean over layers",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(OPERATORS,),
    evidence=_evidence,
    misleads="The skip beside the branch passes everything: the stream after it changes far less.",
)
