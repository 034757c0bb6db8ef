"""What the Hessian benchmark does in a process of its own: freeze a case, solve it, measure it.

The references are double backward by plain torch in float64: nothing of any engine's products.
"""

import copy
import resource
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

EXTRA = 3  # eigenvalues of the reference beyond those asked for


class Meter:
    """Counts and times the calls of a function, and times a self-check apart."""

    def __init__(self) -> None:
        self.calls, self.seconds, self.checking = 0, 0.0, 0.0

    def check(self, function: Callable) -> Callable:
        def timed(*args: Any) -> Any:
            start = time.perf_counter()
            out = function(*args)
            self.checking += time.perf_counter() - start
            return out

        return timed

    def wrap(self, function: Callable) -> Callable:
        def metered(*args: Any) -> Any:
            start = time.perf_counter()
            out = function(*args)
            self.seconds += time.perf_counter() - start
            self.calls += 1
            return out

        return metered


def alone(function: Callable, threads: int | None, *args: Any) -> Any:
    """What a new process runs."""
    if threads:
        torch.set_num_threads(threads)
    return function(*args)


def machine() -> dict:
    """Of this machine."""
    rates = [_sgemm() for _ in range(3)]
    return {"threads": torch.get_num_threads(), "sgemm GFLOP/s": round(max(rates))}


def freeze(name: str, size: int, count: int, path: Path) -> dict:
    """Write a network and ``count`` batches of ``size`` augmented training images to a file."""
    import landscape
    from landscape.models.card import zoo

    trained = any(e["data"] == "deadleaves" and e["stage"] == "final" for e in zoo(name))
    settings: dict[str, Any] = {"weights": None if trained else "random", "split": "train"}
    case = landscape.prepare(name, augment="deit", limit=size * count, batch_size=size, **settings)
    batches = list(case.batches)
    inputs = batches[0][0]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        case.model(inputs)
    matvec, n = _plain(case.model, batches[0])
    vector = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.save((case.model, batches, vector, matvec(vector)), path)
    return {
        "trained": trained,
        "parameters": n,
        "decay": case.card.weight_decay,
        "flops": counter.get_total_flops(),
    }


def exact(path: Path, k: int, decay: float, numbers: list[int]) -> list[list[float]]:
    """The ``k`` eigenvalues of largest magnitude and some more, of some of the batches."""
    model, batches, _, _ = torch.load(path, weights_only=False)
    rows = []
    for number in numbers:
        matvec, n = _plain(model, batches[number], decay)
        operator = LinearOperator(
            (n, n), lambda v, f=matvec: f(torch.from_numpy(v)).numpy(), dtype=np.float64
        )
        start = np.random.default_rng(number).standard_normal(n)
        found = eigsh(operator, k + EXTRA, tol=1e-8, v0=start, return_eigenvectors=False)
        rows.append(sorted(found.tolist(), key=abs, reverse=True))
    return rows


def top(
    engine: Any, path: Path, decay: float, seed: int, checked: list[int], truth: list[list[float]]
) -> dict:
    """Eigenvalues of every batch by an engine, and the largest error where there is a reference."""
    model, batches, vector, image = _warm(engine, path)
    meter = Meter()
    values, cost = _watched(lambda: engine.top(model, batches, decay, seed, meter), meter)
    return cost | {
        "values": [sorted(row, key=abs, reverse=True) for row in values],
        "error": max(error(values[i], row) for i, row in zip(checked, truth, strict=True)),
        "product error": _off(engine.product(model, batches[0])(vector.float()), image),
    }


def error(values: list[float], reference: list[float]) -> float:
    """Largest relative error: to the magnitude of the same rank, and to any eigenvalue at all.

    So two of opposite signs that are as large may change places.
    """
    found, true = np.array(sorted(values, key=abs, reverse=True)), np.array(reference)
    rank = np.abs(np.abs(found) - np.abs(true[: len(found)])) / np.abs(true[: len(found)])
    nearest = np.abs((found[:, None] - true) / true).min(1)
    return float(np.maximum(rank, nearest).max())


def product(engine: Any, path: Path, repeats: int) -> dict:
    """One matrix-vector product by an engine, again and again, and its error."""
    model, batches, vector, image = _warm(engine, path)
    v, meter, clock = vector.float(), Meter(), [time.perf_counter()]

    def work() -> Tensor:
        matvec = meter.wrap(engine.product(model, batches[0]))
        matvec(v)  # makes ready what the others find
        for _ in range(repeats):
            clock.append(time.perf_counter())
            out = matvec(v)
        clock.append(time.perf_counter())
        return out

    out, cost = _watched(work, meter)
    first, *each = np.diff(clock).tolist()
    off = _off(out, image)
    return cost | {"before": first, "each": median(each), "error": off, "product error": off}


