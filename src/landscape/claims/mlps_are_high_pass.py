"""MLPs amplify high frequencies, as convolutions are said to do."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, OPERATORS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def branch(control: str = "") -> Units | str:
        read = of("hlr", "mlp", along="op", control=control, level="branch")
        return own(readings, OPERATORS.name, "msa", read, within="image")

    return evidence(branch(), {"untrained": branch("untrained")})


claim = Claim(
    title="The MLPs of a ViT amplify high frequencies",
    statement="MLPs increase the high-frequency amplitude, like convolutions.",
    source="Park & Kim (2022), figure 8",
    statistic="power of high over low frequencies in the Jacobian of what each MLP branch adds to "
    "the stream; mean over layers",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(OPERATORS,),
    evidence=_evidence,
    misleads="An MLP acts on each token alone: it prefers a frequency only as its slope differs "
    "from token to token.",
)
