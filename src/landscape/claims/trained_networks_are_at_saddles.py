"""Training ends at saddles."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from landscape.claims import Claim, Evidence, Reading
from landscape.claims._evidence import Numbers
from landscape.claims._second_order import CRITICAL
from landscape.result import Result

#: a change of the loss that counts, relative to it: activations with kinks leave smaller bumps
TOLERANCE = 1e-3


def _deepest(change: Numbers, noise: Numbers) -> float:
    """The largest decrease along a line, up to where it first rises beyond what counts."""
    ahead = np.cumsum(~(change <= noise)) == 0
    return float(np.max(-change, where=ahead & (change < -noise), initial=0.0))


def _share(result: Result) -> float:
    """Share of negative curvature in what it and the slope lower the loss by; 0 if neither does.

    The even part of the loss along an eigenvector has no slope, so that all its fall is curvature.
    """
    change = result["change"]
    noise = result["noise"].clip(min=TOLERANCE * abs(float(result["risk"])))
    ends = {"side": ["+v", "-v"]}
    curved = _deepest(change.sel(ends).mean("side").values, noise.sel(ends).mean("side").values)
    sloped = _deepest(change.sel(side="-g").values, noise.sel(side="-g").values)
    return curved / (curved + sloped) if curved + sloped else 0.0


def _evidence(readings: Sequence[Reading]) -> Evidence:
    found = [r for r in readings if r.analysis == CRITICAL.name]
    if not found:
        return Evidence(missing=f"there is no '{CRITICAL.name}' of any network")
    seeds = sorted({r.seed for r in found})
    by_seed = [[_share(r.result) for r in found if r.seed == seed] for seed in seeds]
    told = Counter(str(r.result.attrs["verdict"]) for r in found)
    counts = {f"called '{word}'": many for word, many in sorted(told.items())}
    several = len(seeds) > 1
    return Evidence(
        [float(np.mean(shares)) for shares in by_seed] if several else by_seed[0],
        "seed" if several else "network",
        n={"networks": len(found), "seeds": len(seeds), **counts},
    )


claim = Claim(
    title="Trained networks are at saddles",
    statement="Not local minima but saddles are what training meets: the gradient is about zero, "
    "and the loss falls along negative curvature.",
    source="Dauphin et al. (2014); the discussion: minimum or saddle, how to tell?",
    statistic="decrease of the loss of 64 augmented training images that is due to negative "
    "curvature, along the eigenvector of the smallest eigenvalue, as a share of that and the "
    "decrease along the gradient; all networks",
    units="1",
    smallest=0.5,
    why="at a saddle curvature lowers the loss more than the slope does",
    analyses=(CRITICAL,),
    evidence=_evidence,
    misleads="The gradient of a few images is not that of all. Where the share is small, the "
    "weights may be at a minimum or, as the counts tell, at no critical point at all.",
)
