"""Frequency responses of the operations themselves: kernels, attention heads, Jacobians."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._controls import controlled
from landscape.analyzers._heads import heads
from landscape.analyzers._kernels import kernels
from landscape.analyzers._responses import LEVELS, responses
from landscape.analyzers._summary import entry
from landscape.result import Result
from landscape.subject.objective import Batches
from landscape.subject.steps import Step

PARTS = ("kernel", "head", "branch", "block")


@analyzer
def transfer(
    model: nn.Module,
    batches: Batches,
    *,
    parts: Sequence[str] = PARTS,
    bands: int = 4,
    probes: int = 1,
    rows: str = "kept",
    controls: Sequence[str] = (),
    twins: Sequence[nn.Module] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Measure what every operation does to waves of each frequency, at several levels.

    * **kernel**: each convolution's own response, ``|H(w)|^2`` averaged over pairs of channels,
      exact from the weights; averages (pooling) likewise.
    * **head**: each attention matrix on the grid of its places, without class tokens:
      ``|A e_w|^2`` about its mean, for the waves ``e_w``.
    * **branch**, **skip**, **block**: ``g(w) = E |J e_w|^2`` with ``J`` the Jacobian of what an
      operation adds, of the sum with its skip, and of the block that it ends, at each image. By
      products with random waves of a band in forward mode; the other direction is not used.

    The answers differ, and none follows from another: a head that averages is beside a skip that
    does not. Every gain is a ratio of powers per position. The high-low ratio (HLR) compares high
    with low frequencies, `landscape.numerics.response`; 0 dB is an all-pass. An operation has a
    transfer function only as far as it is shift-invariant: below a share of 0.5 read a gain as that
    of a band.

    Parameters
    ----------
    model
        Any network with feature maps or tokens; in eval mode.
    batches
        Re-iterable ``(inputs, targets)``; the targets are not used.
    parts
        Which of ``"kernel"``, ``"head"``, ``"branch"`` (with skip) and ``"block"`` to measure.
    bands
        Rings of frequency up to the Nyquist frequency, a multiple of 4, and one for the corners.
    probes
        Random waves of each band for each image. The standard errors tell if they are enough.
    rows
        ``"kept"``: attention matrices as they are, their rows short of 1 by what goes to class
        tokens. ``"renormalised"``: rows sum to 1 over places.
    controls, twins
        Also measure at other images, ``"untrained"`` twins, or with ``"uniform"`` or ``"mean"``
        attention, as in `landscape.fourier`; ``control_...`` over ``control``. Kernels and other
        linear operations are the same at all images; uniform heads pass nothing but DC.
    seed
        Of the waves and of the controls.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        ``gain`` over (``op``, ``level``, ``band``), ``hlr``, ``dc``, ``shift_invariant`` and
        ``alias_share`` over (``op``, ``level``), each with standard error over images ``_se``;
        NaN where an operation has no skip, does not end a block, keeps or changes its grid.
        ``head_gain``, ``head_hlr``, ``head_dc``, ``head_leak``, ``head_shift_invariant``,
        ``head_prefix`` over (``attention``, ``head``), likewise. ``kernel_gain``, ``kernel_hlr``,
        ``kernel_dc``, ``kernel_alias_share`` over ``kernel``: exact, so without error.
        ``frequency``, ``attention_frequency``, ``kernel_frequency``: the mean frequency of each
        ring on its grid, NaN for a ring without any. ``depth`` of operations, kernels and attention
        is one scale.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?": the claim. Wang et al. (2022),
    "Anti-Oversmoothing in Deep Vision Transformers": attention as a filter, there in 1-D with the
    class token. Dovonon et al. (2024): why a head alone does not decide.

    Examples
    --------
    A box blur, from its weights and from its Jacobian at two images:

    >>> import landscape, torch
    >>> blur = torch.nn.Conv2d(1, 1, 2, padding="same", padding_mode="circular", bias=False)
    >>> _ = torch.nn.init.constant_(blur.weight, 0.25)
    >>> images = [(torch.randn(2, 1, 8, 8), torch.zeros(2))]
    >>> result = landscape.transfer(torch.nn.Sequential(blur), images, probes=50)
    >>> result.kernel_hlr.values.round(2), result.hlr.sel(level="branch").values.round()
    (array([-7.33]), array([-7.]))
    """
    unknown = [p for p in parts if p not in PARTS]
    if unknown or not parts:
        raise ValueError(f"unknown part '{(unknown or [''])[0]}'. Choices: {', '.join(PARTS)}")
    if rows not in ("kept", "renormalised"):
        raise ValueError(f"unknown rows '{rows}'. Choices: kept, renormalised")
    if probes < 1:
        raise ValueError(f"probes must be at least 1, got {probes}")
    if bands < 4 or bands % 4:
        raise ValueError(f"bands must be a multiple of 4, got {bands}")

    def measure(network: nn.Module, data: Batches, progress: Progress) -> xr.Dataset:
        return _measure(network, data, parts, bands, probes, rows, seed, progress)

    return controlled(measure, model, batches, controls, twins, seed, progress)


