"""Self-attention flattens the loss."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._second_order import (
    LINES,
    LINES_CLEAN,
    SPECTRUM,
    SPECTRUM_CLEAN,
    TWENTY_PERCENT,
    flatter,
    rise,
    top,
)

_MEASURES = (
    (SPECTRUM, top, "mini-batch"),
    (SPECTRUM_CLEAN, top, "mini-batch"),
    (LINES, rise(0.1), "line"),
    (LINES, rise(0.4), "line"),
    (LINES_CLEAN, rise(0.1), "line"),
    (LINES_CLEAN, rise(0.4), "line"),
)


def _evidence(readings: Sequence[Reading]) -> Evidence:
    return flatter(readings, _MEASURES, "conv", "msa")


claim = Claim(
    title="Self-attention flattens the loss",
    statement="The loss of networks with self-attention is flatter than that of ResNets.",
    source="Park & Kim (2022), figures 1 and 4",
    statistic="ln of sharpness, convolutions minus self-attention: the eigenvalue of largest "
    "magnitude of mini-batches of 16, and the rise of the NLL on random filter-normalised lines at "
    "0.1 and 0.4, each on clean and on augmented images. The least of the six is judged: all have "
    "to hold. Weight decay adds a constant to every eigenvalue and no difference to the NLL.",
    units="ln",
    smallest=TWENTY_PERCENT,
    why="a ratio of 0.8",
    analyses=(SPECTRUM, SPECTRUM_CLEAN, LINES, LINES_CLEAN),
    evidence=_evidence,
    misleads="Sharpness depends on the scale of the weights, on batch size and on how far training "
    "went; networks of equal accuracy may be compared, these differ.",
)
