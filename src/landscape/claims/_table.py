"""Verdicts as a labelled value, which plots and the report read."""

import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import xarray as xr

from landscape.claims import Claim, Verdict
from landscape.claims._interval import Interval
from landscape.claims._judge import Word
from landscape.result import Result, stamp

ORDER: tuple[str, ...] = get_args(Word)


def table(judged: Mapping[str, tuple[Claim, Verdict]], settings: Mapping[str, Any]) -> Result:
    """Verdicts over ``claim``: word, effect with interval, and the same for its comparisons.

    Comparisons are the controls and what was mended, over ``comparison``; a claim has its own
    names for them in ``comparison_name``.
    """
    names = list(judged)
    rows = [verdict for _, verdict in judged.values()]
    others = [
        [("control", *item) for item in verdict.controls.items()]
        + [("mended", *item) for item in verdict.mended.items()]
        for verdict in rows
    ]
    width = max([len(row) for row in others], default=0)
    data: dict[str, Any] = {}
    effects = [verdict.effect for verdict in rows]
    for part in ("mean", "low", "high"):
        data[part] = ("claim", [_get(e, part) for e in effects], _label(f"effect, {part}"))
        grid = np.full((len(rows), width), np.nan)
        for i, row in enumerate(others):
            grid[i, : len(row)] = [_get(found, part) for _, _, found in row]
        data[f"comparison_{part}"] = (("claim", "comparison"), grid, _label(f"comparison, {part}"))
    for role, k in (("kind", 0), ("name", 1)):
        text = [[str(row[j][k]) if j < len(row) else "" for j in range(width)] for row in others]
        values = np.array(text, dtype=object).reshape(len(rows), width)
        data[f"comparison_{role}"] = (("claim", "comparison"), values, _label(f"{role}"))
    data["smallest"] = (
        "claim", [v.smallest for v in rows], _label("smallest effect of interest"),
    )  # fmt: skip
    data["count"] = ("claim", [v.count for v in rows], _label("units of replication"))
    texts = {
        "title": [c.title for c, _ in judged.values()],
        "word": [v.word for v in rows],
        "effect_units": [v.units for v in rows],
        "unit": [v.unit for v in rows],
        "reason": [v.reason for v in rows],
        "change": [v.change for v in rows],
        "held": [json.dumps(v.held) for v in rows],
        "n": [json.dumps(dict(v.n), sort_keys=True) for v in rows],
    }
    about = {"effect_units": "units of the effect", "unit": "what is replicated"}
    for name, column in texts.items():
        data[name] = ("claim", np.array(column, dtype=object), _label(about.get(name, name)))
    coords = {"claim": ("claim", names, _label("claim"))}
    return stamp(xr.Dataset(data, coords), "claims", settings)


def _get(found: Interval | None, part: str) -> float:
    return np.nan if found is None else float(getattr(found, part))


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
