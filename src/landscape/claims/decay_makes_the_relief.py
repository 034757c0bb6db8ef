"""Slices of NLL + L2 show mostly L2."""

from collections.abc import Sequence

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Numbers, evidence, own
from landscape.claims._second_order import LAMBDA, LINES
from landscape.result import Result


def _share(result: Result) -> Numbers:
    nll, decay = (
        (x - x.sel(alpha=0.0, method="nearest")).isel(alpha=[0, -1]).mean("alpha")
        for x in (result["nll"], LAMBDA * result["l2"])
    )
    return (decay / (decay + nll)).values


def _evidence(readings: Sequence[Reading]) -> Evidence:
    marked = [Reading(r.analysis, r.model, "any", r.seed, r.result) for r in readings]
    return evidence(own(marked, LINES.name, "any", _share, within="line"))


claim = Claim(
    title="Weight decay makes the relief of slices of NLL + L2",
    statement="L2 regularisation dominates the visualisations of the loss.",
    source="the authors of Park & Kim (2022) in the discussion of their code",
    statistic="share of lambda / 2 * sum w^2, lambda = 0.05, in the rise of NLL + L2 along random "
    "filter-normalised lines at 0.4; all networks",
    units="1",
    smallest=0.5,
    why="more than half",
    analyses=(LINES,),
    evidence=_evidence,
    misleads="The published slices add un-squared norms instead, which weigh more.",
)
