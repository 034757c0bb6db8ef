"""Clean data give another answer than augmented data."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import contrast, evidence, minus
from landscape.claims._second_order import SPECTRUM, SPECTRUM_CLEAN, TWENTY_PERCENT, top


def _evidence(readings: Sequence[Reading]) -> Evidence:
    augmented, clean = (
        contrast(readings, analysis.name, "conv", "msa", top, within="mini-batch")
        for analysis in (SPECTRUM, SPECTRUM_CLEAN)
    )
    return evidence(minus(augmented, clean))


claim = Claim(
    title="On clean data attention looks sharper than it is",
    statement="Who measures the loss on clean data, without the augmentation of training, gets a "
    "wrong answer on which network is flatter.",
    source="the discussion of Park & Kim's talk: evaluate NLL + L2 on augmented data",
    statistic="ln of the ratio of the largest eigenvalues, convolutions over self-attention, "
    "mini-batches of 16: on augmented minus on clean images",
    units="ln",
    smallest=TWENTY_PERCENT,
    why="a change of the ratio by 25 %",
    analyses=(SPECTRUM, SPECTRUM_CLEAN),
    evidence=_evidence,
    misleads="Augmented images are harder; what moves the ratio may be the loss level alone.",
)
