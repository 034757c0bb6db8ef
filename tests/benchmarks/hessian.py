"""Top-5 Hessian eigenvalues of a mini-batch: landscape side by side with PyHessian 0.1.

Run from the root of the repository, on a machine that does nothing else::

    python tests/benchmarks/hessian.py
    python tests/benchmarks/hessian.py --model vit_s --batch 16 --repeats 5 --json hessian.json

Both get the same network, the same frozen batch of augmented training images with soft targets, and
the same tolerance, in float32 on the CPU; every repeat has another start vector, and the order of
the two alternates. The table has medians over the repeats, of products and of both clocks, and the
largest error of any repeat. Seconds hold everything from the batch to the eigenvalues, also the
first forward and backward pass; processor seconds are those of this process alone, for machines
that do other work after all. Products are counted where each engine calls them.

The tolerances are not the same promise: landscape stops when every residual is below it, PyHessian
when one step of its power iteration moves the value by less. So what came out is measured too: the
largest relative error of the five values, against Lanczos in float64 to 1e-10.

PyHessian cannot differentiate fused attention twice. It is run under ``sdpa_kernel(MATH)`` here;
without that it does not run on `vit_s` at all.
"""

import argparse
import copy
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import landscape
from landscape.models.card import zoo
from landscape.numerics.lanczos import lanczos
from landscape.subject.objective import Objective, ravel, unravel

Batch = tuple[Tensor, Tensor]
TOP = 5
TOL = 1e-3


@dataclass(frozen=True)
class Run:
    """One engine's answer."""

    values: Tensor
    products: int
    seconds: float
    processor: float


class Counter:
    """Counts the calls of a function."""

    def __init__(self, function: Callable) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.function(*args, **kwargs)


def ours(model: nn.Module, batch: Batch, seed: int, tol: float = TOL) -> Run:
    """As ``landscape.hessian`` does for each mini-batch."""
    start, busy = time.perf_counter(), time.process_time()
    objective = Objective(model, [batch])
    params = objective.parameters()
    like = ravel(params)
    product = Counter(objective.linearise(params))
    generator = torch.Generator().manual_seed(seed)
    found = lanczos(
        lambda v: ravel(product(unravel(v, params))),
        torch.randn(like.numel(), generator=generator, dtype=torch.float64).to(like),
        k=TOP,
        tol=tol,
        max_products=500,
    )
    seconds, processor = time.perf_counter() - start, time.process_time() - busy
    if not found.converged.all():
        raise RuntimeError(f"Lanczos has not converged to {tol:g} in {found.products} products")
    return Run(_ordered(found.values), product.calls, seconds, processor)


def theirs(model: nn.Module, batch: Batch, seed: int) -> Run:
    """PyHessian with its own defaults: at most 100 products an eigenvalue, tolerance 1e-3."""
    peer = import_module("pyhessian.hessian")
    torch.manual_seed(seed)
    counter = Counter(peer.hessian_vector_product)
    with (
        sdpa_kernel(SDPBackend.MATH),
        patch.object(peer, "hessian_vector_product", counter),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", r"Using backward\(\) with create_graph=True", UserWarning)
        start, busy = time.perf_counter(), time.process_time()
        found = peer.hessian(model, nn.CrossEntropyLoss(), data=batch, cuda=False)
        values, _ = found.eigenvalues(maxIter=100, tol=TOL, top_n=TOP)
        seconds, processor = time.perf_counter() - start, time.process_time() - busy
    for parameter in model.parameters():
        parameter.grad = None  # it leaves gradients with their graphs, a cycle in memory
    top = torch.tensor(values, dtype=torch.float64)
    return Run(_ordered(top), counter.calls, seconds, processor)


ENGINES = {"landscape": ours, "PyHessian": theirs}


def compare(name: str, size: int, repeats: int) -> dict:
    """Both engines on one network and one batch."""
    trained = any(e["data"] == "deadleaves" and e["stage"] == "final" for e in zoo(name))
    weights = None if trained else "random"
    case = landscape.prepare(
        name, weights=weights, split="train", augment="deit", limit=size, batch_size=size
    )
    (batch,) = case.batches
    double = copy.deepcopy(case.model).double()
    exact = ours(double, (batch[0].double(), batch[1].double()), 0, tol=1e-10).values
    runs: dict[str, list[Run]] = {engine: [] for engine in ENGINES}
    for seed in range(repeats):
        turn = list(ENGINES) if seed % 2 == 0 else list(reversed(ENGINES))
        for engine in turn:
            runs[engine].append(ENGINES[engine](copy.deepcopy(case.model), batch, seed))
    row: dict = {"model": name, "weights": "trained" if trained else "RANDOM", "batch": size}
    row["reference"] = exact.tolist()
    for engine, found in runs.items():
        errors = [float(((r.values - exact) / exact).abs().max()) for r in found]
        row[engine] = {
            "products": median(r.products for r in found),
            "seconds": median(r.seconds for r in found),
            "processor": median(r.processor for r in found),
            "error": max(errors),
            "runs": [asdict(r) | {"values": r.values.tolist()} for r in found],
        }
    for clock in ("seconds", "processor"):
        row[f"{clock}_ratio"] = row["PyHessian"][clock] / row["landscape"][clock]
    return row


def table(rows: list[dict]) -> str:
    """One line for each network, batch and engine; ratios are PyHessian over landscape."""
    heads = ("model", "weights", "batch", "engine", "products", "seconds", "processor s", "error")
    cells = [heads]
    for row in rows:
        for engine in ENGINES:
            one = row[engine]
            numbers = f"{one['products']:g} {one['seconds']:.2f} {one['processor']:.2f}".split()
            case = (row["model"], row["weights"], str(row["batch"]), engine)
            cells.append((*case, *numbers, f"{one['error']:.1e}"))
        ratios = (f"{row['seconds_ratio']:.2f}x", f"{row['processor_ratio']:.2f}x")
        times = row["PyHessian"]["products"] / row["landscape"]["products"]
        cells.append(("", "", "", "ratio", f"{times:.2f}x", *ratios, ""))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = [
            text.ljust(width) if i in (0, 1, 3) else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _ordered(values: Tensor) -> Tensor:
    return values[values.abs().argsort(descending=True)]


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", action="append", help="again for more; resnet_s and vit_s")
    parser.add_argument("--batch", type=int, action="append", help="again for more; 16 and 128")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each (%(default)s)")
    parser.add_argument("--threads", type=int, help="of torch; its own choice by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all runs")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    about = {
        "torch": torch.__version__,
        "pyhessian": version("pyhessian"),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "tolerance": TOL,
        "repeats": args.repeats,
    }
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    rows = []
    for name in args.model or ["resnet_s", "vit_s"]:
        for size in args.batch or [16, 128]:
            rows.append(compare(name, size, args.repeats))
            print(f"done: {name}, batch of {size}", flush=True)
    print(f"\n{table(rows)}")
    if any(row["weights"] == "RANDOM" for row in rows):
        print("\nRANDOM: there are no trained weights of this network here; it is untrained.")
    if args.json:
        args.json.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
