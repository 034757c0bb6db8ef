"""Engines of the benchmark of loss surfaces, and what it does with them in a process of their own.

An engine takes a case, the points along both axes and a tally, and returns the NLL as it labels it;
``placed`` says what of that belongs to which point of the grid, and is NaN elsewhere. Each is
called as its own documentation calls it.
"""

import copy
import io
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

Grid = NDArray[np.float64]
Direction = dict[str, Tensor]


@dataclass
class Tally:
    """Counts what goes through a network, and what is augmented."""

    calls: int = 0
    passed: int = 0
    augmented: int = 0
    seconds: float = 0.0  # for the meter of costs
    checking: float = 0.0

    def saw(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Hook of the network."""
        self.calls += 1
        self.passed += len(args[0])


@dataclass
class Case:
    """The same network, images and directions for all."""

    model: nn.Module
    batches: list[tuple[Tensor, Tensor]]
    raw: list[tuple[Tensor, Tensor]]  # the same images before augmentation, and labels
    policy: dict[str, Any]
    directions: tuple[Direction, Direction]
    axis: Grid = field(default_factory=lambda: np.zeros(1))
    truth: Grid = field(default_factory=lambda: np.zeros((1, 1)))

    @classmethod
    def load(cls, path: Path) -> "Case":
        """Read it from a file."""
        return cls(**torch.load(path, weights_only=False))

    def few(self) -> "Case":
        """Two images, on which engines import and warm up."""
        cut = [[(x[:2], y[:2]) for x, y in pairs[:1]] for pairs in (self.batches, self.raw)]
        return replace(self, model=copy.deepcopy(self.model), batches=cut[0], raw=cut[1])

    def put(self, model: nn.Module, *step: float) -> nn.Module:
        """Write the weights of a point into a network that has those of the centre."""
        with torch.no_grad():
            for size, direction in zip(step, self.directions, strict=True):
                for name, move in direction.items():
                    parameter = model.get_parameter(name)
                    parameter.add_(move.to(parameter.dtype), alpha=size)
        return model

    def loss(self, model: nn.Module) -> float:
        """Mean of the NLL, and ``.item()`` after each batch."""
        sums = [cross_entropy(model(x), y).item() * len(x) for x, y in self.batches]
        return sum(sums) / sum(len(x) for x, _ in self.batches)


class Landscape:
    """`landscape.surface`, every point."""

    package, install, note = "vision-landscape", "-e .", ""

    def __call__(self, case: Case, axis: Grid, tally: Tally) -> Grid:
        return surface(case, axis, "exact", None).nll.values

    def placed(self, values: Grid) -> Grid:
        return values


class LossLandscapes(Landscape):
    """`planar_interpolation` between three corners: `random_plane` takes no directions."""

    package, install, note = "loss-landscapes", "loss-landscapes==3.0.6", "odd rows moved one point"

    def __call__(self, case: Case, axis: Grid, tally: Tally) -> Grid:
        import loss_landscapes
        from loss_landscapes.metrics import Loss, Metric

        class Mean(Metric):
            def __call__(self, model: Any) -> float:
                return sum(loss(model) * n for loss, n in losses) / sum(n for _, n in losses)

        losses = [(Loss(cross_entropy, x, y), len(x)) for x, y in case.batches]
        n, low, step = len(axis), axis[0], axis[1] - axis[0]
        corners = [(low, low - step), (low + n * step, low - step), (low, low + (n - 1) * step)]
        one, two = (case.put(copy.deepcopy(case.model), *corner) for corner in corners[1:])
        start = case.put(case.model, *corners[0])
        return loss_landscapes.planar_interpolation(start, one, two, Mean(), steps=n)

    def placed(self, values: Grid) -> Grid:
        """Odd rows start one step before even ones."""
        values = values.copy()
        values[1::2] = np.roll(values[1::2], -1, 1)
        values[1::2, -1] = np.nan
        return values


class Landscaper(Landscape):
    """`compute_loss_landscape`, which scales each tensor of a given direction anew."""

    package, note = "landscaper", "scales directions its own way: compared at the centre"
    install = (
        "--no-deps landscaper==1.3.1 topopy==1.0.4 nglpy==1.1.7 && "  # they want NumPy 1
        "pip install gudhi treelib coloraide drawsvg scikit-learn"
    )

    def __call__(self, case: Case, axis: Grid, tally: Tally) -> Grid:
        from landscaper.compute import compute_loss_landscape

        zero = {name: torch.zeros_like(p) for name, p in case.model.named_parameters()}
        moves = [list((zero | direction).values()) for direction in case.directions]
        grid: dict[str, Any] = {"steps": len(axis), "distance": float(axis[-1]), "dim": 2}
        grid |= {"device": "cpu", "scalar_fn": lambda model, data: case.loss(model)}
        with redirect_stdout(io.StringIO()):
            return compute_loss_landscape(case.model, case.batches, moves, **grid)[0]

    def placed(self, values: Grid) -> Grid:
        middle = len(values) // 2
        out = np.full_like(values, np.nan)
        out[middle, middle] = values[middle, middle]
        return out


class LossLandscape3d(Landscape):
    """Its `LossLandscapeCalculator`; its random directions move BatchNorm's statistics."""

    package, install = "loss-landscape-3d", "loss-landscape-3d==0.1.3"

    def __call__(self, case: Case, axis: Grid, tally: Tally) -> Grid:
        from loss_landscape_3d import LossLandscapeCalculator

        state = {name: value.clone() for name, value in case.model.state_dict().items()}
        found = LossLandscapeCalculator(case.model, case.batches, nn.CrossEntropyLoss())
        return found.calculate(axis.tolist(), axis.tolist(), *case.directions, state)


class Redrawing(Landscape):
    """The loop of the code that Park & Kim (2022) released, without its figures at each point.

    At the centre the augmentation is that of the frozen images; else it is drawn anew.
    """

    note = "new images at each point"

    def __call__(self, case: Case, axis: Grid, tally: Tally) -> Grid:
        from landscape.datasets.augment import augment

        def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
            images, targets = map(torch.stack, zip(*items, strict=True))
            tally.augmented += len(images)
            return augment(images, targets, "deit", **case.policy, seed=next(seeds))

        size, total = len(case.raw[0][0]), len(axis) ** 2
        data = TensorDataset(*(torch.cat(part) for part in zip(*case.raw, strict=True)))
        loader = DataLoader(data, size, collate_fn=collate)
        origin = copy.deepcopy(case.model.state_dict())
        norms, values = [], []
        for number, step in enumerate((a, b) for a in axis for b in axis):
            pairs = zip(step, case.directions, strict=True)
            moves = [{name: size * d for name, d in move.items()} for size, move in pairs]
            state = copy.deepcopy(origin)
            for name in moves[0]:
                state[name] = torch.stack([m[name] for m in moves]).sum(0) + origin[name]
            case.model.load_state_dict(state)
            norms.append(sum(p.detach().norm() for p in case.model.parameters()).item())
            seeds = _seeds((number - total // 2) % total)
            values.append(self._nll(case.model, loader) / len(data))
        return np.array(values).reshape(len(axis), -1)

    @staticmethod
    @torch.no_grad()
    def _nll(model: nn.Module, loader: DataLoader) -> float:
        total = 0.0
        for inputs, targets in loader:
            each = -(targets * torch.softmax(model.eval()(inputs), 1).log()).sum(1)
            total += each.mean().item() * len(inputs)
        return total


ENGINES: dict[str, Any] = {
    "landscape": Landscape(),
    "Park & Kim's loop": Redrawing(),
    "loss-landscapes": LossLandscapes(),
    "landscaper": Landscaper(),
    "loss-landscape-3d": LossLandscape3d(),
}


def _seeds(number: int) -> Iterator[int]:
    """Of the batches of a draw; those of the first are the seeds of `landscape.prepare`."""
    yield from range(number * 1_000_003, (number + 1) * 1_000_003)


def surface(case: Case, axis: Grid, mode: str, tol: float | None) -> Any:
    """What landscape finds."""
    import landscape

    settings: dict[str, Any] = {"points": len(axis), "span": float(axis[-1]), "mode": mode}
    return landscape.surface(
        case.model, case.batches, **settings, tol=tol, directions=case.directions
    )


def freeze(
    spec: str, limit: int, size: int, axes: tuple[Grid, Grid], checked: int, path: Path
) -> dict:
    """Write a case, and its NLL by brute force on the first axes and at some points of the other.

    Brute force is the network in float64 with the weights of each point.
    """
    import landscape
    from landscape import datasets
    from landscape.datasets.augment import augment

    name, data, weights = [*spec.split("@"), "", ""][:3]
    data = data or "deadleaves"
    rights: dict[str, Any] = {"split": "train", "limit": limit}
    found = landscape.prepare(
        name, data, weights=weights or None, augment="deit", batch_size=size, **rights
    )
    card, batches = found.card, found.batches
    about: dict[str, Any] = {"crop": card.crop, "interpolation": card.interpolation}
    images = datasets.load(data, size=card.size, seed=0, **rights, **about)
    raw = list(zip(images.images.split(size), images.targets.split(size), strict=True))
    policy: dict[str, Any] = {"mean": card.mean or images.mean, "std": card.std or images.std}
    policy |= {"classes": batches[0][1].shape[1]}
    start = time.perf_counter()
    again = [augment(*pair, "deit", **policy, seed=n) for n, pair in enumerate(raw)]
    seconds = time.perf_counter() - start
    if not all(torch.equal(a, b) for a, b in zip(sum(again, ()), sum(batches, ()), strict=True)):
        raise RuntimeError("images that are drawn anew differ from the frozen ones")
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        found.model(batches[0][0][:1])
    directions = (_direction(found.model, 0), _direction(found.model, 1))
    case = Case(found.model, batches, raw, policy, directions, axes[0])
    steps = [(float(a), float(b)) for a in axes[0] for b in axes[0]]
    case.truth = np.array([brute(case, step) for step in steps]).reshape(len(axes[0]), -1)
    drawn = np.random.default_rng(0).integers(len(axes[1]), size=(checked, 2)).tolist()
    torch.save(vars(case), path)
    return {
        "network": found.name.split("@")[0],
        "flops": counter.get_total_flops(),
        "augmenting": seconds,
        "low": case.truth.min(),
        "high": case.truth.max(),
        "checked": [(i, j, brute(case, (axes[1][i], axes[1][j]))) for i, j in drawn],
    }


def _direction(model: nn.Module, seed: int) -> Direction:
    """Gaussian, each filter of the norm of the network's; only weights of filters."""
    draw = torch.Generator().manual_seed(seed)
    out = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight.detach().flatten(1)
            noise = torch.randn(weight.shape, generator=draw)
            noise *= weight.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
            out[f"{name}.weight"] = noise.view_as(module.weight)
    return out


@torch.no_grad()
def brute(case: Case, step: tuple[float, float]) -> float:
    """The NLL at a point by plain torch in float64."""
    model = case.put(copy.deepcopy(case.model).double(), *step).eval()
    sums = [cross_entropy(model(x.double()), y.double(), reduction="sum") for x, y in case.batches]
    return float(sum(sums)) / sum(len(x) for x, _ in case.batches)


def _meter() -> Any:
    """Of both clocks and of memory."""
    from _measure import _watched  # it sits beside this file, and is not found from elsewhere

    return _watched


def timed(engine: Any, path: Path) -> dict:
    """The grid of the case by an engine: what it costs, and how far it is off."""
    watched = _meter()

    small = Case.load(path).few()
    engine(small, small.axis[[0, len(small.axis) // 2, -1]], Tally())
    case, tally = Case.load(path), Tally()
    case.model.register_forward_pre_hook(tally.saw)
    values, cost = watched(lambda: engine(case, case.axis, tally), tally)
    placed = engine.placed(values)
    here = np.isfinite(case.truth) & ~(np.isnan(placed) & ~np.isnan(values))
    off, middle = np.abs(placed - case.truth), len(placed) // 2
    return cost | {
        "forwards": tally.calls,
        "passed": tally.passed,
        "augmented": tally.augmented or sum(len(x) for x, _ in case.batches),
        "centre": float(off[middle, middle]),
        "error": float(off[here].max()),
        "relative": float((off / case.truth)[here].max()),
        "labelled": float(np.abs(values - case.truth).max()),
        "compared": int(here.sum()),
    }


def whole(path: Path, axis: Grid, mode: str, tol: float | None) -> dict:
    """A full grid by landscape."""
    watched = _meter()
    surface(Case.load(path).few(), axis[[0, len(axis) // 2, -1]], "exact", None)
    case, tally = Case.load(path), Tally()
    case.model.register_forward_pre_hook(tally.saw)
    found, cost = watched(lambda: surface(case, axis, mode, tol), tally)
    told: dict[str, Any] = {"evaluations": found.nll.size}
    if mode == "adaptive":
        audit = np.abs(found.audit_nll - found.audit_interpolated).max()
        told = {name: float(found[name]) for name in ("bound", "tolerance")}
        told |= {"evaluations": found.node.size + found.audit_nll.size, "audit": float(audit)}
    return cost | told | {"passed": tally.passed, "values": found.nll.values.tolist()}
