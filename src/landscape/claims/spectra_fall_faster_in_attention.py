"""The relative log amplitude falls faster in a ViT than in a ResNet."""

from collections.abc import Sequence

import numpy as np

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Parts, contrast, evidence
from landscape.claims._first_order import DECIBELS, HALF_DECIBEL, MAPS, images
from landscape.result import Result


def _paper(result: Result) -> Parts:
    level, error = (
        result[name].isel(tap=-1).values[np.isfinite(result["frequency"].isel(tap=-1).values)][-1:]
        for name in ("relative_log_amplitude", "relative_log_amplitude_se")
    )
    return Parts(level * DECIBELS, error * DECIBELS, images(result))


def _mended(result: Result) -> Parts:
    last = result.isel(tap=[-1])
    return Parts(last["ratio"].values, last["ratio_se"].values, images(result))


def _evidence(readings: Sequence[Reading]) -> Evidence:
    paper, mended = (
        contrast(readings, MAPS.name, "conv", "msa", read, within="image")
        for read in (_paper, _mended)
    )
    return evidence(paper, mended={"the reference to the mean": mended})


claim = Claim(
    title="High frequencies fall more in ViTs than in ResNets",
    statement="The relative log amplitude of a ViT falls with frequency, that of a ResNet less.",
    source="Park & Kim (2022), figure 2a",
    statistic="relative log amplitude of the deepest map at the last bin of the diagonal, in dB, "
    "convolutions minus self-attention; mended: power ratio of high to low frequencies, without "
    "the mean of the maps",
    units="dB",
    smallest=HALF_DECIBEL,
    why="12 % of power",
    analyses=(MAPS,),
    evidence=_evidence,
    misleads="The last bin is another frequency on every grid.",
)
