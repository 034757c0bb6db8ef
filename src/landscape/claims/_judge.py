"""From evidence to a verdict: intervals, controls, and the rule that is the same for every claim.

An effect is positive where the claim says so, in the claim's units, with one number per unit of
replication. The rule, with ``d`` the smallest effect of interest:

====================  ============================================================================
NOT TESTABLE          fewer than two units, or an effect that is not a number
ARTEFACT              the effect lies beyond ``d``, but not once the measurement is mended
ARCHITECTURAL         it lies beyond ``d``, and in a control it does so too, and no less
SUPPORTED             it lies beyond ``d``, and beyond every control
REFUTED               it is smaller than ``d``: a one-sided test at 5 % says so
INCONCLUSIVE          none of these
====================  ============================================================================

"Beyond" means that the whole 95 % interval is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from landscape.claims._interval import (
    Interval,
    Known,
    Sample,
    Summary,
    count,
    difference,
    holm,
    interval,
    sample,
    summary,
)

Word = Literal["SUPPORTED", "ARCHITECTURAL", "ARTEFACT", "REFUTED", "INCONCLUSIVE", "NOT TESTABLE"]


@dataclass(frozen=True)
class Evidence:
    """Effects to be judged; positive is as the claim says.

    Attributes
    ----------
    effect
        ``(units,)``, or their `Summary`.
    unit
        What was drawn independently: ``"seed"``, ``"image"``, ``"mini-batch"``, ``"network"``.
    controls
        The same effect where it should not be, ``(units,)`` each, paired with ``effect`` if of the
        same length.
    mended
        The same effect measured without a known artefact, by the artefact's name.
    parts
        ``(units, parts)``: the effect in each layer, head or batch size, where there are such.
    n
        How much was measured, for the reader: ``{"images": 256, "seeds": 3}``.
    missing
        Why there is no effect to judge.
    """

    effect: Sample = ()
    unit: str = "seed"
    controls: Mapping[str, Sample] = field(default_factory=dict)
    mended: Mapping[str, Sample] = field(default_factory=dict)
    parts: ArrayLike | None = None
    n: Mapping[str, int] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim, and how sure that is.

    Attributes
    ----------
    word
        The verdict.
    effect
        Mean and 95 % interval, or None if there is none.
    units, smallest
        Of the effect; the smallest effect of interest.
    unit, count
        What was replicated, and how often.
    controls, mended
        The same effect elsewhere, as intervals.
    held
        In how many parts the effect is above 0 (Holm, 5 %), in how many below, of how many.
    n
        How much was measured.
    reason, change
        In words: why this verdict, and what would change it.
    """

    word: Word
    effect: Interval | None
    units: str
    smallest: float
    unit: str
    count: int
    controls: Mapping[str, Interval]
    mended: Mapping[str, Interval]
    held: tuple[int, int, int] | None
    n: Mapping[str, int]
    reason: str
    change: str


def judge(evidence: Evidence, *, smallest: float, units: str, seed: int = 0) -> Verdict:
    """Apply the rule.

    Parameters
    ----------
    evidence
        Effects, positive as the claim says.
    smallest
        The smallest effect of interest, above 0, in ``units``.
    units
        Of the effect.
    seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        If ``smallest`` is not above 0, or an effect has more than one dimension.

    Examples
    --------
    >>> judge(Evidence([2.0, 2.1, 1.9]), smallest=0.5, units="dB").word
    'SUPPORTED'
    >>> judge(Evidence([0.01, -0.02, 0.0]), smallest=0.5, units="dB").word
    'REFUTED'
    >>> judge(Evidence([2.0, 2.1, 1.9], controls={"untrained": [2.0, 2.2, 1.9]}),
    ...       smallest=0.5, units="dB").word
    'ARCHITECTURAL'
    """
    if not smallest > 0:
        raise ValueError(f"the smallest effect of interest must be above 0, got {smallest}")
    effect = sample(evidence.effect)
    why = evidence.missing or _untestable(effect, evidence)
    units_seen = count(effect)
    if why:
        return Verdict(
            "NOT TESTABLE", None, units, smallest, evidence.unit, units_seen, {}, {}, None,
            evidence.n, why, "results that have it",
        )  # fmt: skip
    own = interval(effect, seed=seed)
    controls = {name: interval(x, seed=seed) for name, x in evidence.controls.items()}
    mended = {name: interval(x, seed=seed) for name, x in evidence.mended.items()}
    word, reason = _rule(effect, own, evidence, controls, mended, smallest, seed)
    held = None if evidence.parts is None else holm(evidence.parts)
    change = _change(word, effect, own, smallest, evidence.unit)
    return Verdict(
        word, own, units, smallest, evidence.unit, units_seen, controls, mended, held, evidence.n,
        reason, change,
    )  # fmt: skip