def broad(path: Path, probes: int, steps: int) -> dict:
    """The spectrum of the first batch from many probes and steps, and its trace by Hutch++."""
    from landscape.numerics.quadrature import slq
    from landscape.numerics.traces import hutchpp

    model, batches, _, _ = torch.load(path, weights_only=False)
    matvec, n = _plain(model, batches[0])
    double: dict[str, Any] = {"dtype": torch.float64, "seed": 99}  # no engine's probes
    found = slq(matvec, n, probes=probes, steps=steps, **double)
    trace = hutchpp(matvec, n, products=max(probes * steps // 20, 30), **double).trace
    nodes, weights = found.nodes.numpy(), found.weights.numpy()
    half = probes // 2
    split = _distance((nodes[:half], weights[:half]), (nodes[half:], weights[half:]))
    scale = float((weights * np.abs(nodes)).sum() / probes)
    return {
        "nodes": nodes.tolist(),
        "weights": weights.tolist(),
        "scale": scale,
        "trace": float(trace.value),
        "trace error": float(trace.error / trace.value.abs()),
        "error": split / 2 / scale,  # halves differ by twice the error of both together
    }


def density(engine: Any, path: Path, probes: int, steps: int, seed: int, truth: dict) -> dict:
    """Spectrum of the first batch by an engine, with its distance to the reference."""
    model, batches, vector, image = _warm(engine, path)
    meter = Meter()
    found, cost = _watched(
        lambda: engine.spectrum(model, batches[0], probes, steps, seed, meter), meter
    )
    nodes, weights = (np.asarray(x, dtype=np.float64) for x in found)
    trace = float((nodes * weights).sum() / len(nodes)) * len(vector)
    return cost | {
        "error": _distance((nodes, weights), (truth["nodes"], truth["weights"])) / truth["scale"],
        "trace error": abs(trace - truth["trace"]) / abs(truth["trace"]),
        "product error": _off(engine.product(model, batches[0])(vector.float()), image),
    }


def _off(found: Tensor, image: Tensor) -> float:
    """Relative error of a product."""
    return float((found.double() - image).norm() / image.norm())


def _distance(a: tuple[Any, Any], b: tuple[Any, Any]) -> float:
    """Wasserstein-1 distance of two distributions of eigenvalues."""
    (x, v), (y, w) = ([np.ravel(part) for part in pair] for pair in (a, b))
    return float(wasserstein_distance(x, y, v, w))


def _plain(model: nn.Module, batch: tuple[Tensor, Tensor], decay: float = 0.0) -> tuple:
    """Matrix-vector products in float64 by one retained graph, and their size."""
    model = copy.deepcopy(model).double()
    params = [p for p in model.parameters() if p.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):
        loss = nn.functional.cross_entropy(model(batch[0].double()), batch[1].double())
        first = torch.autograd.grad(loss, params, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in first])
    del loss, first

    def matvec(v: Tensor) -> Tensor:
        out = torch.autograd.grad(flat, params, v, retain_graph=True)
        return torch.cat([part.reshape(-1) for part in out]) + decay * v

    return matvec, flat.numel()


def _warm(engine: Any, path: Path) -> tuple:
    """A case, after an engine's first product: imports, kernels, threads."""
    model, batches, vector, image = torch.load(path, weights_only=False)
    inputs, targets = batches[0]
    engine.product(model, (inputs[:2], targets[:2]))(vector.float())
    return model, batches, vector, image


def _watched(work: Callable[[], Any], meter: Meter) -> tuple[Any, dict]:
    """Both clocks, and memory at its peak above what was there before, in bytes."""
    before = _peak(reset=True)
    start, busy = time.perf_counter(), time.process_time()
    answer = work()
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    peak = _peak() - before
    return answer, {
        "products": meter.calls,
        "seconds": seconds,
        "processor": processor,
        "inside": meter.seconds,
        "checking": meter.checking,
        "peak": peak,
        "sgemm": _sgemm(),
    }


def _peak(reset: bool = False) -> int:
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _sgemm(n: int = 1024) -> float:
    """Rate of the machine's product of matrices in float32, GFLOP/s, now."""
    a = torch.randn(n, n)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e9
