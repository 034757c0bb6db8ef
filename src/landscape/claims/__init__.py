"""Claims of the debate, each with its source, its statistic and the rule of its verdict.

One claim a file, named like the file, found by folder. A claim reads results and knows no network:
it says which analyses it needs, takes one number per unit of replication out of each result, and
leaves the verdict to `_judge`, which is the same for all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from landscape.claims._interval import Interval, Summary
from landscape.claims._judge import Evidence, Verdict, judge
from landscape.result import Result

__all__ = ["Analysis", "Claim", "Evidence", "Interval", "Reading"]
__all__ += ["Summary", "Verdict"]
__all__ += ["find", "judge", "names"]


@dataclass(frozen=True)
class Analysis:
    """What to measure: an analyzer with its settings, on which networks.

    Attributes
    ----------
    name
        Of the result's file: ``"hessian-clean"``. One name, one meaning, in all claims.
    analyzer
        Name of the analyzer.
    families
        Of the networks it is needed for.
    weights
        ``"final"``, ``"warmup"``, ``"initial"`` or ``"weak"``, which is another recipe.
    images, batch_size, split, augment, labels
        The data, and whether its labels matter.
    settings
        Keyword arguments of the analyzer.
    twins
        Untrained twins of the network, for a control "untrained" among the settings.
    """

    name: str
    analyzer: str
    families: Sequence[str] = ("conv", "msa", "hybrid")
    weights: str = "final"
    images: int = 256
    batch_size: int = 64
    split: str = "test"
    augment: str = "none"
    labels: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    twins: int = 0


@dataclass(frozen=True)
class Reading:
    """One result, and of which network it is.

    Attributes
    ----------
    analysis
        Name of the analysis.
    model, family
        The network.
    seed
        Of its training.
    result
        What was measured.
    """

    analysis: str
    model: str
    family: str
    seed: int
    result: Result


@dataclass(frozen=True)
class Claim:
    """A statement that measurements can contradict.

    Attributes
    ----------
    title
        The claim in a few words.
    statement
        What is claimed, as its authors would say it.
    source
        Paper and figure, or the question in the discussion.
    statistic
        What is measured, in words; positive is as the claim says.
    units, smallest
        Of the effect; the smallest effect of interest, and
    why
        why that.
    analyses
        What it needs.
    evidence
        From all readings of its analyses to evidence.
    misleads
        How the numbers could mislead.
    beside
        Networks of the zoo that it needs beside those that are compared.
    """

    title: str
    statement: str
    source: str
    statistic: str
    units: str
    smallest: float
    why: str
    analyses: Sequence[Analysis]
    evidence: Callable[[Sequence[Reading]], Evidence]
    misleads: str
    beside: Sequence[str] = ()

    def judge(self, readings: Sequence[Reading], seed: int = 0) -> Verdict:
        """The verdict on these readings."""
        wanted = {analysis.name for analysis in self.analyses}
        own = [r for r in readings if r.analysis in wanted]
        return judge(self.evidence(own), smallest=self.smallest, units=self.units, seed=seed)


def names() -> list[str]:
    """Names of all claims, which are their files."""
    return sorted(
        path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_")
    )


def find(name: str) -> Claim:
    """A claim by its name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in names():
        raise ValueError(f"unknown claim '{name}'. Choices: {', '.join(names())}")
    claim = import_module(f"landscape.claims.{name}").claim
    assert isinstance(claim, Claim)
    return claim
