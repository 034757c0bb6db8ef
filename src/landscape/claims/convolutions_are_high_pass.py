"""Convolutions are high-pass filters."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.claims._first_order import HALF_DECIBEL, OPERATORS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def kernels(control: str = "") -> Units | str:
        read = of(
            "kernel_hlr", "conv", "dwconv", along="kernel", kind="kernel_kind", control=control
        )
        return own(readings, OPERATORS.name, "conv", read, within="image")

    return evidence(kernels(), {"untrained": kernels("untrained")})


claim = Claim(
    title="Convolutions are high-pass filters",
    statement="Convs are high-pass filters.",
    source="Park & Kim (2022), figures 2 and 8",
    statistic="power of high over low frequencies in the exact response of each kernel, averaged "
    "over pairs of channels; mean over the kernels of convolutional networks",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(OPERATORS,),
    evidence=_evidence,
    misleads="A kernel is not a block: activation and normalisation follow, and a skip stands "
    "beside it.",
)
