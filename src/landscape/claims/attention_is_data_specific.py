"""Attention depends on the image."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Units, evidence, own
from landscape.claims._first_order import FIELDS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def specificity(control: str = "") -> Units | str:
        read = of("attention_specificity", control=control)
        return own(readings, FIELDS.name, "msa", read, within="image")

    return evidence(specificity(), {"untrained": specificity("untrained")})


claim = Claim(
    title="Attention depends on the image",
    statement="MSAs are data specific: their weights are made from the image, those of convs are "
    "not.",
    source="Park & Kim (2022), section 2; the discussion: are MSAs data agnostic?",
    statistic="share of the attention weights that differs from image to image, E|A - EA|^2 / "
    "E|A|^2; 0 for the fixed weights of a convolution; mean over layers and heads",
    units="1",
    smallest=0.1,
    why="a tenth of the squared weights",
    analyses=(FIELDS,),
    evidence=_evidence,
    misleads="That weights vary does not say that the variation is of use.",
)
