"""An interactive page of loss surfaces: one file, which needs no network."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from landscape.plots import _height, style
from landscape.plots._conditions import common, slices
from landscape.plots._line import interpolated
from landscape.result import Result

_READING = (
    "The surface is the loss of the network when its weights move from where they are (the white "
    "point, α = β = 0) along two directions. {unit} All points see the same images, so there is no "
    "sampling noise from point to point; ± is one standard error of the level, over images.",
    "The part of the loss that is weight decay depends on the weights alone, not on what was "
    "learned: it is a bowl for every network. NLL and decay are stored apart; compare networks by "
    "the NLL. One plane is one plane: other random directions give another.",
    "Drag sideways to turn all surfaces together, with a mouse also up and down (a finger scrolls "
    "the page), or use the arrow keys. Point at a surface, or tap it, to read the numbers at that "
    "place for every network.",
)
_UNITS = {
    "filter norms": "At 1 each output filter has moved by its own norm.",
    "layer norms": "At 1 each weight tensor has moved by its own norm.",
    "column norms": "At 1 each input column has moved by its own norm.",
}


def page(
    results: Sequence[Result], *, view: str = "3d", quantity: str = "nll", relief: bool = False
) -> str:
    """Write surfaces of several networks, on one scale, as HTML with all that it needs inside.

    The same results give the same text.

    Parameters
    ----------
    results
        Of ``landscape.surface``, planes.
    view
        With which to begin: ``"3d"`` or ``"contour"``.
    quantity, relief
        Likewise, as in ``landscape.figure``.

    Raises
    ------
    ValueError
        If plotly is not installed, or a result is a line or has no such quantity.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        text = "a page needs plotly, which is not installed here: pip install plotly"
        raise ValueError(text) from None
    for result in results:
        if "beta" not in result.dims:
            raise ValueError(
                f"a page shows planes, and the result of {style.name(result)} is a line; "
                "draw it as .png, .pdf or .svg"
            )
    told = slices(results)
    names = style.names(results)
    data = _data(results, names) | {"view": view, "quantity": quantity, "relief": relief}
    known = {q["key"]: q["log"] for q in data["quantities"]}
    if quantity not in known:
        raise ValueError(f"these results have no '{quantity}' in common; choose {', '.join(known)}")
    data["log"] = known[quantity] and not relief  # whose lowest point would be at minus infinity
    unit = _UNITS.get(results[0]["alpha"].attrs.get("units", ""), "")
    rows = "".join(
        f"<dt>{html.escape(key)}</dt><dd>{html.escape(text)}</dd>" for key, text in told.items()
    )
    reading = "".join(f"<p>{html.escape(text.format(unit=unit))}</p>" for text in _READING)
    here = Path(__file__)
    text = here.with_suffix(".html").read_text("utf-8")
    for mark, filling in (
        ("title", html.escape(f"Loss surface{'s' if len(names) > 1 else ''}: {', '.join(names)}")),
        ("lede", html.escape(" · ".join(filter(None, [told.get("data"), common(results)])))),
        ("conditions", rows),
        ("reading", reading),
        ("data", _json(data)),
        ("plotly", get_plotlyjs()),
        ("script", here.with_suffix(".js").read_text("utf-8")),
    ):
        text = text.replace("{{" + mark + "}}", filling)
    return text


def _json(data: Any) -> str:
    """Safe inside a script element; what is not finite becomes the string nan, inf or -inf."""
    return json.dumps(data, sort_keys=True, allow_nan=False, separators=(",", ":")).replace(
        "<", "\\u003c"
    )


def _data(results: Sequence[Result], names: Sequence[str]) -> dict[str, Any]:
    quantities = _quantities(results)
    first = results[0]
    ends = [[f(r[n].values) for r in results for f in (np.min, np.max)] for n in ("alpha", "beta")]
    return {
        "quantities": quantities,
        "networks": [
            _network(result, name, [q["key"] for q in quantities])
            for result, name in zip(results, names, strict=True)
        ],
        "alpha": style.label(first["alpha"]),
        "beta": style.label(first["beta"]),
        "spans": [[float(min(each)), float(max(each))] for each in ends],
        "colours": [to_hex(c) for c in mpl.colormaps["viridis"](np.linspace(0, 1, 17))],
    }


def _quantities(results: Sequence[Result]) -> list[dict[str, Any]]:
    """What can be shown of every result, with its names."""
    amounts, forms = zip(*map(_height.decay, results), strict=True)
    term = {"l2": "λ/2 Σw²", "norms": "λ Σ‖W‖"}[forms[0]] if len(set(forms)) == 1 else "decay"
    names = {"nll": "NLL"}
    if all(amounts):
        names |= {"decay": term, "loss": f"NLL + {term}"}
    elif all("l2" in result for result in results):
        names["l2"] = "½ Σw²"
    if all("accuracy" in result for result in results):
        names["accuracy"] = "accuracy"
    found = []
    for key, name in names.items():
        heights = [_height.height(result, key) for result in results]
        values = np.concatenate([height.values.ravel() for height in heights])
        label = " ".join(style.label(heights[0]).split())
        if key in ("decay", "loss"):
            label = f"{name} [{heights[0].attrs['units']}]"
        found.append(
            {
                "key": key,
                "name": name,
                "label": label,
                "axis": _height.short(heights[0], key),
                "units": heights[0].attrs["units"],
                "se": {"nll": "nll_se", "loss": "nll_se", "accuracy": "accuracy_se"}.get(key),
                "log": key != "accuracy" and _height.steep(values[np.isfinite(values)]),
            }
        )
    return found


def _network(result: Result, name: str, keys: Sequence[str]) -> dict[str, Any]:
    count = result.sizes.get("plane", 1)
    return {
        "name": name,
        "colour": style.colour(result),
        "alpha": result["alpha"].values.tolist(),
        "beta": result["beta"].values.tolist(),
        "planes": [_plane(_height.one(result, k), keys) for k in range(count)],
    }


def _plane(one: Result, keys: Sequence[str]) -> dict[str, Any]:
    """Rows along beta, and what else there is to say."""
    grids = {key: _height.height(one, key) for key in keys}
    on_grid = {"alpha", "beta"}
    grids |= {
        k: one[k] for k in ("nll_se", "accuracy_se") if k in one and set(one[k].dims) == on_grid
    }
    notes = []
    if np.isfinite(one.get("relief_share", np.nan)) and "decay" in keys:
        share = float(one["relief_share"])
        notes.append(f"Decay makes {share:.0%} of the relief (largest minus smallest)")
        if "rise_share" in one and np.isfinite(near := float(one["rise_share"][0])):
            radius = float(one["radius"][0])
            notes[-1] += f", {near:.0%} of the rise at radius {radius:g}"
        notes[-1] += "."
    if "node" in one.dims:
        notes.append(f"NLL interpolated {interpolated(one)}.")
    plain = {key: _listed(grid.transpose("beta", "alpha").values) for key, grid in grids.items()}
    return plain | {"note": " ".join(notes)}


def _listed(values: Any) -> list[list[float | str]]:
    return [[float(v) if np.isfinite(v) else str(float(v)) for v in row] for row in values]
