"""Every combination of choices, and the part that each has in a change of the answer."""

from itertools import permutations

import numpy as np
import pytest
import xarray as xr

from landscape import plot
from landscape.claims import Reading
from landscape.claims._second_order import LAMBDA
from landscape.study.gather import jobs
from landscape.study.reconcile import COMMON, _analyses, combined, shapley

ALPHA = np.linspace(-0.4, 0.4, 9)
#: what each choice adds to the ln ratio of a / b
PARTS = {"data": -0.5, "recipe": -2.0, "batchnorm": 0.1, "checkpoint": 0.3, "size": 0.2}


def test_shapley_values_are_the_mean_over_all_orders_and_add_up():
    values = np.random.default_rng(0).normal(size=(2, 1, 2, 2))
    names, found = shapley(values, ["a", "b", "c", "d"])
    assert names == ["a", "c", "d"]
    assert found.sum() == pytest.approx(values[1, 0, 1, 1] - values[0, 0, 0, 0])
    brute = dict.fromkeys(names, 0.0)
    for order in permutations(range(3)):
        for place, axis in enumerate(order):
            chosen = [int(i in order[:place]) for i in range(3)]
            after = [int(i in order[: place + 1]) for i in range(3)]
            step = (
                values[after[0], 0, after[1], after[2]] - values[chosen[0], 0, chosen[1], chosen[2]]
            )
            brute[names[axis]] += step / 6
    assert found == pytest.approx(list(brute.values()))


def test_of_a_sum_of_choices_each_gets_its_own():
    effects = np.array([0.3, -2.0, 0.7])
    table = sum(
        np.reshape([0.0, e], [2 if i == k else 1 for i in range(3)]) for k, e in enumerate(effects)
    )
    assert shapley(table, ["a", "b", "c"])[1] == pytest.approx(effects)


def planted(without=()):
    """Readings of two networks whose ln ratio is 1 plus the parts of the second choices."""
    readings = []
    for analysis in _analyses():
        words = analysis.name.removeprefix("reconcile-")
        if any(word in words for word in without):
            continue
        shift = 1.0 + sum(
            PARTS[name]
            for name, (_, second) in COMMON.items()
            if name != "loss" and second in words
        )
        shift += PARTS["size"] if "top-64" in words else 0.0
        for model, sharp in (("a", np.exp(shift)), ("b", 1.0)):
            if analysis.analyzer == "hessian":
                result = xr.Dataset(
                    {"eigenvalue": (("batch", "rank"), np.full((4, 1), 40 * sharp))}
                )
            else:
                nll = np.tile(1 + 10 * sharp * ALPHA**2, (3, 1))
                l2 = np.tile(100 + 100 * ALPHA**2, (3, 1))
                lines = {"nll": (("plane", "alpha"), nll), "l2": (("plane", "alpha"), l2)}
                result = xr.Dataset(lines, {"alpha": ALPHA})
            readings.append(Reading(analysis.name, model, "conv", 0, result))
    return readings


def test_planted_parts_are_found():
    found = combined(planted(), "a", "b")
    assert found["eigenvalue_ratio"].shape == (2,) * 6
    first = found["eigenvalue_ratio"].isel({name: 0 for name in found["eigenvalue_ratio"].dims})
    exact = np.log((40 * np.e + LAMBDA) / (40 + LAMBDA))
    assert float(first) == pytest.approx(exact)
    shares = found["eigenvalue_share"].to_series()
    for name, part in PARTS.items():
        assert shares[name] == pytest.approx(part, abs=0.002)
    assert abs(shares["loss"]) < 0.01  # lambda, beside eigenvalues of 40
    assert found["eigenvalue_ratio_low"].equals(found["eigenvalue_ratio_high"])


def test_the_decay_of_a_slice_is_added_in_closed_form():
    found = combined(planted(), "a", "b")
    cell = {"data": "augmented", "recipe": "strong", "batchnorm": "running", "checkpoint": "warmup"}
    ratio = found["rise_ratio"].sel(cell)
    for radius in ("0.4", "0.1"):
        assert float(ratio.sel(loss="nll", radius=radius)) == pytest.approx(1.0)
        with_decay = np.log((10 * np.e + LAMBDA * 100) / (10 + LAMBDA * 100))
        assert float(ratio.sel(loss="nll+l2", radius=radius)) == pytest.approx(with_decay)


def test_a_choice_without_weights_is_left_out_and_a_hole_is_refused():
    found = combined(planted(without=("weak",)), "a", "b")
    assert found["recipe"].values.tolist() == ["strong"]
    assert "recipe" not in found["rise_factor"].values
    assert found["eigenvalue_share"].sum() == pytest.approx(
        float(
            found["eigenvalue_ratio"].values.ravel()[-1]
            - found["eigenvalue_ratio"].values.ravel()[0]
        )
    )
    with pytest.raises(ValueError, match="no result of both a and b for nll\\+l2, clean, weak"):
        combined(planted(without=("clean-running-weak-warmup",)), "a", "b")
    with pytest.raises(ValueError, match="no result of both a and c for any"):
        combined(planted(), "a", "c")


def test_the_zoo_has_weights_for_every_choice(tmp_path):
    found = jobs(_analyses(), ["resnet_s", "vit_s"], "cifar10", tmp_path, seeds=1)
    assert len(found) == 2 * 3 * 2**4
    assert len({job.path for job in found}) == len(found)


@pytest.mark.parametrize("view", ["eigenvalue", "rise"])
def test_the_waterfall_ends_where_the_last_protocol_is(view):
    from matplotlib.figure import Figure

    found = combined(planted(), "a", "b").assign_attrs(analyzer="reconcile")
    ax = plot(found, ax=Figure().subplots(), view=view)
    flat = found[f"{view}_ratio"].values.ravel()
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert len(bars) == 2 + found.sizes[f"{view}_factor"]
    ends = [left + width for left, width in bars]
    assert ends[0] == pytest.approx(flat[0])
    assert ends[-2] == pytest.approx(flat[-1])
    assert ends[-1] == pytest.approx(flat[-1])
    cells = next(c for c in ax.collections if c.get_gid() == "cells")
    assert np.asarray(cells.get_offsets()[:, 0]) == pytest.approx(flat)
