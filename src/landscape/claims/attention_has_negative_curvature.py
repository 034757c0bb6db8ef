"""Networks with self-attention have many negative Hessian eigenvalues."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import contrast, evidence
from landscape.claims._second_order import DENSITY, SPECTRUM, negative_mass, share_negative


def _evidence(readings: Sequence[Reading]) -> Evidence:
    small = contrast(readings, SPECTRUM.name, "msa", "conv", share_negative, within="mini-batch")
    large = contrast(readings, DENSITY.name, "msa", "conv", negative_mass, within="probe")
    return evidence(small, mended={"the choice of five eigenvalues of 16 images": large})


claim = Claim(
    title="Self-attention has negative curvature, convolutions have none",
    statement="ViTs have many negative Hessian eigenvalues, their losses are non-convex; ResNets "
    "have virtually none.",
    source="Park & Kim (2022), figure 4",
    statistic="share of negatives among the five eigenvalues of largest magnitude of augmented "
    "mini-batches of 16, self-attention minus convolutions; mended: the negative part of the mean "
    "magnitude of all eigenvalues, of 64 images",
    units="1",
    smallest=0.05,
    why="the published difference is 0.07",
    analyses=(SPECTRUM, DENSITY),
    evidence=_evidence,
    misleads="A negative eigenvalue shows among five of largest magnitude only if it is as large "
    "as the positive ones.",
)
