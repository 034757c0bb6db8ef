"""A box blur flattens the loss."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._second_order import LINES, SPECTRUM, TWENTY_PERCENT, flatter, rise, top

_MEASURES = (
    (SPECTRUM, top, "mini-batch"),
    (LINES, rise(0.1), "line"),
    (LINES, rise(0.4), "line"),
)


def _evidence(readings: Sequence[Reading]) -> Evidence:
    return flatter(readings, _MEASURES, "resnet_s", "blurnet_s")


claim = Claim(
    title="A box blur flattens the loss",
    statement="Low-pass filtering alone flattens the loss: a box blur, which is the simplest "
    "low-pass filter, does so in a ResNet.",
    source="Park & Kim (2022b), Blurs Behave Like Ensembles; the discussion of Park & Kim (2022)",
    statistic="ln of sharpness of a ResNet minus that of the same with a mean over 2x2 neighbours "
    "before each subsampling, each trained: the eigenvalue of largest magnitude of augmented "
    "mini-batches of 16, and the rise of the NLL on random filter-normalised lines at 0.1 and 0.4. "
    "The least of the three is judged: all have to hold.",
    units="ln",
    smallest=TWENTY_PERCENT,
    why="a ratio of 0.8",
    analyses=(SPECTRUM, LINES),
    evidence=_evidence,
    misleads="A blur before a subsampling also takes away aliases, and the blurred network is the "
    "more accurate one. With one training of either, mini-batches tell of these two networks.",
    beside=("resnet_s", "blurnet_s"),
)
