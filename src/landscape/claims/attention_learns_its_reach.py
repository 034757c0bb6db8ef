"""Self-attention learns its receptive field."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import evidence, minus, own
from landscape.claims._first_order import FIELDS, of


def _evidence(readings: Sequence[Reading]) -> Evidence:
    trained, untrained = (
        own(
            readings,
            FIELDS.name,
            "msa",
            of("attention_distance", control=control),
            within="image",
        )
        for control in ("", "untrained")
    )
    return evidence(minus(untrained, trained))


claim = Claim(
    title="Training makes attention more local",
    statement="Self-attention learns the size of its receptive field.",
    source="the discussion of convolution and self-attention",
    statistic="mean attention distance in tokens, untrained minus trained; mean over layers and "
    "heads",
    units="tokens",
    smallest=0.5,
    why="half a token",
    analyses=(FIELDS,),
    evidence=_evidence,
    misleads="Heads may move in both directions; their mean does not tell.",
)