def _measure(
    model: nn.Module,
    batches: Batches,
    parts: Sequence[str],
    bands: int,
    probes: int,
    rows: str,
    seed: int,
    progress: Progress,
) -> xr.Dataset:
    """All parts of one network on one set of images."""
    data: dict[str, Any] = {}
    inputs = next(iter(batches))[0]
    inputs = inputs.to(next(model.parameters(), inputs).device)
    if "branch" in parts or "block" in parts:
        told, found = responses(model, batches, bands, probes, "block" in parts, seed, progress)
    else:
        from landscape.subject.steps import steps

        told, found = {}, steps(model, inputs)
    ops = [s for s in found if s.level == "op"]
    data |= told | (_coordinates(ops, found) if told else {})
    if "kernel" in parts:
        of_kernels, filters = kernels(model, inputs, bands)
        data |= of_kernels
        if filters:
            depth = [_depth(ops, f.node) for f in filters]
            data["kernel_depth"] = entry("kernel", depth, "normalised depth")
    if "head" in parts:
        of_heads, sites = heads(model, batches, bands, rows == "renormalised", progress)
        data |= of_heads
        if sites:
            depth = [_of_step(ops, s.node) for s in sites]
            data["attention_depth"] = entry("attention", depth, "normalised depth")
            kinds = [ops[_number(ops, s.node)].kind for s in sites]
            data["attention_kind"] = entry("attention", kinds, "kind of operation")
    edges = np.array([*(i / bands for i in range(bands + 1)), 2**0.5])
    data["band"] = entry("band", np.arange(bands + 1), "band of frequency")
    data["band_low"] = entry("band", edges[:-1], "lower end of the band", "π rad/sample")
    data["band_high"] = entry("band", edges[1:], "upper end of the band", "π rad/sample")
    names = [n for n in data if n in _COORDINATES or n.endswith(_ENDINGS)]
    return xr.Dataset(data).set_coords(names)


_COORDINATES = ("op", "level", "band", "head", "attention", "kernel", "frequency", "depth", "kind")
_ENDINGS = (
    *("_frequency", "_depth", "_kind", "_grid", "_module", "_stride", "_windows", "_low", "_high"),
    *("module", "grid"),
)


def _coordinates(ops: Sequence[Step], found: Sequence[Step]) -> dict[str, Any]:
    blocks = {s.block: s.kind for s in found if s.level == "block"}
    grids = ["x".join(map(str, s.end.grid)) for s in ops]
    return {
        "op": entry("op", [s.name for s in ops], "operation"),
        "level": entry("level", list(LEVELS), "level"),
        "depth": entry("op", [_at(ops, i) for i in range(len(ops))], "normalised depth"),
        "kind": entry("op", [s.kind for s in ops], "kind of operation"),
        "block_kind": entry("op", [blocks.get(i, "") for i in range(len(ops))], "kind of block"),
        "module": entry("op", [s.module for s in ops], "module"),
        "grid": entry("op", grids, "grid of the map"),
        "source_grid": entry(
            "op", ["x".join(map(str, s.source.grid)) for s in ops], "grid of the map before it"
        ),
    }


def _number(ops: Sequence[Step], node: int) -> int:
    """The operation that a node of the trace belongs to."""
    return next((i for i, s in enumerate(ops) if s.end.node >= node), len(ops) - 1)


def _at(ops: Sequence[Step], number: int) -> float:
    return number / max(len(ops) - 1, 1)


def _of_step(ops: Sequence[Step], node: int) -> float:
    return _at(ops, _number(ops, node))


def _depth(ops: Sequence[Step], node: int) -> float:
    """Depth of a node on its way from one operation to the next."""
    ends = [s.end.node for s in ops]
    return float(np.interp(node, ends, [_at(ops, i) for i in range(len(ops))]))
