"""ViTs decide by shape, CNNs by texture."""

from collections.abc import Sequence
from dataclasses import replace

from landscape.claims import Analysis, Claim, Evidence, Reading
from landscape.claims._evidence import Parts, Units, contrast, evidence
from landscape.claims._first_order import TWINS, of
from landscape.result import Result

CUES = Analysis("cues", "cues", images=1024, settings={"controls": ("untrained",)}, twins=TWINS)

_SHAPE, _PHASE = "shape/texture", "phase/amplitude"


def _evidence(readings: Sequence[Reading]) -> Evidence:
    known = all(_SHAPE in r.result["conflict"] for r in readings)
    pair = _SHAPE if known and readings else _PHASE

    def share(variable: str = "share", control: str = "") -> Units | str:
        def read(result: Result) -> Parts:
            count = int(result["images"].sel(conflict=pair))  # in conflict, of all that were shown
            return replace(of(variable, control=control, conflict=pair)(result), count=count)

        return contrast(readings, CUES.name, "msa", "conv", read, within="image")

    mended = {"the accuracy": share("right_share")} if pair == _PHASE else {}
    return evidence(share(), {"untrained": share(control="untrained")}, mended)


claim = Claim(
    title="ViTs decide by shape, CNNs by texture",
    statement="ViTs are biased to shape, CNNs to texture.",
    source="the README of Park & Kim (2022); Geirhos et al. (2019) for the measure",
    statistic="share of decisions for the shape among those for shape or texture, on images that "
    "show the shape of one class and the texture of another; self-attention minus convolutions. "
    "Where the data has no such images, share of the phase, on images with the phases of one and "
    "the amplitudes of another; mended: where the network knows both",
    units="1",
    smallest=0.05,
    why="5 % of the decisions",
    analyses=(CUES,),
    evidence=_evidence,
    misleads="A bias is one of the training data, too: where shape always shows the class and "
    "texture often, the better network has the larger share. Phases are not shapes: fine edges are "
    "phases, and so are the textures that have any.",
)
