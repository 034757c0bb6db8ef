"""What is drawn over a line or plane through the weights, and between which levels."""

import json

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from landscape.plots import style
from landscape.result import Result

QUANTITIES = ("nll", "l2", "decay", "loss", "accuracy")

# round numbers for levels in even ratios, by the decades they have to span
_MANTISSAS: dict[float, tuple[float, ...]] = {
    2.2: (1, 1.5, 2, 3, 5, 7),
    4: (1, 2, 5),
    7: (1, 3),
    np.inf: (1,),
}


def height(result: Result, quantity: str = "nll", relief: bool = False) -> xr.DataArray:
    """Return what to draw, labelled; ``relief`` takes off the value at the centre."""
    if quantity not in QUANTITIES:
        raise ValueError(f"unknown quantity '{quantity}'. Choices: {', '.join(QUANTITIES)}")
    if quantity == "accuracy" and "node_accuracy" in result:
        raise ValueError(
            "an interpolated surface has its accuracy only at nodes (node_accuracy); "
            "compute it with mode 'exact' to draw accuracy"
        )
    form = decay(result)[1]
    style.require(result, *{"loss": ("nll", form), "decay": (form,)}.get(quantity, (quantity,)))
    sizes = [result.sizes[name] for name in ("alpha", "beta") if name in result.dims]
    if min(sizes) < 2:
        size = "x".join(map(str, sizes))
        raise ValueError(f"a surface of {size} points has no contours; compute at least 2x2")
    values = _made(result, quantity)
    if not relief:
        return values
    centre = values
    for name in ("alpha", "beta"):
        if name in values.dims:
            centre = centre.isel({name: np.isclose(values[name].values, 0)})
    if not all(centre.sizes[name] == 1 for name in centre.dims if name != "plane") or not (
        np.isfinite(centre.values).all()
    ):
        raise ValueError("relief needs a finite value at the centre (0, 0); draw relief=False")
    name = f"{values.attrs['long_name']}, minus that of the centre"
    at = [name for name in centre.dims if name != "plane"]
    return (values - centre.squeeze(at, drop=True)).assign_attrs(
        long_name=name, units=values.attrs["units"]
    )


def decay(result: Result) -> tuple[float | None, str]:
    """Coefficient of the weight decay that was asked for, if it is known, and its variable."""
    settings = json.loads(result.attrs.get("settings", "{}"))
    told = json.loads(result.attrs.get("decay", "{}"))
    return told.get("coefficient", settings.get("weight_decay")), told.get("form", "l2")


def _made(result: Result, quantity: str) -> xr.DataArray:
    """Stored, or NLL plus weight decay, in the form in which it was asked for."""
    if quantity in result:
        return result[quantity]
    amount, form = decay(result)
    if amount is None:
        raise ValueError(
            "the settings of this surface have no weight_decay, so its loss is not known; "
            "draw quantity 'nll' or 'l2'"
        )
    nll, term = result["nll"], result[form]
    name = f"{amount:g} × {term.attrs['long_name']}"
    if quantity == "decay":
        return (amount * term).assign_attrs(long_name=name, units=nll.attrs["units"])
    name = f"{nll.attrs['long_name']} + {name}"
    return (nll + amount * term).assign_attrs(long_name=name, units=nll.attrs["units"])


_SHORT = {"nll": "NLL", "l2": "L2", "decay": "decay", "loss": "NLL + decay", "accuracy": "accuracy"}


def short(values: xr.DataArray, quantity: str, relief: bool = False) -> str:
    """Label for an axis that has little room."""
    text = _SHORT[quantity] + (" − centre" if relief else "")
    units = values.attrs.get("units", "1")
    return text if units == "1" else f"{text} [{units}]"


def one(result: Result, plane: int) -> Result:
    """Choose one of several planes."""
    if "plane" not in result.dims:
        return result
    if not 0 <= plane < result.sizes["plane"]:
        raise ValueError(f"plane is 0 to {result.sizes['plane'] - 1}, not {plane}")
    return result.isel(plane=plane)


def steep(values: NDArray[np.float64]) -> bool:
    """Whether finite values exceed a decade, so that even ratios show them better."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=0.0))
    return high > 0 and high > 10 * _small(values) and low > -high / 10


def levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round levels around finite values: in even steps, or in even ratios if they are steep.

    Examples
    --------
    >>> levels(np.array([0.5, 3.7])).tolist()
    [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    >>> levels(np.array([2.0, 2.0, 30.0])).tolist()
    [2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0]
    """
    if len(values) == 0:
        return np.array([])
    low, high = float(values.min()), float(values.max())
    if steep(values):
        return _decades(low, _small(values), high)
    if low == high:
        return low + np.array([-0.5, 0.5]) * max(abs(low), 1.0) * 0.1
    return np.asarray(MaxNLocator(10, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))


def _small(values: NDArray[np.float64]) -> float:
    return float(np.quantile(values[values > 0], 0.01))


def _decades(low: float, small: float, high: float) -> NDArray[np.float64]:
    decades = np.log10(high / small)
    mantissas = next(m for most, m in _MANTISSAS.items() if decades <= most)
    first, last = int(np.floor(np.log10(small))), int(np.ceil(np.log10(high)))
    step = max(1, round(decades / 12))
    steps = [float(f"{m}e{e}") for e in range(first, last + step, step) for m in mantissas]
    start = max(s for s in steps if s <= small)
    end = min(s for s in steps if s >= high)
    found = [s for s in steps if start <= s <= end]
    if low < found[0]:
        found = [0.0, *found]
    if low < 0:
        found = [float(np.floor(low / found[1]) * found[1]), *found]
    return np.array(found)
