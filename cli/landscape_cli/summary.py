"""A result as text: what made it, and its values as aligned tables."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # a list of networks is a table too, and need not wait for it
    import xarray as xr

_WIDTH = 100
_COLUMNS = 11  # of values; of more, every second, third... and the last
_NUMBER = re.compile(r"([-+]?(\d+(\.\d*)?(e[-+]?\d+)?|inf|nan)\??)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def summary(result: xr.Dataset) -> str:
    """Describe a result of any analyzer.

    Examples
    --------
    >>> import xarray as xr
    >>> x = xr.Dataset({"loss": ("step", [1.0, 0.5], {"long_name": "loss", "units": "nats"})})
    >>> print(summary(x.assign_attrs(analyzer="demo", settings='{"seed": 0}', model="net")))
    demo of net
    settings: seed 0
    <BLANKLINE>
    step  loss [nats]
       0            1
       1          0.5
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, variable in result.data_vars.items():
        groups.setdefault(variable.dims, []).append(str(name))
    parts = _heading(result)
    for dims, names in groups.items():
        if len(dims) == 1:
            parts += ["", _list(result[names], str(dims[0]))]
        elif len(dims) == 2:
            parts += _grids(result[names], str(dims[0]), str(dims[1]))
    return "\n".join(parts)


def table(rows: Iterable[Sequence[Any]]) -> str:
    """Align the columns of rows of which the first is the head; numbers to the right.

    Examples
    --------
    >>> print(table([["name", "n"], ["vit_s", 10], ["a", None]]))
    name    n
    vit_s  10
    a
    """
    columns = list(zip(*([_cell(value) for value in row] for row in rows), strict=True))
    for index, (head, *cells) in enumerate(columns):
        width = max(map(len, (head, *cells)))
        numbers = any(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)
        columns[index] = tuple(
            cell.rjust(width) if numbers else cell.ljust(width) for cell in (head, *cells)
        )
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _heading(result: xr.Dataset) -> list[str]:
    about = result.attrs
    of = f" of {about['model']}" if about.get("model") else ""
    family = f" ({about['family']})" if about.get("family") else ""
    on = f" on {about['data']}" if about.get("data") else ""
    parts = [f"{about['analyzer']}{of}{family}{on}"]
    for key in ("settings", "facts"):
        known = {k: v for k, v in json.loads(about.get(key, "{}")).items() if v is not None}
        text = f"{key}: {', '.join(f'{name} {_plain(value)}' for name, value in known.items())}"
        parts += textwrap.wrap(text, _WIDTH, subsequent_indent="  ") if known else []
    single = {n: v.item() for n, v in result.data_vars.items() if not v.dims}
    single |= {k: float(v) for k, v in about.items() if isinstance(v, float)}
    text = ", ".join(f"{name} {_cell(value)}" for name, value in single.items())
    return [*parts, text] if single else parts


def _list(part: xr.Dataset, dim: str) -> str:
    """One row for each place along ``dim``."""
    labels, columns = _labels(part, dim)
    for name, variable in part.data_vars.items():
        units = variable.attrs.get("units", "1")
        columns[f"{name} [{units}]" if units != "1" else str(name)] = variable.values.tolist()
    return table([[dim, *columns], *zip(labels, *columns.values(), strict=True)])


def _grids(part: xr.Dataset, down: str, across: str) -> list[str]:
    """One table for each variable; what a variable of truth values denies is marked.

    Standard errors, and places where a coordinate says that there is none, are left out.
    """
    labels, columns = _labels(part, down)
    every = part.sizes[across]
    step = max(1, -(-(every - 1) // (_COLUMNS - 1)))
    shown = sorted({*range(0, every, step), every - 1})
    head = [f"{down} \\ {across}", *columns, *part[across].values[shown].tolist()]
    doubt = np.zeros((len(labels), every), bool)
    there = ~doubt
    for variable in part.data_vars.values():
        doubt |= ~variable.values if variable.dtype == bool else False
    for coordinate in part.coords.values():
        if coordinate.dims == (down, across):
            there &= ~np.isnan(coordinate.values)
    parts = []
    for name, variable in part.data_vars.items():
        title = f"{name}: {variable.attrs.get('long_name', name)}"
        if variable.dtype == bool:
            parts += ["", f"{title}; {int(variable.sum())} of {variable.size}"]
        elif not (str(name).endswith("_se") and str(name)[:-3] in part):
            units = variable.attrs.get("units", "1")
            title += f" [{units}]" if units != "1" else ""
            title += f"; {len(shown)} of {every} along {across}" if len(shown) < every else ""
            title += "; ? for what has not converged" if doubt.any() else ""
            cells = [
                [f"{_cell(v)}{'?' * d}" if t else None for v, d, t in zip(*row, strict=True)]
                for row in zip(
                    *(x[:, shown].tolist() for x in (variable.values, doubt, there)), strict=True
                )
            ]
            lines = zip(labels, *columns.values(), cells, strict=True)
            parts += ["", title, table([head, *([*line[:-1], *line[-1]] for line in lines)])]
    return parts


def _labels(part: xr.Dataset, dim: str) -> tuple[list[Any], dict[str, list[Any]]]:
    """Labels along ``dim``, and its further coordinates unless the labels contain them."""
    labels, columns = part[dim].values.tolist(), {}
    for name, coordinate in part.coords.items():
        values = coordinate.values.tolist()
        if coordinate.dims == (dim,) and name != dim:
            pairs = zip(values, labels, strict=True)
            if not all(isinstance(value, str) and value in str(of) for value, of in pairs):
                columns[str(name)] = values
    return labels, columns


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{k} {_plain(v)}' for k, v in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(_plain(v) for v in value)}]"
    text = _cell(value)
    return text[:12] if _DIGEST.fullmatch(text) else text