def _rule(
    effect: Known,
    own: Interval,
    evidence: Evidence,
    controls: Mapping[str, Interval],
    mended: Mapping[str, Interval],
    smallest: float,
    seed: int,
) -> tuple[Word, str]:
    if own.low > smallest:
        for name, found in mended.items():
            if found.high < smallest:
                return "ARTEFACT", f"not so once {name} is mended"
        doubts = []
        for name, found in controls.items():
            beyond = difference(effect, evidence.controls[name], seed).low > 0
            if not beyond and found.low > smallest:
                return "ARCHITECTURAL", f"the control '{name}' has it too, and no less"
            if not beyond:
                doubts.append(f"cannot be told from the control '{name}'")
        doubts += [
            f"uncertain once {name} is mended"
            for name, found in mended.items()
            if not found.low > smallest
        ]
        if doubts:
            return "INCONCLUSIVE", "; ".join(doubts)
        beyond_all = " and beyond every control" if controls else ""
        return "SUPPORTED", f"the interval lies beyond {smallest:g}{beyond_all}"
    if _upper(effect, seed) < smallest:
        side = "is of the other sign" if own.high < 0 else f"is smaller than {smallest:g}, if any"
        return "REFUTED", f"the effect {side}"
    return "INCONCLUSIVE", f"the interval holds {smallest:g}"


def _upper(effect: Known, seed: int) -> float:
    """The upper bound of a one-sided test at 5 %."""
    return interval(effect, level=0.90, seed=seed).high


def _untestable(effect: Known, evidence: Evidence) -> str:
    if count(effect) < 2:
        return f"it takes two or more of a {evidence.unit}, there are {count(effect)}"
    series: Sequence[tuple[str, Sample]] = [
        ("the effect", effect), *evidence.controls.items(), *evidence.mended.items()
    ]  # fmt: skip
    for name, values in series:
        known = sample(values)
        numbers = np.array([known.mean, known.error]) if isinstance(known, Summary) else known
        if not np.isfinite(numbers).all():
            return f"{name} is not a number in {int((~np.isfinite(numbers)).sum())} units"
        if count(known) == 0:
            return f"{name} has no values"
    return ""


def _change(word: Word, effect: Known, own: Interval, smallest: float, unit: str) -> str:
    if word == "INCONCLUSIVE":
        gap = abs(own.mean - smallest) or smallest
        told = summary(effect)
        need = _units_for(told.error * told.count**0.5, gap)
        many = f"{unit}es" if unit.endswith("ch") else f"{unit}s"
        return f"about {need:,} {many} would tell, at this spread and if the mean stays"
    if word == "REFUTED":
        return f"a mean effect beyond {smallest:g}, on other networks or data"
    if word == "ARTEFACT":
        return "an effect that stays when the measurement is mended"
    if word == "ARCHITECTURAL":
        return "an effect beyond that of the control"
    return f"an interval that reaches below {smallest:g}, on other networks or data"


def _units_for(spread: float, gap: float) -> int:
    """Units at which a 95 % interval is half as wide as the gap, by Student's t."""
    n = np.concatenate([np.arange(2, 100), np.geomspace(100, 1e6, 200).astype(int)])
    enough = spread * special.stdtrit(n - 1, 0.975) / np.sqrt(n) < gap
    return int(n[enough.argmax()]) if enough.any() else 1_000_000
