"""Attention is global from the first layer."""

from collections.abc import Sequence

import numpy as np

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Parts, contrast, evidence
from landscape.claims._first_order import FIELDS, images
from landscape.result import Result


def _first(result: Result) -> int:
    """The first tap after an operation that is no stem."""
    return int(np.flatnonzero(result["kind"].values.astype(str) != "stem")[0])


def _support(result: Result) -> Parts:
    return Parts(result["support_share"].values[[_first(result)]], np.zeros(1), images(result))


def _effective(result: Result) -> Parts:
    """Area that holds 90 % of the squared gradient, as a share of the image."""
    one = result.isel(tap=[_first(result)]).sel(share=0.9)
    area = float(result.sizes["row"] * result.sizes["column"])
    radius, error = one["radius"].values, one["radius_se"].values
    return Parts(np.pi * radius**2 / area, 2 * np.pi * radius * error / area, images(result))


def _evidence(readings: Sequence[Reading]) -> Evidence:
    support, effective = (
        contrast(readings, FIELDS.name, "msa", "conv", read, within="image")
        for read in (_support, _effective)
    )
    return evidence(support, mended={"counting pixels that hardly weigh": effective})


claim = Claim(
    title="Self-attention sees the whole image in one layer, a convolution does not",
    statement="Convolution is local, self-attention has a global view from the first layer.",
    source="the discussion of convolution and self-attention",
    statistic="share of the image that the middle of the first block's map depends on, "
    "self-attention minus convolutions; mended: the area that holds 90 % of the squared gradient",
    units="1",
    smallest=0.2,
    why="a fifth of the image",
    analyses=(FIELDS,),
    evidence=_evidence,
    misleads="What a layer can see is architecture; what it looks at is learned.",
)
