"""From readings to effects: which numbers are replicates, and of what.

Networks trained from several seeds are replicated by seed: one number each, the mean over its
images or mini-batches. A network of which there is only one is replicated by what it was shown,
and the verdict then holds for that network alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landscape.claims import Evidence, Reading, Summary
from landscape.claims._interval import interval
from landscape.result import Result

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Parts:
    """What a result tells of each part of a network: layers, heads.

    Attributes
    ----------
    values, errors
        ``(parts,)`` means over images and their standard errors.
    count
        Of the images.
    """

    values: Numbers
    errors: Numbers
    count: int


#: one number for each image or mini-batch of a result, or its parts
Statistic = Callable[[Result], Numbers | Parts]


@dataclass(frozen=True)
class Units:
    """Numbers per unit of replication, ``(units,)`` or ``(units, parts)``, or their summary."""

    values: Numbers | Summary
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
        Replicates within a result, or means over them.
    within
        What these are: ``"image"``, ``"mini-batch"``.

    Returns
    -------
    Units or str
        Or why there are none.
    """
    a, b = (_seen(readings, analysis, who, statistic) for who in (first, second))
    for name, found in ((first, a), (second, b)):
        if not found:
            return f"there is no '{analysis}' of a network '{name}'"
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return f"'{first}' and '{second}' have no seed in common"
    counts = _counted(a[seeds[0]], within, len(seeds))
    if len(seeds) > 1:
        each = [(a[s].rows.mean(0), b[s].rows.mean(0)) for s in seeds]
        alike = all(x.shape == y.shape for x, y in each)
        values = np.array([x - y if alike else np.nanmean(x) - np.nanmean(y) for x, y in each])
        return Units(values, "seed", counts)
    one, other = a[seeds[0]], b[seeds[0]]
    if one.error is not None and other.error is not None:
        return Units(one.summary() - other.summary(), within, counts)
    if one.rows.shape != other.rows.shape:
        return f"'{first}' and '{second}' were not measured on the same {_plural(within)}"
    return Units(one.rows - other.rows, within, counts)


def own(
    readings: Sequence[Reading], analysis: str, who: str, statistic: Statistic, *, within: str
) -> Units | str:
    """``statistic`` of the networks ``who``, by seed, or by image if there is one seed."""
    found = _seen(readings, analysis, who, statistic)
    if not found:
        return f"there is no '{analysis}' of a network '{who}'"
    first = found[min(found)]
    counts = _counted(first, within, len(found))
    if len(found) > 1:
        return Units(np.array([found[s].rows.mean(0) for s in sorted(found)]), "seed", counts)
    return Units(first.rows if first.error is None else first.summary(), within, counts)


def minus(one: Units | str, other: Units | str) -> Units | str:
    """Difference of two effects of the same units."""
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else str(other)
    a, b = _flat(one.values), _flat(other.values)
    if isinstance(a, Summary) != isinstance(b, Summary) or one.unit != other.unit:
        return "the two effects have different units"
    return Units(a - b, one.unit, one.n)


@dataclass(frozen=True)
class _Seen:
    """Rows of replicates of one seed, ``(rows, ...)``; or one row of means, with an error."""

    rows: Numbers
    count: int
    error: float | None

    def summary(self) -> Summary:
        # errors of parts that see the same images may add up: no smaller than their mean
        return Summary(float(np.nanmean(self.rows)), self.error or 0.0, self.count)


def _seen(
    readings: Sequence[Reading], analysis: str, who: str, statistic: Statistic
) -> dict[int, _Seen]:
    """What is known by seed; several networks of one family are averaged, seed by seed."""
    found: dict[int, list[_Seen]] = {}
    for reading in readings:
        if reading.analysis == analysis and who in (reading.family, reading.model):
            told = statistic(reading.result)
            if isinstance(told, Parts):
                known = told.errors[np.isfinite(told.errors)]
                error = float(known.mean()) if known.size else np.nan
                one = _Seen(told.values[None], told.count, error)
            else:
                rows = np.asarray(told, dtype=float)
                one = _Seen(rows, len(rows), None)
            found.setdefault(reading.seed, []).append(one)
    return {seed: _joined(series) for seed, series in found.items()}


def _joined(series: Sequence[_Seen]) -> _Seen:
    if len(series) == 1:
        return series[0]
    rows = [one.rows for one in series]
    if len({x.shape for x in rows}) > 1:  # unlike depth: their layers are no common parts
        rows = [_flat(x) for x in rows]
    errors = [one.error for one in series if one.error is not None]
    error = float(np.linalg.norm(errors)) / len(series) if errors else None
    return _Seen(np.mean(rows, axis=0), min(one.count for one in series), error)


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

    def flat(table: Mapping[str, Units | str] | None) -> dict[str, Any]:
        return {k: _flat(v.values) for k, v in (table or {}).items() if isinstance(v, Units)}

    values = units.values
    parts = values if not isinstance(values, Summary) and values.ndim == 2 else None
    return Evidence(
        _flat(values),
        units.unit,
        flat(controls),
        flat(mended),
        parts=parts,
        n=units.n,
    )


def least(found: Sequence[Units | str]) -> Evidence:
    """The measure that speaks least for a claim, where all have to hold.

    An intersection-union test: if the least is beyond, all are, and no correction is due.
    """
    known = [units for units in found if isinstance(units, Units)]
    if len(known) < len(found):
        return evidence(next(units for units in found if isinstance(units, str)))
    worst = min(known, key=lambda units: interval(_flat(units.values)).mean)
    columns = [_flat(u.values) for u in known if not isinstance(u.values, Summary)]
    if len(columns) == len(known) and len({len(column) for column in columns}) == 1:
        return Evidence(_flat(worst.values), worst.unit, parts=np.column_stack(columns), n=worst.n)
    return evidence(worst)


def _counted(found: _Seen, within: str, seeds: int) -> dict[str, int]:
    name = _plural(within) + (" a network" if seeds > 1 else "")
    return {name: found.count, "seeds": seeds}


def _plural(word: str) -> str:
    return word + ("es" if word.endswith("ch") else "s")


def _flat(values: Any) -> Any:
    if isinstance(values, Summary) or values.ndim == 1:
        return values
    return np.nanmean(values, axis=1)
