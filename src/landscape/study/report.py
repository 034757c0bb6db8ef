"""The page that tells the verdicts: one file, which works without a network, and its JSON twin."""

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from matplotlib.figure import Figure

from landscape.claims import Claim, Verdict
from landscape.claims._calibration import Calibration, calibrate
from landscape.claims._interval import FEW, Interval
from landscape.claims._table import ORDER, table
from landscape.plots import style
from landscape.plots.claims import WORD_COLOURS, plot
from landscape.result import Result

Judged = Mapping[str, tuple[Claim, Verdict]]


def ranked(judged: Judged) -> dict[str, tuple[Claim, Verdict]]:
    """Claims by their verdict, then by name."""
    order = sorted(judged, key=lambda name: (ORDER.index(judged[name][1].word), name))
    return {name: judged[name] for name in order}


def verdicts(judged: Judged, networks: Sequence[str], data: str) -> Result:
    """Verdicts as a labelled value, in the order of the report."""
    return table(ranked(judged), {"networks": list(networks), "data": data})


def page(
    judged: Judged,
    result: Result,
    *,
    networks: Sequence[str],
    data: str,
    files: Mapping[str, Sequence[str]],
    command: str,
    quick: bool = False,
) -> str:
    """The report as HTML.

    Parameters
    ----------
    judged
        Claims with their verdicts, by name.
    result
        Of `verdicts`.
    networks, data
        What was measured.
    files
        Results of each claim, relative to the page.
    command
        That made it.
    quick
        Whether the verdicts mean anything.
    """
    judged = ranked(judged)
    rows = [_row(name, *judged[name], result, files.get(name, ())) for name in judged]
    words = Counter(row["word"] for row in rows)
    count = ", ".join(f"{words[word]} {word.lower()}" for word in ORDER if words[word])
    seen = any(verdict.effect is not None for _, verdict in judged.values())
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(loader=loader, autoescape=True).get_template("report.html")
    return template.render(
        rows=rows,
        networks=", ".join(networks),
        data=data,
        count=count,
        overview=_picture(result, view="all") if seen else "",
        command=command,
        quick=quick,
        calibrations=_calibrations(judged),
        version=version("vision-landscape"),
    )


def twin(judged: Judged) -> str:
    """The same as JSON."""
    rows = {
        name: {
            "title": claim.title,
            "statement": claim.statement,
            "source": claim.source,
            "statistic": claim.statistic,
            "verdict": verdict.word,
            "effect": _plain(verdict.effect),
            "units": verdict.units,
            "smallest": verdict.smallest,
            "unit": verdict.unit,
            "count": verdict.count,
            "n": dict(verdict.n),
            "controls": {k: _plain(v) for k, v in verdict.controls.items()},
            "mended": {k: _plain(v) for k, v in verdict.mended.items()},
            "parts": verdict.held,
            "reason": verdict.reason,
            "change": verdict.change,
        }
        for name, (claim, verdict) in ranked(judged).items()
    }
    return json.dumps(rows, indent=1, sort_keys=True) + "\n"


def _calibrations(judged: Judged) -> list[Calibration]:
    """The judge's error rates at the numbers of units that stand in the report, 3 if none."""
    counts = {verdict.count for _, verdict in judged.values() if verdict.effect} or {3}
    # a spread at which the power at twice the smallest effect of interest is about 90 % or more
    return [
        calibrate(count, *((0.05 * count, 1000) if count < FEW else (0.25 * count**0.5, 100)))
        for count in sorted(counts)
        if count > 1
    ]


def _row(
    name: str, claim: Claim, verdict: Verdict, result: Result, files: Sequence[str]
) -> dict[str, Any]:
    units = "" if verdict.units == "1" else f" {verdict.units}"
    others = [("Control", *item) for item in verdict.controls.items()]
    others += [("Mended", *item) for item in verdict.mended.items()]
    held = ""
    if verdict.held:
        above, below, every = verdict.held
        held = f"of {every}, {above} above 0 and {below} below (Holm, 5 %)"
    return {
        "name": name,
        "word": verdict.word,
        "colour": WORD_COLOURS[verdict.word],
        "title": claim.title,
        "statement": claim.statement,
        "source": claim.source,
        "statistic": claim.statistic,
        "misleads": claim.misleads,
        "why": claim.why,
        "effect": f"{verdict.effect}{units}" if verdict.effect else "–",
        "effect_units": verdict.units,
        "smallest": f"{verdict.smallest:g}{units}",
        "units": f"{verdict.count} × {verdict.unit}",
        "n": ", ".join(f"{v:,} {k}" for k, v in verdict.n.items()) or "nothing",
        "held": held,
        "reason": verdict.reason,
        "change": verdict.change,
        "comparisons": [{"kind": k, "name": n, "effect": f"{v}{units}"} for k, n, v in others],
        "picture": _picture(result, view="one", claim=name) if verdict.effect else "",
        "files": files,
    }


def _picture(result: Result, **choice: Any) -> str:
    """A figure as tall as its rows need, as a data address."""
    rows = int(np.isfinite(result["mean"]).sum())
    if "claim" in choice:
        rows = 1 + int((result["comparison_name"].sel(claim=choice["claim"]) != "").sum())
    size = (style.DOUBLE_COLUMN, 0.6 + 0.3 * rows)
    with style.paper(), BytesIO() as file:
        picture = Figure(size, layout="constrained")
        plot(result, ax=picture.subplots(), **choice)
        picture.savefig(file, format="png", dpi=200)
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _plain(found: Interval | None) -> dict[str, float | None] | None:
    if found is None:
        return None
    each = {"mean": found.mean, "low": found.low, "high": found.high}
    return {k: v if abs(v) != float("inf") else None for k, v in each.items()}
