"""Which network is sharper depends on the recipe that trained them."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import contrast, evidence
from landscape.claims._second_order import (
    SPECTRUM,
    SPECTRUM_CLEAN,
    SPECTRUM_WEAK,
    TWENTY_PERCENT,
    top,
)


def _evidence(readings: Sequence[Reading]) -> Evidence:
    seeds = {r.seed for r in readings if r.analysis == SPECTRUM_WEAK.name}
    shared = [r for r in readings if r.seed in seeds]
    weak, clean, augmented = (
        contrast(shared, analysis.name, "msa", "conv", top, within="mini-batch")
        for analysis in (SPECTRUM_WEAK, SPECTRUM_CLEAN, SPECTRUM)
    )
    return evidence(
        weak, {"strong augmentation": clean, "strong augmentation, on augmented images": augmented}
    )


claim = Claim(
    title="Trained with weak augmentation, ViTs are sharper than ResNets",
    statement="ViTs converge to sharper minima than ResNets, unless strong augmentation or a "
    "sharpness-aware optimiser prevents it.",
    source="Chen, Hsieh & Gong (2022), table 1; its contradiction with Park & Kim (2022)",
    statistic="ln of the ratio of the largest eigenvalues, self-attention over convolutions, "
    "mini-batches of 16 clean training images, both trained with crops and flips alone; controls: "
    "both trained with strong augmentation, on clean and on augmented images",
    units="ln",
    smallest=TWENTY_PERCENT,
    why="a ratio of 1.25",
    analyses=(SPECTRUM_WEAK, SPECTRUM_CLEAN, SPECTRUM),
    evidence=_evidence,
    misleads="The recipes differ in the augmentation alone. One training of each with the weak "
    "one: mini-batches then tell of these two networks, not of the recipe. A sharper minimum may "
    "be due to a lower loss.",
)
