"""After self-attention there are fewer high frequencies in the feature maps."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, MAPS, of, paper_steps


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def steps(control: str = "") -> Units | str:
        read = paper_steps("msa", sign=-1, control=control)
        return own(readings, MAPS.name, "msa", read, within="image")

    mended = own(readings, MAPS.name, "msa", of("step", "msa", sign=-1), within="image")
    controls = {name: steps(name) for name in ("untrained", "shuffled")}
    return evidence(steps(), controls, {"the reference to the mean": mended})


claim = Claim(
    title="Self-attention lowers the high frequencies of feature maps",
    statement="MSAs reduce the high-frequency amplitude of feature maps.",
    source="Park & Kim (2022), figures 2a and 8",
    statistic="fall of the relative log amplitude at the last bin of the diagonal across attention "
    "with its skip, in dB; mended: fall of the power ratio of high to low frequencies, without the "
    "mean of the maps; means over layers",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(MAPS,),
    evidence=_evidence,
    misleads="Relative to the mean of a map: if attention raises the mean, everything falls.",
)
