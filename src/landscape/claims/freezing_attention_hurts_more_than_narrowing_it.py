"""That attention depends on the image matters more than that it reaches far."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from landscape.claims import Analysis, Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.result import Result

ABLATION = Analysis("ablation", "ablation", families=("msa", "hybrid"), images=1024)
_NARROW = "5x5"


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def excess(frozen: str) -> Units | str:
        def read(result: Result) -> NDArray[np.float64]:  # image by image
            right = result["right"].astype(float)
            gap: NDArray[np.float64] = (
                right.sel(condition=_NARROW) - right.sel(condition=frozen)
            ).values
            return gap

        return own(readings, ABLATION.name, "msa", read, within="image")

    return evidence(excess("frozen"), mended={"the class token": excess("places frozen")})


claim = Claim(
    title="Freezing attention hurts more than narrowing it",
    statement="The key feature of MSAs is that they are data specific, not that they reach far.",
    source="Park & Kim (2022), section 2; the discussion: are MSAs data agnostic?",
    statistic="loss of accuracy with the attention of every head frozen to its mean over other "
    "images, minus that with attention narrowed to 5x5 places, image by image; mended: a class "
    "token, which is never narrowed, is not frozen either",
    units="1",
    smallest=0.05,
    why="5 % of the images",
    analyses=(ABLATION,),
    evidence=_evidence,
    misleads="The side of the square decides: a smaller one hurts more, and a grid of 8x8 has "
    "little that is far. The network was not trained again, and one that is may do without either.",
)
