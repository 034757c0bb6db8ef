"""Convolutions are equivariant to shifts, attention with absolute positions is not."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, contrast, evidence
from landscape.claims._first_order import FIELDS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def change(control: str = "") -> Units | str:
        read = of("shift_change", control=control, shift="stride", part="interior")
        return contrast(readings, FIELDS.name, "msa", "conv", read, within="image")

    return evidence(change(), {"untrained": change("untrained")})


claim = Claim(
    title="Convolutions move with the image, self-attention does not",
    statement="Convolutions are equivariant to translations; self-attention with absolute "
    "positions is not.",
    source="the discussion of stand-alone self-attention",
    statistic="|f(Tx) - T f(x)| / |f(x)| in the middle of the maps when the image moves by the "
    "stride of the map, self-attention minus convolutions; mean over layers",
    units="1",
    smallest=0.1,
    why="a tenth of the map",
    analyses=(FIELDS,),
    evidence=_evidence,
    misleads="The image moves in a circle, and its seam reaches far into deep maps.",
)
