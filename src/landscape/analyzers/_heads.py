"""Frequency responses of attention matrices, head by head."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.analyzers._summary import entry, high_low, in_decibel, mean, padded, pair, ratio
from landscape.numerics.response import attention_response, by_ring, radius, rings
from landscape.subject.attention import attending
from landscape.subject.objective import Batches
from landscape.subject.site import Site
from landscape.subject.sites import sites

_PIECE = 1 << 25  # entries of attention matrices that are laid out at a time


@torch.no_grad()
def heads(
    model: nn.Module,
    batches: Batches,
    bands: int,
    renormalise: bool,
    progress: Progress,
) -> tuple[dict[str, Any], list[Site]]:
    """Variables over ``attention``, ``head``, and the sites, whose depth the caller knows."""
    items = list(batches)
    where = next(model.parameters(), items[0][0]).device
    found = [s for s in sites(model, items[0][0].to(where)) if _spatial(s)]
    if not found:
        return {}, []
    heard: dict[str, list[dict[str, Tensor]]] = {site.name: [] for site in found}

    def read(site: Site, weights: Tensor) -> None:
        heard[site.name].append(_of_images(site, weights, bands, renormalise))

    for inputs, _ in progress(items, len(items), "Heads"):
        inputs = inputs.to(where)
        with attending(model, inputs, read, found):
            model(inputs)
    rows = [_summary(site, heard[site.name], bands) for site in found]
    most = max(site.heads for site in found)
    data: dict[str, Any] = {}
    for name, text, units in _VARIABLES:
        dims: tuple[str, ...] = ("attention", "head")
        shape: tuple[int, ...] = (most,)
        if name == "head_gain":
            dims, shape = (*dims, "band"), (most, bands + 1)
        both = padded([r[name][0] for r in rows], shape), padded([r[name][1] for r in rows], shape)
        data |= pair(name, dims, both, text, units)
    true = [by_ring(radius(*_grid(s)), bands).numpy() for s in found]
    data |= {
        "attention": entry("attention", [s.name for s in found], "attention"),
        "attention_grid": entry(
            "attention", ["x".join(map(str, _grid(s))) for s in found], "grid of the keys"
        ),
        "attention_windows": entry("attention", [s.windows for s in found], "windows of an image"),
        "head": entry("head", np.arange(most), "head"),
        "attention_frequency": entry(("attention", "band"), true, "frequency", "π rad/sample"),
    }
    return data, found


_VARIABLES = (
    ("head_gain", "AC to AC power gain of the head", "dB"),
    ("head_hlr", "high-low ratio of the head", "dB"),
    ("head_dc", "power gain of the head at zero frequency", "1"),
    ("head_leak", "power that the head makes of zero frequency elsewhere", "1"),
    ("head_shift_invariant", "shift-invariant share of the head", "1"),
    ("head_prefix", "attention of places to tokens that are no place", "1"),
)


def _spatial(site: Site) -> bool:
    """Whether both queries and keys are places of maps of more than one."""
    grids = site.queries.grid, site.keys.grid
    return all(g is not None and g[0] * g[1] > 1 for g in grids)


def _grid(site: Site) -> tuple[int, int]:
    assert site.keys.grid is not None
    return site.keys.grid


def _of_images(site: Site, weights: Tensor, bands: int, renormalise: bool) -> dict[str, Tensor]:
    """Statistics of each image, ``(b, heads, ...)``."""
    assert site.queries.grid is not None
    n, m = (g[0] * g[1] for g in (site.queries.grid, _grid(site)))
    by_image = weights.unflatten(0, (-1, site.windows))
    step = max(_PIECE // (site.heads * n * m), 1)
    parts = []
    for some in by_image.split(step):
        whole = _whole(site, some, n, m)
        rows = whole.sum(-1)
        if renormalise:
            whole = whole / rows[..., None].clamp_min(1e-30)
        part = attention_response(whole, site.queries.grid, _grid(site), bands)
        parts.append(part | {"prefix": 1 - rows.mean(-1).double()})
    return {k: torch.cat([p[k] for p in parts]).cpu() for k in parts[0]}


def _whole(site: Site, weights: Tensor, n: int, m: int) -> Tensor:
    """Weights ``(b, windows, heads, ...)`` of windows as matrices ``(b, heads, n, m)``.

    Between the places of the whole map, row by row; what is no place is left out.
    """
    rows, columns = site.queries.index.to(weights.device), site.keys.index.to(weights.device)
    # one place more on each side takes what is no place
    out = weights.new_zeros(len(weights), site.heads, n + 1, m + 1)
    rows, columns = rows.where(rows >= 0, n), columns.where(columns >= 0, m)
    out[:, :, rows[:, :, None], columns[:, None, :]] = weights.transpose(1, 2)
    return out[..., :n, :m]


def _summary(site: Site, parts: list[dict[str, Tensor]], bands: int) -> dict[str, Any]:
    values = {k: torch.cat([p[k] for p in parts]).numpy() for k in parts[0]}
    sizes = rings(*_grid(site), bands).sum((1, 2)).numpy()
    high, low = high_low(values["gain"], sizes)
    return {
        "head_gain": in_decibel(mean(values["gain"])),
        "head_hlr": in_decibel(ratio(high, low)),
        "head_dc": mean(values["dc"]),
        "head_leak": mean(values["leak"]),
        "head_shift_invariant": ratio(values["diagonal"], values["total"]),
        "head_prefix": mean(values["prefix"]),
    }
