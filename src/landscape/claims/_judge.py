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
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Word = Literal["SUPPORTED", "ARCHITECTURAL", "ARTEFACT", "REFUTED", "INCONCLUSIVE", "NOT TESTABLE"]
FEW = 20  # below so many units a bootstrap interval is too narrow
DRAWS = 10_000


@dataclass(frozen=True)
class Evidence:
    """Effects to be judged; positive is as the claim says.

    Attributes
    ----------
    effect
        ``(units,)``.
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

    effect: ArrayLike = ()
    unit: str = "seed"
    controls: Mapping[str, ArrayLike] = field(default_factory=dict)
    mended: Mapping[str, ArrayLike] = field(default_factory=dict)
    parts: ArrayLike | None = None
    n: Mapping[str, int] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = spec or ".3g"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


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
    effect = _vector(evidence.effect)
    why = evidence.missing or _untestable(effect, evidence)
    count = len(effect)
    if why:
        return Verdict(
            "NOT TESTABLE", None, units, smallest, evidence.unit, count, {}, {}, None, evidence.n,
            why, "results that have it",
        )  # fmt: skip
    own = interval(effect, seed=seed)
    controls = {name: interval(x, seed=seed) for name, x in evidence.controls.items()}
    mended = {name: interval(x, seed=seed) for name, x in evidence.mended.items()}
    word, reason = _rule(effect, own, evidence, controls, mended, smallest, seed)
    held = None if evidence.parts is None else holm(evidence.parts)
    change = _change(word, effect, own, smallest, evidence.unit)
    return Verdict(
        word, own, units, smallest, evidence.unit, count, controls, mended, held, evidence.n,
        reason, change,
    )  # fmt: skip


def interval(values: ArrayLike, *, level: float = 0.95, seed: int = 0) -> Interval:
    """Mean with an interval: Student's t for few units, a BCa bootstrap for `FEW` or more.

    One unit has a mean and no interval.

    Examples
    --------
    >>> f"{interval([1.0, 2.0, 3.0]):.2f}"
    '2.00 [-0.48, 4.48]'
    """
    values = _vector(values)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -np.inf, np.inf)
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    if len(values) < FEW:
        half = stats.sem(values) * stats.t.ppf((1 + level) / 2, len(values) - 1)
        return Interval(mean, mean - float(half), mean + float(half))
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=DRAWS, confidence_level=level, batch=1000,
        random_state=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(mean, float(found.low), float(found.high))


def holm(parts: ArrayLike) -> tuple[int, int, int]:
    """Parts whose mean is above 0, below 0, and all: t tests with Holm's step-down at 5 %.

    Examples
    --------
    >>> holm([[1.0, 0.1, -3.0], [1.1, -0.1, -3.1], [0.9, 0.0, -2.9]])
    (1, 1, 3)
    """
    parts = np.asarray(parts, dtype=float)
    parts = parts[:, np.isfinite(parts).all(0)]
    if parts.shape[1] == 0 or len(parts) < 2:
        return 0, 0, parts.shape[1]
    spread = parts.std(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = parts.mean(0) / (spread / np.sqrt(len(parts)))
    p = np.where(np.isnan(t), 1.0, 2 * stats.t.sf(np.abs(t), len(parts) - 1))
    order = np.argsort(p, kind="stable")
    passed = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))) <= 0.05
    held = order[passed]
    above = int((parts.mean(0)[held] > 0).sum())
    return above, len(held) - above, parts.shape[1]


def _rule(
    effect: NDArray[np.float64],
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
            beyond = _minus(effect, evidence.controls[name], seed).low > 0
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


def _minus(effect: NDArray[np.float64], control: ArrayLike, seed: int) -> Interval:
    """Interval of the difference: paired where lengths agree, else Welch's."""
    other = _vector(control)
    if len(other) == len(effect):
        return interval(effect - other, seed=seed)
    found = stats.ttest_ind(effect, other, equal_var=False).confidence_interval(0.95)
    return Interval(float(effect.mean() - other.mean()), float(found.low), float(found.high))


def _upper(effect: NDArray[np.float64], seed: int) -> float:
    """The upper bound of a one-sided test at 5 %."""
    return interval(effect, level=0.90, seed=seed).high


def _untestable(effect: NDArray[np.float64], evidence: Evidence) -> str:
    if len(effect) < 2:
        return f"it takes two or more of a {evidence.unit}, there are {len(effect)}"
    series: Sequence[tuple[str, ArrayLike]] = [
        ("the effect", effect), *evidence.controls.items(), *evidence.mended.items()
    ]  # fmt: skip
    for name, values in series:
        if not np.isfinite(_vector(values)).all():
            return f"{name} is not a number in {int((~np.isfinite(_vector(values))).sum())} units"
        if len(_vector(values)) == 0:
            return f"{name} has no values"
    return ""


def _change(
    word: Word, effect: NDArray[np.float64], own: Interval, smallest: float, unit: str
) -> str:
    if word == "INCONCLUSIVE":
        gap = abs(own.mean - smallest) or smallest
        need = _units_for(float(effect.std(ddof=1)), gap)
        return f"about {need} of a {unit} would tell, at this spread and if the mean stays"
    if word == "REFUTED":
        return f"a mean effect beyond {smallest:g}, on other networks or data"
    if word == "ARTEFACT":
        return "an effect that stays when the measurement is mended"
    if word == "ARCHITECTURAL":
        return "an effect beyond that of the control"
    return f"an interval that reaches below {smallest:g}, on other networks or data"


def _units_for(spread: float, gap: float) -> int:
    """Units at which a 95 % interval is half as wide as the gap, by Student's t."""
    for n in (*range(2, 100), *(int(x) for x in np.geomspace(100, 1e6, 200))):
        if spread * stats.t.ppf(0.975, n - 1) / np.sqrt(n) < gap:
            return n
    return 1_000_000


def _vector(values: ArrayLike) -> NDArray[np.float64]:
    found = np.atleast_1d(np.asarray(values, dtype=float))
    if found.ndim > 1:
        raise ValueError(f"an effect has one number per unit, got shape {found.shape}")
    return found
