"""Weights of the zoo by recipe, seed and stage of the training."""

import re
from dataclasses import dataclass
from typing import Any

from landscape.models.card import STAGES, zoo


@dataclass(frozen=True)
class Checkpoint:
    """One of the zoo's checkpoints of a network on a data set.

    Attributes
    ----------
    variant
        ``""`` for the strong recipe, ``"weak"`` for crops and flips only.
    seed
        Of the training.
    stage
        ``"initial"``, ``"warmup"`` or ``"final"``.
    """

    variant: str = ""
    seed: int = 0
    stage: str = "final"

    def __str__(self) -> str:
        parts = [self.variant, f"seed{self.seed}", "" if self.stage == "final" else self.stage]
        return "-".join(filter(None, parts))


def parse(text: str) -> Checkpoint | None:
    """Read ``[weak-][seedN-][initial|warmup|final]``; what is left out is the default.

    Examples
    --------
    >>> parse("weak-seed2-warmup")
    Checkpoint(variant='weak', seed=2, stage='warmup')
    >>> str(parse("seed1")), str(parse("initial")), parse("weights.pt")
    ('seed1', 'seed0-initial', None)
    """
    found = re.fullmatch(rf"(weak)?-?(?:seed(\d+))?-?({'|'.join(STAGES)})?", text)
    if not found or "-".join(filter(None, _parts(found))) != text or not text:
        return None
    variant, seed, stage = found.groups()
    return Checkpoint(variant or "", int(seed or 0), stage or "final")


def pick(model: str, data: str, wanted: Checkpoint) -> dict[str, Any] | None:
    """Facts on the zoo's weights of ``model`` for a data spec, or None.

    A variant of a data set (``deadleaves:conflict``) takes the weights of the data set itself.
    """
    for home in (data, data.partition(":")[0]):
        for entry in zoo(model):
            if entry["data"] == home and checkpoint(entry) == wanted:
                return entry
    return None


def checkpoint(entry: dict[str, Any]) -> Checkpoint:
    """Tell which checkpoint an entry of `zoo` is."""
    return Checkpoint(entry.get("variant", ""), entry["seed"], entry["stage"])


def _parts(found: re.Match[str]) -> tuple[str, str, str]:
    variant, seed, stage = found.groups()
    return variant or "", f"seed{seed}" if seed else "", stage or ""
