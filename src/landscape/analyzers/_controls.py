"""The same measurement under controls: what is left of an effect when its supposed cause is gone.

=============  ==================================================================================
control        what is measured
=============  ==================================================================================
``shuffled``   the network on its images with their pixels in random places,
``phase``      with random phases and the same amplitude spectrum,
``noise``      on white noise with the mean and variance of the data,
``constant``   on images of one colour each (`landscape.subject.controls`)
``untrained``  twins of the network with initial weights, on its images
``uniform``    the network, each of its queries attending alike to all that it may see
``mean``       the network, its attention the mean over all images: no longer of the image at hand
=============  ==================================================================================
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from landscape.analyzers import Progress, fingerprint
from landscape.analyzers._attention import frozen
from landscape.subject.attention import attending, uniform
from landscape.subject.batches import check_finite
from landscape.subject.controls import INPUTS
from landscape.subject.guest import untouched
from landscape.subject.objective import Batches
from landscape.subject.sites import Site, sites

Measure = Callable[..., xr.Dataset]
Subject = AbstractContextManager[tuple[nn.Module, Batches]]
ATTENTION = ("uniform", "mean")
OF_MODELS = ("untrained", *ATTENTION)
CONTROLS = (*INPUTS, *OF_MODELS)

_NOTHING = "NaN where a control leaves nothing to measure, as no power beside zero frequency"


def controlled(
    measure: Measure,
    model: nn.Module,
    batches: Batches,
    controls: Sequence[str],
    twins: Sequence[nn.Module],
    seed: int,
    progress: Progress,
    *,
    choices: Sequence[str] = CONTROLS,
) -> xr.Dataset:
    """Measure a network, and again under each control.

    Parameters
    ----------
    measure
        ``(model, batches, progress=progress)`` to a result; random draws begin anew each time.
    model, batches
        The network in eval mode, and its data.
    controls
        Names out of ``choices``.
    twins
        Networks of the same architecture, not trained, for ``"untrained"``. Left as they came.
    seed
        Of the controls of the input, and of what ``measure`` draws.
    progress
        Shows how far it got, and under which control.
    choices
        The controls under which the measurement makes sense.

    Returns
    -------
    xarray.Dataset
        The result of ``measure`` and, if there are controls, for each of its floating variables
        ``control_NAME`` with ``control`` in front of its dimensions. For ``"untrained"`` that is
        the mean over ``k`` twins, and the standard error ``sqrt(mean(se^2) + spread^2 / k)``: the
        error over images, which the twins share, and that over initial weights (NaN for one twin).
        ``control_networks`` is ``k``, and 1 for all other controls.

    Raises
    ------
    ValueError
        For an unknown control, ``"untrained"`` without twins, twins that differ in more than their
        weights or not at all, or a control of attention that the network does not have.
    """
    names = _names(controls, twins, choices)
    _check_twins(model, twins)
    where = _sites(model, batches, names)
    result = measure(model, batches, progress=progress)
    if not names:
        return result
    found, counts = [], []
    for name in names:
        parts: list[xr.Dataset] = []
        for subject in _subjects(name, model, batches, twins, seed, where):
            who = f"twin {len(parts) + 1}" if name == "untrained" else name
            torch.manual_seed(seed)
            with subject as (network, data):
                parts.append(measure(network, data, progress=_named(progress, who)))
            _check_same(result, parts[-1], who)
        found.append(_mean(parts, name == "untrained"))
        counts.append(len(parts))
    return xr.Dataset(
        {**result.data_vars, **_beside(result, found), "control_networks": _counts(counts)},
        {**result.coords, "control": ("control", names, {"long_name": "control", "units": "1"})},
        result.attrs,
    )


def _names(
    controls: Sequence[str], twins: Sequence[nn.Module], choices: Sequence[str]
) -> list[str]:
    if isinstance(controls, str):
        raise ValueError(f"controls is a sequence of names, as ({controls!r},)")
    names = list(dict.fromkeys(controls))
    for name in names:
        if name not in choices:
            what = "says nothing here" if name in CONTROLS else "is unknown"
            raise ValueError(f"the control {name!r} {what}; choose {', '.join(choices)}")
    if "untrained" in names and not twins:
        raise ValueError(
            "the control 'untrained' needs networks of the same architecture with initial weights: "
            "twins=[build(), build(), build()]"
        )
    if twins and "untrained" not in names:
        raise ValueError("there are twins, but 'untrained' is not among the controls")
    return names


def _check_twins(model: nn.Module, twins: Sequence[nn.Module]) -> None:
    """Refuse twins whose weights are not their own: a network may be built with weights."""
    seen = {fingerprint(model): "the network"}
    for number, twin in enumerate(twins, 1):
        if not isinstance(twin, nn.Module):
            raise TypeError(f"twin {number} must be an nn.Module, got {type(twin).__name__}")
        other = seen.setdefault(fingerprint(twin), f"twin {number}")
        if other != f"twin {number}":
            raise ValueError(
                f"twin {number} has the weights of {other}: twins are drawn anew, by other seeds"
            )


def _sites(model: nn.Module, batches: Batches, names: Sequence[str]) -> list[Site]:
    """Find the attention that is to be controlled."""
    wanted = [name for name in ATTENTION if name in names]
    if not wanted:
        return []
    found = sites(model, next(iter(batches))[0])
    if not found:
        raise ValueError(f"the control {wanted[0]!r} changes attention, and the network has none")
    return found


def _subjects(
    name: str,
    model: nn.Module,
    batches: Batches,
    twins: Sequence[nn.Module],
    seed: int,
    where: list[Site],
) -> Iterator[Subject]:
    """What to measure under a control: a network and batches, or several."""
    if name in INPUTS:
        yield nullcontext((model, INPUTS[name](batches, seed)))
    elif name in ATTENTION:
        yield _attending(name, model, batches, where)
    else:
        yield from (_guest(twin, batches) for twin in twins)


@contextmanager
def _guest(twin: nn.Module, batches: Batches) -> Iterator[tuple[nn.Module, Batches]]:
    with untouched(twin):
        twin.eval()
        check_finite(twin)
        yield twin, batches


@contextmanager
def _attending(
    name: str, model: nn.Module, batches: Batches, where: list[Site]
) -> Iterator[tuple[nn.Module, Batches]]:
    inputs = next(iter(batches))[0]
    read = uniform if name == "uniform" else frozen(model, batches, where)
    with attending(model, inputs, read, where):
        yield model, batches


def _named(progress: Progress, name: str) -> Progress:
    return lambda items, total, label: progress(items, total, f"{label}, {name}")


def _check_same(result: xr.Dataset, part: xr.Dataset, who: str) -> None:
    """Refuse what was measured in other places, or it would be set beside the wrong number."""
    for name, index in result.indexes.items():
        if name not in part.indexes or not index.equals(part.indexes[name]):
            raise ValueError(
                f"{who} has another '{name}' than the network: only the weights may differ"
            )


def _mean(parts: list[xr.Dataset], drawn: bool) -> dict[str, NDArray[np.float64]]:
    """Mean over the networks of one control; with their spread in the errors if they are drawn."""
    found = {}
    for name, variable in parts[0].data_vars.items():
        if not np.issubdtype(variable.dtype, np.floating):
            continue
        values = np.stack([part[name].values for part in parts])
        of = str(name).removesuffix("_se")
        if drawn and of != name and of in parts[0]:
            centres = np.stack([part[of].values for part in parts])
            spread = centres.var(0, ddof=1) if len(parts) > 1 else np.full(values.shape[1:], np.nan)
            found[str(name)] = np.sqrt((values**2).mean(0) + spread / len(parts))
        else:
            found[str(name)] = values.mean(0)
    return found


def _beside(result: xr.Dataset, found: list[dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Name the variables under control like those of the network, in their units."""
    beside = {}
    for name in found[0]:
        variable = result[name]
        values = np.stack([values[name] for values in found])
        attrs = {"long_name": f"{variable.attrs['long_name']}, control", "units": variable.units}
        if np.isnan(values[:, np.isfinite(variable.values)]).any():
            attrs["comment"] = _NOTHING
        beside[f"control_{name}"] = (("control", *variable.dims), values, attrs)
    return beside


def _counts(counts: list[int]) -> Any:
    return "control", counts, {"long_name": "networks that were averaged", "units": "1"}
