"""Spectra, slices and sharpness lead to the same conclusion."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import rankdata

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Numbers
from landscape.claims._second_order import DENSITY, LINES, SHARPNESS, SPECTRUM, rise, top
from landscape.result import Result


def _trace(result: Result) -> Numbers:
    return np.atleast_1d(result["trace"].values)


def _worst(result: Result) -> Numbers:
    return np.atleast_1d(result["worst"].sel(norm="adaptive").values)


_MEASURES = (
    (SPECTRUM.name, top),
    (DENSITY.name, _trace),
    (LINES.name, rise(0.1)),
    (LINES.name, rise(0.4)),
    (SHARPNESS.name, _worst),
)


def concordance(scores: Numbers) -> float:
    """Kendall's W of measures ``(measures, networks)``: 1 if all rank the networks alike.

    Examples
    --------
    >>> concordance(np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]))
    1.0
    >>> concordance(np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]))
    0.0
    """
    m, n = scores.shape
    ranks = np.stack([rankdata(row) for row in scores]).sum(0)
    return float(12 * ((ranks - ranks.mean()) ** 2).sum() / (m**2 * (n**3 - n)))


def _score(
    readings: Sequence[Reading],
    seed: int,
    model: str,
    analysis: str,
    statistic: Callable[[Result], Numbers],
) -> float:
    found = [
        float(np.mean(statistic(r.result)))
        for r in readings
        if (r.analysis, r.model, r.seed) == (analysis, model, seed)
    ]
    return found[0] if found else np.nan


def _evidence(readings: Sequence[Reading]) -> Evidence:
    found = []
    for seed in sorted({r.seed for r in readings}):
        columns = [
            [_score(readings, seed, model, *measure) for measure in _MEASURES]
            for model in sorted({r.model for r in readings})
        ]
        complete = [column for column in columns if np.isfinite(column).all()]
        if len(complete) >= 3:
            found.append(concordance(np.array(complete).T))
    if not found:
        return Evidence(missing="it takes three networks of one seed with all five measures")
    counts = {"seeds": len(found), "measures": len(_MEASURES)}
    return Evidence(found, "seed", n=counts)


claim = Claim(
    title="Measures of flatness agree",
    statement="Slices of the loss and the set of Hessian eigenvalues lead to the same conclusion.",
    source="the discussion of Park & Kim's talk",
    statistic="Kendall's W of five measures over the networks: largest eigenvalue of mini-batches, "
    "trace, rise on random lines at 0.1 and 0.4, adaptive worst-case sharpness",
    units="1",
    smallest=0.7,
    why="two measures that rank networks with W of 0.7 have a mean rank correlation of 0.4",
    analyses=(SPECTRUM, DENSITY, LINES, SHARPNESS),
    evidence=_evidence,
    misleads="With three networks a measure can only give six orders.",
)
