"""From readings to effects: which numbers are replicates, and of what.

Networks trained from several seeds are replicated by seed: one number each, the mean over its
images or mini-batches. A network of which there is only one is replicated by what it was shown,
and the verdict then holds for that network alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landscape.claims import Evidence, Reading
from landscape.result import Result

Numbers = NDArray[np.float64]
#: one number for each image or mini-batch of a result
Statistic = Callable[[Result], Numbers]


@dataclass(frozen=True)
class Units:
    """Numbers per unit of replication, ``(units,)`` or ``(units, parts)``."""

    values: Numbers
    unit: str
    n: dict[str, int]


def contrast(
    readings: Sequence[Reading],
    analysis: str,
    first: str,
    second: str,
    statistic: Statistic,
    *,
    within: str,
) -> Units | str:
    """``statistic`` of networks ``first`` minus those ``second``, paired by seed, or by image.

    Parameters
    ----------
    readings
        All there are.
    analysis
        Which of them.
    first, second
        A family, or the name of a network.
    statistic
        Replicates within a result.
    within
        What these are: ``"image"``, ``"mini-batch"``.

    Returns
    -------
    Units or str
        Or why there are none.
    """
    a = _of(readings, analysis, first, statistic)
    b = _of(readings, analysis, second, statistic)
    for name, found in ((first, a), (second, b)):
        if not found:
            return f"there is no '{analysis}' of a network '{name}'"
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return f"'{first}' and '{second}' have no seed in common"
    if len(seeds) > 1:
        values = np.array([a[s].mean(0) - b[s].mean(0) for s in seeds])
        return Units(
            values, "seed", {"seeds": len(seeds), f"{_plural(within)} a network": len(a[seeds[0]])}
        )
    one, other = a[seeds[0]], b[seeds[0]]
    if one.shape != other.shape:
        return f"'{first}' and '{second}' were not measured on the same {_plural(within)}"
    return Units(one - other, within, {_plural(within): len(one), "seeds": 1})


def own(
    readings: Sequence[Reading], analysis: str, who: str, statistic: Statistic, *, within: str
) -> Units | str:
    """``statistic`` of the networks ``who``, by seed, or by image if there is one seed."""
    found = _of(readings, analysis, who, statistic)
    if not found:
        return f"there is no '{analysis}' of a network '{who}'"
    if len(found) > 1:
        values = np.array([found[s].mean(0) for s in sorted(found)])
        first = found[min(found)]
        return Units(
            values, "seed", {"seeds": len(found), f"{_plural(within)} a network": len(first)}
        )
    (only,) = found.values()
    return Units(only, within, {_plural(within): len(only), "seeds": 1})


def evidence(
    units: Units | str,
    controls: Mapping[str, Units | str] | None = None,
    mended: Mapping[str, Units | str] | None = None,
) -> Evidence:
    """Evidence of units, with the same of controls and after mending; missing if any is."""
    every = [units, *(controls or {}).values(), *(mended or {}).values()]
    missing = [found for found in every if isinstance(found, str)]
    if missing or isinstance(units, str):
        return Evidence(missing=missing[0])

    def flat(table: Mapping[str, Units | str] | None) -> dict[str, Numbers]:
        return {k: _flat(v.values) for k, v in (table or {}).items() if isinstance(v, Units)}

    return Evidence(
        _flat(units.values),
        units.unit,
        flat(controls),
        flat(mended),
        parts=units.values if units.values.ndim == 2 else None,
        n=units.n,
    )


def least(found: Sequence[Units | str]) -> Evidence:
    """The measure that speaks least for a claim, where all have to hold.

    An intersection-union test: if the least is beyond, all are, and no correction is due.
    """
    known = [units for units in found if isinstance(units, Units)]
    if len(known) < len(found):
        return evidence(next(units for units in found if isinstance(units, str)))
    worst = min(known, key=lambda units: float(np.mean(units.values)))
    if all(len(units.values) == len(worst.values) for units in known):
        parts = np.column_stack([units.values for units in known])
        return Evidence(worst.values, worst.unit, parts=parts, n=worst.n)
    return evidence(worst)


def _plural(word: str) -> str:
    return word + ("es" if word.endswith("ch") else "s")


def _flat(values: Numbers) -> Numbers:
    return np.nanmean(values, axis=1) if values.ndim == 2 else values


def _of(
    readings: Sequence[Reading], analysis: str, who: str, statistic: Statistic
) -> dict[int, Numbers]:
    """Replicates by seed; several networks of one family are averaged, seed by seed."""
    found: dict[int, list[Numbers]] = {}
    for reading in readings:
        if reading.analysis == analysis and who in (reading.family, reading.model):
            values = np.asarray(statistic(reading.result), dtype=float)
            found.setdefault(reading.seed, []).append(values)
    shapes = {x.shape[1:] for series in found.values() for x in series}
    if len(shapes) > 1:  # networks of different depth: their layers are no common parts
        found = {s: [_flat(x) for x in series] for s, series in found.items()}
    return {s: np.mean(series, axis=0) for s, series in found.items()}
