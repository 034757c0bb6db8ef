"""The relief of a slice in numbers: how much of it is loss and how much weight decay."""

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from landscape.result import Result

_NAMES = {"nll": "negative log-likelihood", "decay": "weight decay"}


def relief(result: Result, examples: int) -> Result:
    """Add to a slice its relief, the rise of its parts at matched radii, and the error of accuracy.

    Relief is the largest value minus the smallest. That of NLL and that of the decay are told
    apart; the decay's share is of the sum of the two. A rise is the mean over the grid points on a
    ring minus the centre. A ring has a point on each half-axis, so that linear parts cancel: of a
    quadratic with the Hessian H on the plane the rise is exactly ``radius^2 tr(H) / 4`` (on a line
    ``radius^2 H / 2``). A slice without a centre, or with one side of it only, has no rings.

    Errors of a rise are upper bounds: those of ring and centre are added. (All points see the same
    examples, so the error of the difference is less.)

    Parameters
    ----------
    result
        Of ``landscape.surface``, with the attribute ``decay``.
    examples
        Of how many the NLL is the mean.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 1.0])
    >>> line = xr.Dataset({"nll": ("alpha", 3 * x**2), "l2": ("alpha", x**2 / 2)}, {"alpha": x})
    >>> told = relief(line.assign_attrs(decay='{"form": "l2", "coefficient": 2.0}'), 10)
    >>> told.relief_nll.item(), told.relief_decay.item(), told.relief_share.item()
    (3.0, 1.0, 0.25)
    >>> told.rise.values, told.rise_decay.values
    (array([3.]), array([1.]))
    """
    decay = json.loads(result.attrs["decay"])
    axes = [name for name in ("alpha", "beta") if name in result.dims]
    parts = {"nll": result["nll"], "decay": decay["coefficient"] * result[decay["form"]]}
    found = {}
    if "accuracy" in result:
        variance = result["accuracy"] * (1 - result["accuracy"])
        error = (variance / (examples - 1 or np.nan)) ** 0.5
        found["accuracy_se"] = _label(error, "standard error of the accuracy")
    for name, values in parts.items():
        with np.errstate(invalid="ignore"):  # inf - inf
            height = values.max(axes, skipna=False) - values.min(axes, skipna=False)
        found[f"relief_{name}"] = _label(height, f"relief of the {_NAMES[name]}", "nats")
    share = _share(found["relief_decay"], found["relief_nll"])
    found["relief_share"] = _label(share, "share of the decay in the relief")
    return result.assign(found | _rises(result.assign(found), parts["decay"], axes))


def _rises(result: Result, decay: xr.DataArray, axes: list[str]) -> dict[str, xr.DataArray]:
    """What rings have over the centre; nothing if there is no ring."""
    lines = [result[name].values for name in axes]
    close = 1e-6 * min((float(np.diff(line).min()) for line in lines if len(line) > 1), default=1)
    radii = _radii(lines, close)
    if not radii:
        return {}
    distance = sum((result[name] ** 2 for name in axes), xr.DataArray(0.0)) ** 0.5
    units = result[axes[0]].attrs.get("units", "1")
    radius = xr.DataArray(radii, dims="radius", attrs={"long_name": "radius", "units": units})
    centre, ring = distance < close, abs(distance - radius.assign_coords(radius=radius)) < close

    def mean(values: xr.DataArray, where: xr.DataArray) -> xr.DataArray:
        return values.where(where, 0).sum(axes, skipna=False) / where.sum(axes)

    def label(values: xr.DataArray, about: str, units: str) -> xr.DataArray:
        return _label(values.transpose(..., "radius"), about, units)

    found = {"ring": _label(ring.sum(axes), "points on the ring")}
    for name, source, sign, about, units in (
        ("rise", result["nll"], 1, "NLL on the ring, minus the centre", "nats"),
        ("drop", result.get("accuracy"), -1, "accuracy at the centre, minus the ring", "1"),
        ("rise_decay", decay, 1, "weight decay on the ring, minus the centre", "nats"),
    ):
        if source is None:
            continue
        with np.errstate(invalid="ignore"):
            change = sign * (mean(source, ring) - mean(source, centre))
        found[name] = label(change, about, units)
        if (error := result.get(f"{source.name}_se")) is not None:
            bound = mean(error, ring) + mean(error, centre)
            found[f"{name}_se"] = label(bound, f"upper bound of the error of {about}", units)
    share = _share(found["rise_decay"], found["rise"])
    found["rise_share"] = label(share, "share of the decay in the rise", "1")
    return found


def _radii(lines: list[NDArray[np.float64]], close: float) -> list[float]:
    """Distances from a centre in the grid at which both sides of every axis have a point."""
    if not all((abs(line) < close).any() for line in lines):
        return []
    first, *others = [side[side > close] for line in lines for side in (line, -line)]
    matched = [r for r in first if all((abs(side - r) < close).any() for side in others)]
    return sorted(float(r) for r in matched)


def _share(decay: xr.DataArray, nll: xr.DataArray) -> xr.DataArray:
    """NaN where the sum is zero or not finite."""
    whole = decay + nll
    return (decay / whole.where(whole != 0)).where(np.isfinite(whole))


def _label(values: xr.DataArray, about: str, units: str = "1") -> xr.DataArray:
    return values.assign_attrs(long_name=about, units=units)
