"""The picture of verdicts has the numbers of their table."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape import plot
from landscape.claims import Claim, Evidence, judge
from landscape.claims._table import table

STRONG = [2.0, 2.1, 1.9]


@pytest.fixture(scope="module")
def result():
    def row(title, **given):
        claim = Claim(title, "s", "s", "s", "dB", 0.5, "w", (), len, "m")
        return claim, judge(Evidence(**given), smallest=0.5, units="dB")

    controls, mended = {"untrained": [0.1, 0.0, 0.2]}, {"the mean": STRONG}
    judged = {
        "no": row("No", effect=[-1.0, -1.1, -0.9]),
        "yes": row("Yes", effect=STRONG, controls=controls, mended=mended),
        "unknown": row("Unknown", missing="nothing"),
    }
    return table(judged, {})


def points(ax):
    """Ends and middle of every interval, from below."""
    found = {}
    for bar in ax.containers:
        line, _, (segments,) = bar
        (x,), (y,) = line.get_data()
        ((left, _), (right, _)) = segments.get_segments()[0]
        found[float(y)] = (left, x, right)
    return [found[y] for y in sorted(found)]


def test_all_effects_are_over_their_smallest_and_the_unknown_is_left_out(result):
    ax = plot(result, ax=Figure().subplots())
    known = result.sel(claim=["no", "yes"])  # the best on top
    wanted = np.stack([known[part].values / 0.5 for part in ("low", "mean", "high")], 1)
    assert np.array(points(ax)) == pytest.approx(wanted)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["No", "Yes"]


def test_one_claim_stands_beside_its_comparisons(result):
    ax = plot(result, ax=Figure().subplots(), view="one", claim="yes")
    one = result.sel(claim="yes")
    rows = [
        one[[f"comparison_{p}" for p in ("low", "mean", "high")]].isel(comparison=i) for i in (1, 0)
    ]
    wanted = [[float(row[f"comparison_{p}"]) for p in ("low", "mean", "high")] for row in rows]
    wanted.append([float(one[p]) for p in ("low", "mean", "high")])
    assert np.array(points(ax)) == pytest.approx(np.array(wanted))
    with pytest.raises(ValueError, match=r"no claim 'x' in the result\. Choices: no, yes, unknown"):
        plot(result, ax=Figure().subplots(), view="one", claim="x")
