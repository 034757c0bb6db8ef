"""Loss of accuracy by the frequency of noise (Park & Kim 2022, figure 2b), and Fourier heat map."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from landscape.plots import style
from landscape.result import Result

VIEWS = ("noise", "heat")
LAYOUT = {
    "noise": style.Layout(panels=False, height=0.85),
    "heat": style.Layout(share=("xy", "xy"), height=1.0, equal=True),
}
QUANTITIES = ("accuracy_drop", "accuracy", "nll_increase", "nll")


def plot(
    result: Result,
    *,
    ax: Axes | None = None,
    view: str = "noise",
    quantity: str = "accuracy_drop",
    strength: float | None = None,
    legend: bool = True,
    colorbar: bool | Sequence[Axes] = True,
    **kwargs: Any,
) -> Axes:
    """Loss of accuracy against the frequency of the noise, with 95 % intervals; or the heat map.

    Parameters
    ----------
    result
        Of ``landscape.robustness``.
    ax
        Where to draw; pyplot's current axes by default. Several networks may share one.
    view
        ``"noise"``, or ``"heat"``: the error under each Fourier basis image, zero frequency in the
        middle.
    quantity
        View ``"noise"``: ``"accuracy_drop"``, ``"accuracy"``, ``"nll_increase"`` or ``"nll"``.
    strength
        View ``"noise"``: one of the result's; the middle one by default.
    legend
        View ``"noise"``: draw a legend, with the accuracy on clean images.
    colorbar
        View ``"heat"``: draw one beside the axes, or beside all of the given axes.
    kwargs
        For ``ax.errorbar`` or ``ax.pcolormesh``.
    """
    if view not in VIEWS:
        raise ValueError(f"unknown view '{view}'. Choices: {', '.join(VIEWS)}")
    if view == "heat":
        return _heat(result, style.axes(ax), colorbar, **kwargs)
    if quantity not in QUANTITIES:
        raise ValueError(f"unknown quantity '{quantity}'. Choices: {', '.join(QUANTITIES)}")
    style.require(result, quantity, f"{quantity}_se", "frequency", "clean_accuracy")
    known = result["strength"].values
    strength = _middle(result) if strength is None else strength
    at = np.flatnonzero(np.isclose(known, strength))
    if not len(at):
        told = ", ".join(f"{s:g}" for s in known)
        raise ValueError(f"no noise of strength {strength:g} in this result. Choices: {told}")
    ax = style.axes(ax)
    part = result.isel(strength=int(at[0]))
    values, errors = part[quantity].values, 1.96 * part[f"{quantity}_se"].values
    lost = ~np.isfinite(values)
    if "label" not in kwargs:  # else the legend says it
        style.title(ax, result, lost, "bands")
    name = kwargs.pop("label", style.name(result))
    look: dict[str, Any] = {"color": style.colour(result), "marker": "o", "capsize": 1.5}
    look |= {"elinewidth": 0.7, "markeredgecolor": "white", "markeredgewidth": 0.4} | kwargs
    label = f"{name} ({float(result['clean_accuracy']):.1%} on clean images)"
    label += f", {lost.sum()} bands not finite" if lost.any() else ""
    ax.errorbar(part["frequency"].values, values, yerr=errors, label=label, **look)
    if quantity in ("accuracy_drop", "nll_increase"):
        ax.axhline(0, color=style.INK, linewidth=0.6, linestyle=":", zorder=0.5, gid="zero")
    noise = result["frequency"].assign_attrs(long_name="frequency of the noise")
    ax.set_xlabel(f"{style.label(noise, width=60)}\n{_amount(result, strength)}")
    ax.set_ylabel(f"{style.label(result[quantity])}\n(95 % intervals)")
    ax.set_xlim(0, max(1.05, 1.05 * ax.dataLim.x1))
    ax.xaxis.set_major_locator(MultipleLocator(0.25))
    ax.xaxis.set_major_formatter("{x:g}")
    if not ax.child_axes:
        top = ax.secondary_xaxis("top", functions=(_cycles, _radians))
        top.set_xlabel("cycles/pixel")
        ax.axvline(1, color=style.NEUTRAL, linewidth=0.5, zorder=0, gid="nyquist")
    if legend:
        ax.legend(fontsize="small")
    return ax


def shared(results: Sequence[Result], **kwargs: Any) -> dict[str, Any]:
    """The same noise for all networks, and the same colours."""
    if kwargs.get("view", VIEWS[0]) == "heat":
        for result in results:
            _require_heat(result)
        return {"vmax": max(float(r["heat_error"].max()) for r in results)}
    norms = {json.loads(r.attrs.get("settings", "{}")).get("norm", "energy") for r in results}
    if len(norms) > 1:
        raise ValueError(f"one figure shows one norm of the noise, not {', '.join(sorted(norms))}")
    return {"strength": _middle(results[0])}


def _cycles(frequency: Any) -> Any:
    return frequency / 2


def _radians(cycles: Any) -> Any:
    return 2 * cycles


def _amount(result: Result, strength: float) -> str:
    about, units = (result["strength"].attrs[key] for key in ("long_name", "units"))
    of = "" if units == "1" else f" of the {units}" if units == "pixel range" else f" [{units}]"
    return f"{about}: {strength:g}{of}"


def _middle(result: Result) -> float:
    style.require(result, "strength")
    known = result["strength"].values
    return float(known[len(known) // 2])


def _require_heat(result: Result) -> None:
    if "heat_error" not in result:
        raise ValueError("this robustness result has no heat map; compute it with heat=15, say")


def _heat(result: Result, ax: Axes, colorbar: bool | Sequence[Axes], **kwargs: Any) -> Axes:
    _require_heat(result)
    error = result["heat_error"]
    look: dict[str, Any] = {"vmin": 0.0, "vmax": float(error.max()), "cmap": "viridis"} | kwargs
    x, y = result["horizontal"], result["vertical"]
    image = ax.pcolormesh(x.values, y.values, error.values, shading="nearest", **look)
    image.set_rasterized(True)
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MultipleLocator(0.5))
        axis.set_major_formatter("{x:g}")
    clean = float(result["clean_accuracy"])
    ax.set_title(f"{style.name(result)}\nclean error {1 - clean:.1%}")
    ax.set_xlabel("{long_name}\n[{units}]".format(**x.attrs))
    ax.set_ylabel("{long_name}\n[{units}]".format(**y.attrs))
    if colorbar is not False:
        bar = ax.figure.colorbar(image, ax=ax if colorbar is True else list(colorbar))
        height = json.loads(result.attrs.get("settings", "{}")).get("heat_strength")
        told = "" if height is None else f" at RMS {height:g}"
        bar.set_label(style.label(error, f"under one wave{told}", 40))
    return ax
