"""Which choice of the measurement decides which of two networks is flatter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.claims import Analysis, Reading
from landscape.claims._interval import interval
from landscape.claims._second_order import LAMBDA, rise
from landscape.result import Result, stamp
from landscape.study.gather import Job, Shown, gather, jobs

#: choices of both measures; the first as in Park & Kim (2022), the second as in Chen et al. (2022)
COMMON: Mapping[str, tuple[str, str]] = {
    "loss": ("nll+l2", "nll"),
    "data": ("augmented", "clean"),
    "recipe": ("strong", "weak"),
    "batchnorm": ("running", "batch"),
    "checkpoint": ("warmup", "final"),
}
#: and of one of them
OWN: Mapping[str, tuple[str, tuple[str, str]]] = {
    "eigenvalue": ("size", ("16", "64")),
    "rise": ("radius", ("0.4", "0.1")),
}
_HESSIAN = Analysis(
    "hessian",
    "hessian",
    images=128,
    batch_size=16,
    split="train",
    settings={"k": 1, "whole": False},
)
_LINES = Analysis(
    "lines",
    "surface",
    images=256,
    split="train",
    settings={"dims": 1, "points": 9, "span": 0.4, "planes": 5},
)


def reconcile(
    first: str,
    second: str,
    data: str,
    folder: Path,
    *,
    shown: Shown | None,
    quick: bool = False,
) -> Result:
    r"""Compare the sharpness of two networks under every combination of choices.

    Two measures: the Hessian eigenvalue of largest magnitude of mini-batches, and the mean rise of
    the loss on random filter-normalised lines. In each cell the mean of ``ln(first / second)``
    over mini-batches or lines that both networks share; above 0, the second is flatter. The L2 term
    is added in closed form: ``lambda`` to each eigenvalue, ``lambda / 2 (|w + r d|^2 - |w|^2)`` to
    a rise.

    How far each choice accounts for the change from the first to the last cell, the protocols of
    Park & Kim and of Chen et al., is its Shapley value: the change that it makes, averaged over all
    orders in which the choices can be made. The values add up to the whole change.

    Parameters
    ----------
    first, second
        Networks of the zoo that have both recipes and checkpoints on the data; choices without
        weights are left out.
    data
        The data spec.
    folder
        Where results are kept, as in `landscape.study.gather.jobs`.
    shown
        Shows how far it got; None computes nothing.
    quick
        Few images: to see that it runs.

    Returns
    -------
    xarray.Dataset
        ``eigenvalue_ratio`` and ``rise_ratio``, each with ``_low`` and ``_high`` (95 %), over the
        choices; ``eigenvalue_share`` and ``rise_share`` over ``factor``, the Shapley values.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?". Chen, Hsieh & Gong (2022), "When Vision
    Transformers Outperform ResNets without Pre-training or Strong Data Augmentations".
    """
    wanted = needed(first, second, data, folder, quick=quick)
    settings = {"first": first, "second": second, "data": data, "quick": quick}
    made = combined(list(gather(wanted, shown)), first, second)
    return stamp(made, "reconcile", settings).assign_attrs(model=f"{first} / {second}", data=data)


def needed(first: str, second: str, data: str, folder: Path, *, quick: bool = False) -> list[Job]:
    """Every result that `reconcile` reads."""
    return jobs(_analyses(), [first, second], data, folder, seeds=1, quick=quick)


def combined(readings: Sequence[Reading], first: str, second: str) -> xr.Dataset:
    """All cells, and the part of each choice, from what was measured.

    Raises
    ------
    ValueError
        If some combination of the choices that there are is missing.
    """
    known = {(r.analysis, r.model): r.result for r in readings}
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for measure, (name, levels) in OWN.items():
        factors = dict(COMMON) | {name: levels}
        cells = {}
        for combination in product(*factors.values()):
            choice = dict(zip(factors, combination, strict=True))
            found = [known.get((_name(measure, choice), network)) for network in (first, second)]
            if found[0] is not None and found[1] is not None:
                a, b = (_logarithm(measure, choice, result) for result in found if result)
                cells[combination] = interval(a - b)
        kept = {
            factor: [x for x in both if any(x == cell[i] for cell in cells)]
            for i, (factor, both) in enumerate(factors.items())
        }
        grid = list(product(*kept.values()))
        lost = [cell for cell in grid if cell not in cells]
        if lost or not cells:
            told = ", ".join(lost[0]) if lost else "any"
            raise ValueError(f"there is no result of both {first} and {second} for {told}")
        about = f"ln of the {measure}, {first} / {second}"
        shape = [len(both) for both in kept.values()]
        values = np.array([cells[cell].mean for cell in grid]).reshape(shape)
        ends = [np.array([[cells[c].low, cells[c].high] for c in grid])[:, i] for i in (0, 1)]
        data[f"{measure}_ratio"] = (tuple(kept), values, _label(about))
        for part, end in zip(("low", "high"), ends, strict=True):
            more = _label(f"{about}, {part} end of the 95 % interval")
            data[f"{measure}_ratio_{part}"] = (tuple(kept), end.reshape(shape), more)
        free, shares = shapley(values, list(kept))
        dim, text = f"{measure}_factor", f"part of the change of the ln ratio, {measure}"
        data[f"{measure}_share"] = (dim, shares, _label(text))
        coords |= {k: (k, v, _label(k, "1")) for k, v in kept.items()}
        coords[dim] = (dim, free, _label("choice", "1"))
    return xr.Dataset(data, coords)


def _label(long_name: str, units: str = "ln") -> dict[str, str]:
    return {"long_name": long_name, "units": units}


def shapley(
    values: NDArray[np.float64], names: Sequence[str]
) -> tuple[list[str], NDArray[np.float64]]:
    """Shapley values of the change from the first corner of a table to the last.

    Parameters
    ----------
    values
        Along each axis one level or two.
    names
        Of the axes.

    Returns
    -------
    list of str, ndarray
        The axes with two levels, and their values, which add up to ``values[-1, ...] -
        values[0, ...]``.

    Examples
    --------
    >>> shapley(np.array([[0.0, 1.0], [2.0, 4.0]]), ["a", "b"])
    (['a', 'b'], array([2.5, 1.5]))
    """
    axes = [axis for axis, size in enumerate(values.shape) if size == 2]
    found = np.zeros(len(axes))
    for order in permutations(range(len(axes))):
        at = [0] * values.ndim
        for i in order:
            before = values[tuple(at)]
            at[axes[i]] = 1
            found[i] += values[tuple(at)] - before
    return [names[axis] for axis in axes], found / factorial(len(axes))


def _analyses() -> Iterator[Analysis]:
    """Every measurement that the cells are read from."""
    shared = {name: COMMON[name] for name in ("data", "recipe", "batchnorm", "checkpoint")}
    for combination in product(*shared.values()):
        choice = dict(zip(shared, combination, strict=True))
        strong, stage = choice["recipe"] == "strong", choice["checkpoint"]
        more: dict[str, Any] = {
            "weights": stage if strong else f"weak-{stage}",
            "augment": {"augmented": "deit", "clean": "none"}[choice["data"]],
        }
        running = choice["batchnorm"] == "running"
        for size in OWN["eigenvalue"][1]:
            name = _name("eigenvalue", choice | {"size": size})
            settings = {**_HESSIAN.settings, "batchnorm": "eval" if running else "batch"}
            top = replace(_HESSIAN, name=name, batch_size=int(size), settings=settings)
            yield replace(top, **more)
        settings = {**_LINES.settings, "batchnorm": "frozen" if running else "batch"}
        yield replace(_LINES, name=_name("rise", choice), settings=settings, **more)


def _name(measure: str, choice: Mapping[str, str]) -> str:
    """Of the analysis that a cell is read from."""
    kind = f"top-{choice['size']}" if measure == "eigenvalue" else "lines"
    parts = [choice[name] for name in ("data", "batchnorm", "recipe", "checkpoint")]
    return "-".join(["reconcile", kind, *parts])


def _logarithm(measure: str, choice: Mapping[str, str], result: Result) -> NDArray[np.float64]:
    """Logarithm of the sharpness, for each mini-batch or line."""
    decay = LAMBDA if choice["loss"] == "nll+l2" else 0.0
    if measure == "eigenvalue":
        values: NDArray[np.float64] = np.abs(result["eigenvalue"].values[:, 0] + decay)
        return np.log(values)
    return rise(float(choice["radius"]), decay)(result)
