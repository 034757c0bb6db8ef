"""Many local layers see as far as global ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from landscape.claims import Claim, Evidence, Reading, Summary
from landscape.claims._evidence import Parts, Units, contrast, evidence, own
from landscape.claims._first_order import FIELDS, images
from landscape.result import Result


def _radii(result: Result, control: str) -> Parts:
    """Logarithm of the RMS radius at every tap, with its standard error."""
    name = "control_rms_radius" if control else "rms_radius"
    chosen = result.sel(control=control) if control else result
    radius, error = chosen[name].values, chosen[f"{name}_se"].values
    return Parts(np.log(radius), error / radius, images(result))


def _evidence(readings: Sequence[Reading]) -> Evidence:
    def reach(control: str = "") -> Units | str:
        def farthest(result: Result) -> Parts:  # any depth, in favour of attention: it may shrink
            every = _radii(result, control)
            best = [int(np.nanargmax(every.values))]
            last = [-1] if "attention_distance" not in result else best
            return Parts(every.values[last], every.errors[last], every.count)

        return _ratio(contrast(readings, FIELDS.name, "conv", "msa", farthest, within="image"))

    found = evidence(reach(), {"untrained": reach("untrained")})
    return found if found.missing else replace(found, parts=_by_depth(readings))


def _ratio(of: Units | str) -> Units | str:
    """A difference of logarithms as a ratio."""
    if isinstance(of, str):
        return of
    if isinstance(of.values, Summary):
        mean = float(np.exp(of.values.mean))
        return replace(of, values=Summary(mean, mean * of.values.error, of.values.count))
    return replace(of, values=np.exp(of.values))


def _by_depth(readings: Sequence[Reading]) -> np.ndarray | None:
    """By how much every map of the convolutions reaches farther than attention ever does."""
    seeds = set.intersection(
        *({r.seed for r in readings if r.family == family} for family in ("conv", "msa"))
    )
    both = [r for r in readings if r.seed in seeds]
    conv, msa = (
        own(both, FIELDS.name, family, lambda r: _radii(r, ""), within="image")
        for family in ("conv", "msa")
    )
    if isinstance(conv, str) or isinstance(msa, str):
        return None
    if isinstance(conv.values, Summary) or isinstance(msa.values, Summary):
        return None
    if conv.values.ndim < 2 or msa.values.ndim < 2:  # networks of unlike depth
        return None
    widest: np.ndarray = np.nanmax(msa.values, axis=1, keepdims=True)
    farther: np.ndarray = np.exp(conv.values - widest) - 1
    return farther


claim = Claim(
    title="Stacked convolutions reach as far as self-attention",
    statement="Convolutions are local in a single layer only: a stack of them reaches as far as "
    "self-attention does.",
    source="the discussion of convolution and self-attention; Luo et al. (2016)",
    statistic="RMS radius of the effective receptive field of the last map of convolutions, over "
    "the largest of any map of self-attention; parts: the same ratio less 1 at every depth of the "
    "convolutions",
    units="1",
    smallest=0.8,
    why="four fifths of the reach of self-attention",
    analyses=(FIELDS,),
    evidence=_evidence,
    misleads="Where the grid halves, reach doubles: it may be strides, not depth. The edge of the "
    "image bounds both.",
)
