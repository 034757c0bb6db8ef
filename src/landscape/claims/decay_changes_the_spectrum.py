"""The L2 term matters to the Hessian spectrum."""

from collections.abc import Sequence

import numpy as np

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import evidence, own
from landscape.claims._second_order import SPECTRUM, SPECTRUM_DECAY
from landscape.result import Result


def _evidence(readings: Sequence[Reading]) -> Evidence:
    without = {
        (r.model, r.seed): r.result["eigenvalue"].values.max(1)
        for r in readings
        if r.analysis == SPECTRUM.name
    }
    changed = []
    for r in readings:
        if r.analysis == SPECTRUM_DECAY.name and (r.model, r.seed) in without:
            before = without[r.model, r.seed]
            change = np.abs(r.result["eigenvalue"].values.max(1) - before) / before
            result = Result({"change": ("batch", change)})
            changed.append(Reading("change", r.model, "any", r.seed, result))
    return evidence(
        own(changed, "change", "any", lambda x: x["change"].values, within="mini-batch")
    )


claim = Claim(
    title="Without the L2 term the Hessian spectrum is wrong",
    statement="The Hessian has to be that of NLL + L2; without L2 its eigenvalues mislead.",
    source="the discussion of Park & Kim's talk",
    statistic="relative change of the largest eigenvalue of a mini-batch of 16 when lambda / 2 * "
    "sum w^2, lambda = 0.05, joins the NLL",
    units="1",
    smallest=0.2,
    why="differences between networks are larger than 20 %",
    analyses=(SPECTRUM, SPECTRUM_DECAY),
    evidence=_evidence,
    misleads="The shift is lambda, exactly, for every eigenvalue: the sign of small ones changes, "
    "so counts of negatives among all eigenvalues do depend on it.",
)
