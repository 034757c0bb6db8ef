"""Responses of the operations of a network to waves: Jacobian-vector products for every image."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analyzers import Progress
from landscape.analyzers._summary import Array, entry, high_low, in_decibel, mean, pair, ratio
from landscape.numerics.response import band_noise, beyond, by_ring, plane_waves, radius, rings
from landscape.subject.jacobian import passes, push
from landscape.subject.objective import Batches
from landscape.subject.steps import Step, steps

LEVELS = ("branch", "skip", "block")
Key = tuple[int, str]  # an operation and a level
Answers = dict[Key, dict[str, Tensor]]
#: the waves ``(b, c, h, w)`` for the steps that begin at a node
Draw = Callable[[int, tuple[int, ...]], Tensor]


def responses(
    model: nn.Module,
    batches: Batches,
    bands: int,
    probes: int,
    blocks: bool,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Any], list[Step]]:
    """Variables over ``op`` and ``level``, and the operations."""
    items = list(batches)
    where = next(model.parameters(), items[0][0]).device
    found = steps(model, items[0][0].to(where))
    used = found if blocks else [s for s in found if s.level == "op"]
    together: list[list[Answers]] = [[] for _ in items]
    plan = [(number, probe) for number in range(len(items)) for probe in range(probes)]
    for number, probe in progress(plan, len(plan), "Jacobians"):
        inputs = items[number][0].to(where)
        told = [_told(model, inputs, part, bands, (seed, number, probe)) for part in passes(used)]
        together[number].append({k: v for part in told for k, v in part.items()})
    answers = {
        key: {
            name: np.concatenate(
                [np.mean([probe[key][name].numpy() for probe in of], 0) for of in together]
            )
            for name in together[0][0][key]
        }
        for key in together[0][0]
    }
    return _variables(answers, used, bands), found


def _told(
    model: nn.Module, inputs: Tensor, part: Sequence[Step], bands: int, seeds: tuple[int, ...]
) -> Answers:
    """Answers of each image to one probe, for the steps of one pass.

    ``gain`` at zero frequency and in each ring; ``diagonal`` and ``total``, the power at the
    frequency of a wave and at all but zero; where the grid changes instead ``below`` and ``above``,
    the power that comes from below and from above the Nyquist frequency of the grid after it.
    """
    answers: Answers = {}

    def add(name: str, found: dict[Key, Tensor]) -> None:
        for key, values in found.items():
            answers.setdefault(key, {})[name] = values

    gains = [
        _ask(model, inputs, part, _noise(lambda _, h, w, i=i: _mask(h, w, bands, i), seeds), _power)
        for i in range(bands + 2)
    ]
    add("gain", {key: torch.stack([g[key] for g in gains], 1) for key in gains[0]})
    same = [s for s in part if s.source.grid == s.end.grid]
    for name, found in _on_diagonal(model, inputs, same, seeds).items():
        add(name, found)
    other = {s.source.node: s.end.grid for s in part if s.source.grid != s.end.grid}
    shrunk = [s for s in part if s not in same]
    for name, above in (("below", False), ("above", True)) if shrunk else ():

        def half(node: int, h: int, w: int, above: bool = above) -> Tensor:
            grid = other[node]
            return _side(h, w, (h / grid[0], w / grid[1]), above)

        add(name, _ask(model, inputs, shrunk, _noise(half, seeds, True), _power))
    return answers


def _ask(
    model: nn.Module,
    inputs: Tensor,
    part: Sequence[Step],
    draw: Draw,
    statistic: Callable[[Tensor, Tensor], Tensor],
) -> dict[Key, Tensor]:
    """One forward pass: a statistic of what goes in and what comes out, at every level."""
    found: dict[Key, Tensor] = {}

    def fold(step: Step, tangent: Tensor, skip: Tensor | None, end: Tensor) -> None:
        if step.level == "block":
            found[step.block, "block"] = statistic(tangent, end)
            return
        branch = end if skip is None else end - skip
        found[step.block, "branch"] = statistic(tangent, branch)
        if skip is not None:
            found[step.block, "skip"] = statistic(tangent, end)

    push(model, inputs, part, draw, fold)
    return found


def _power(tangent: Tensor, out: Tensor) -> Tensor:
    """Power per position of each image, summed over channels."""
    return out.double().square().sum(1).mean((1, 2)).cpu()


def _noise(mask: Callable[..., Tensor], seeds: tuple[int, ...], weighted: bool = False) -> Draw:
    """Noise inside a mask: the same in every band but for its frequencies, so that bands compare.

    Of power 1, or of that of its share of white noise.
    """
    drawn: dict[tuple[Any, ...], Tensor] = {}  # steps of one shape share it

    def draw(node: int, shape: tuple[int, ...]) -> Tensor:
        inside = mask(node, *shape[2:])
        key = (*shape, inside.numpy().tobytes())
        if key not in drawn:
            noise = band_noise(shape, inside, _generator(*seeds, 0))
            drawn[key] = noise * float(inside.double().mean()) ** 0.5 if weighted else noise
        return drawn[key]

    return draw


def _mask(h: int, w: int, bands: int, number: int) -> Tensor:
    """Zero frequency, or a ring; in the place of an empty one, which has no answer, the lowest."""
    if number == 0:
        return radius(h, w) == 0
    found = rings(h, w, bands)
    return found[number - 1] if found[number - 1].any() else found[0]


def _side(h: int, w: int, stride: tuple[float, float], above: bool) -> Tensor:
    """All frequencies but zero above, or below, the Nyquist frequency after a stride."""
    found = beyond(h, w, stride)
    found = found if above else ~found
    found[0, 0] = False
    return found


def _on_diagonal(
    model: nn.Module, inputs: Tensor, part: Sequence[Step], seeds: tuple[int, ...]
) -> dict[str, dict[Key, Tensor]]:
    """What comes out at the frequency that went in, of complex waves in two real parts."""
    if not part:
        return {}
    at: dict[tuple[int, ...], tuple[Tensor, ...]] = {}

    def waves(shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        if shape not in at:
            at[shape] = plane_waves(shape, radius(*shape[2:]) > 0, _generator(*seeds, 1))
        return at[shape]

    def spectrum(tangent: Tensor, out: Tensor) -> Tensor:
        """All channels at the frequency of the wave, and last the power at all but zero."""
        rows, columns = (t.to(out.device) for t in waves(tuple(tangent.shape))[2:])
        found = torch.fft.fft2(out.double(), norm="forward")
        here = found[torch.arange(len(out), device=out.device), :, rows, columns]
        power = found.abs().square().sum(1)
        total = power.sum((1, 2)) - power[:, 0, 0]
        return torch.cat([here, total[:, None]], 1).cpu()

    real, imaginary = (
        _ask(model, inputs, part, lambda _, shape, i=i: waves(shape)[i], spectrum)  # type: ignore[misc]
        for i in (0, 1)
    )
    found: dict[str, dict[Key, Tensor]] = {"diagonal": {}, "total": {}}
    for key, one in real.items():
        two = imaginary[key]
        found["diagonal"][key] = (one[:, :-1] + 1j * two[:, :-1]).abs().square().sum(1)
        found["total"][key] = (one[:, -1] + two[:, -1]).real
    return found


def _generator(*seeds: int) -> torch.Generator:
    digest = sha256(repr(seeds).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") % 2**63)


def _variables(
    answers: dict[Key, dict[str, Array]], used: Sequence[Step], bands: int
) -> dict[str, Any]:
    """Decibels and shares over ``op``, ``level`` and ``band``, NaN where a level does not exist."""
    ops = [s for s in used if s.level == "op"]
    shape = (len(ops), len(LEVELS))
    gain = np.full((2, *shape, bands + 1), np.nan)
    rest = {name: np.full((2, *shape), np.nan) for name in ("hlr", "dc", "diagonal", "alias")}
    grids = {(s.block, "block"): s.source.grid for s in used if s.level == "block"}
    for (op, level), told in answers.items():
        place = op, LEVELS.index(level)
        grid = grids.get((op, level), ops[op].source.grid)
        sizes = rings(*grid, bands).sum((1, 2)).numpy()
        ring = np.where(sizes > 0, told["gain"][:, 1:], np.nan)
        high, low = high_low(ring, sizes)
        gain[(slice(None), *place)] = in_decibel(mean(ring))
        rest["hlr"][(slice(None), *place)] = in_decibel(ratio(high, low))
        rest["dc"][(slice(None), *place)] = in_decibel(mean(told["gain"][:, 0]))
        if "total" in told:
            rest["diagonal"][(slice(None), *place)] = ratio(told["diagonal"], told["total"])
        if "above" in told:
            share = ratio(told["above"], told["above"] + told["below"])
            rest["alias"][(slice(None), *place)] = share
    dims = ("op", "level")
    true = [by_ring(radius(*s.source.grid), bands).numpy() for s in ops]
    return {
        **pair("gain", (*dims, "band"), (gain[0], gain[1]), "power gain", "dB"),
        **pair("hlr", dims, tuple(rest["hlr"]), "high-low ratio", "dB"),  # type: ignore[arg-type]
        **pair("dc", dims, tuple(rest["dc"]), "power gain at zero frequency", "dB"),  # type: ignore[arg-type]
        **pair("shift_invariant", dims, tuple(rest["diagonal"]), "shift-invariant share"),  # type: ignore[arg-type]
        **pair(
            "alias_share",
            dims,
            tuple(rest["alias"]),  # type: ignore[arg-type]
            "share of the power that is aliased, white input",
        ),
        "frequency": entry(("op", "band"), true, "frequency", "π rad/sample"),
    }
