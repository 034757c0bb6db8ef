"""Loss surfaces: landscape side by side with its peers, and adaptive against exact.

Run from the root of the repository, on a machine that does nothing else::

    pip install -e '.[test]' loss-landscapes==3.0.6 loss-landscape-3d==0.1.3
    python tests/benchmarks/surface.py
    python tests/benchmarks/surface.py --part point --model vit_s --json surface.json
    python tests/benchmarks/surface.py --quick

``landscaper`` asks for an old NumPy: what to install for it is printed where it is missing. A peer
that is missing is left out, and the output says so; one that fails is in the table with its error.
The parts:

``point``
    A small grid by all engines: what a point costs, and whether it is right.
``adaptive``
    A full grid by landscape: every point, and as few as its smoothness allows.

All engines get the same network, the same frozen batches of augmented training images with soft
targets, the same two filter-normalised directions, and the same points, in float32 on the CPU; only
the loop of Park & Kim draws its augmentation anew at each point, as it does. Every run is a process
of its own, after a run on two images; the order of the engines turns round. The tables have medians
over the repeats, but the largest error of any.

``ms a point`` goes from the frozen batches to the grid, over its points, with all that comes before
the first; ``processor ms`` is of the process alone, for machines that do other work after all.
``x`` and ``processor x`` are these over those of landscape. ``augmented`` counts images, the frozen
ones once; ``forwards`` counts passes, of however many images. ``rate`` is the FLOPs of the forward
passes that a grid takes, a second, as a share of the rate of float32 matrix multiplication on the
same threads, measured after every run. ``peak MiB`` is above the loaded network. ``centre`` and
``error`` are in nats, against the network in float64 with the weights of each point: at the centre,
and the largest, also ``relative`` to the NLL there, over as many points as are ``compared``, which
are fewer where an engine goes to other points than it was given.

Of the adaptive mode, ``bound`` is its own estimate of the largest error, ``audit`` its largest at
points that it held out, and ``error`` the true one over the full grid, in nats and as a share of
the range. It is to be at most 2e-3 of that with a tenth of the evaluations. Its tolerance is the
default, half the standard error of the place (not with ``--quick``), then twice that share, as the
estimate is meant to be above the error, and that share. ``reckoned`` is what engines would take for
that grid at their ms a point.

A model is NAME, or NAME@DATA or NAME@DATA@WEIGHTS as `landscape.prepare` has them.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

QUICK = {"side": 9, "limit": 64, "timed": 3, "repeats": 1, "checked": 2}
PARTS = ("point", "adaptive")
BAR = 2e-3  # of the range
FEWER = 10  # evaluations
TESTS = Path(__file__).resolve().parents[1]
PUBLISHED = "weights/resnet20-12fca82f.th"
ERRORS = ("centre", "error", "relative", "labelled")
POINT = {
    "ms a point": "{:.0f}",
    "processor ms": "{:.0f}",
    "x": "{:.2f}",
    "processor x": "{:.2f}",
    "augmented": "{:d}",
    "forwards": "{:d}",
    "rate": "{:.0%}",
    "peak MiB": "{:.0f}",
    "centre": "{:.1e}",
    "error": "{:.1e}",
    "relative": "{:.1e}",
    "compared": "{:d}",
}
ADAPTIVE = {
    "evaluations": "{:d}",
    "fewer": "{:.1f}",
    "seconds": "{:.1f}",
    "faster": "{:.1f}",
    "tolerance": "{:.1e}",
    "bound": "{:.1e}",
    "audit": "{:.1e}",
    "error": "{:.1e}",
    "of the range": "{:.1e}",
}


class Bench:
    """Runs jobs of `_surfaces`, each in a process of its own."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        import _measure  # they sit beside this file, and are not found from elsewhere
        import _surfaces

        self.args, self.folder, self.jobs, self.meters = args, folder, _surfaces, _measure
        unknown = [name for name in args.engine or () if name not in _surfaces.ENGINES]
        if unknown:
            raise SystemExit(f"no engine '{unknown[0]}': there are {', '.join(_surfaces.ENGINES)}")
        self.engines, self.absent = {}, []
        for name, engine in _surfaces.ENGINES.items():
            if args.engine and name not in args.engine:
                continue
            try:
                version(engine.package)
                self.engines[name] = engine
            except PackageNotFoundError:
                self.absent.append(f"{name} is left out: pip install {engine.install}")
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["landscape.analyzers.surface", "landscape.study"])
        self.started = time.monotonic()
        self.cases: dict[str, tuple[Path, dict]] = {}
        self.costs: dict[tuple[str, str], tuple[float, float]] = {}  # ms a point, both clocks

    def run(self, job: Any, *args: Any) -> Any:
        """A job's answer."""
        with ProcessPoolExecutor(1, mp_context=self.context) as pool:
            return pool.submit(self.meters.alone, job, self.args.threads, *args).result()

    def say(self, text: str) -> None:
        """Tell how far it is."""
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", file=sys.stderr, flush=True)

    def axis(self, points: int) -> Any:
        """From minus the span to the span; the middle is 0."""
        return self.args.span * (2 * np.arange(points) / (points - 1) - 1)

    def case(self, spec: str) -> tuple[Path, dict]:
        """The file of a model's case, and facts about it."""
        if spec not in self.cases:
            args, path = self.args, self.folder / f"{len(self.cases)}.pt"
            axes = (self.axis(args.timed), self.axis(args.side))
            job = self.jobs.freeze
            facts = self.run(job, spec, args.limit, args.batch, axes, args.checked, path)
            self.cases[spec] = path, facts
            self.say(f"{spec}: brute force")
        return self.cases[spec]

    def point(self, spec: str) -> tuple[list[dict], str]:
        """A row for each engine, and what else there is to say."""
        path, facts = self.case(spec)
        runs: dict[str, list[dict]] = {name: [] for name in self.engines}
        failed: dict[str, str] = {}
        for repeat in range(self.args.repeats):
            for name in list(self.engines)[:: -1 if repeat % 2 else 1]:
                if name in failed:
                    continue
                try:
                    runs[name].append(self.run(self.jobs.timed, self.engines[name], path))
                except Exception as problem:
                    failed[name] = _failure(problem)
                self.say(f"point {spec}: {name}, repeat {repeat + 1}")
        rows: list[dict] = []
        for name, found in runs.items():
            row = {"network": facts["network"], "engine": name, "runs": found}
            if name in failed:
                row["note"] = failed[name]
            else:
                row |= self.summary(found, facts["flops"])
                self.costs[spec, name] = cost = (row["ms a point"], row["processor ms"])
                first = self.costs.get((spec, "landscape"), (math.nan, math.nan))
                row |= {"x": cost[0] / first[0], "processor x": cost[1] / first[1]}
                row["note"] = _note(self.engines[name].note, row)
            rows.append(row)
        images = self.args.limit
        return rows, (
            f"{facts['network']}: NLL from {facts['low']:.3g} to {facts['high']:.3g}; "
            f"{facts['flops'] / 1e6:.0f} MFLOP an image; the {images} frozen images took "
            f"{facts['augmenting']:.2f} s to augment, which no engine's time holds but the loop's"
        )

    def summary(self, runs: list[dict], flops: float) -> dict:
        """What the table tells of an engine."""
        points = self.args.timed**2
        each = 1000 / points
        work = flops * points * self.args.limit / 1e9
        return {
            "ms a point": median(run["seconds"] for run in runs) * each,
            "processor ms": median(run["processor"] for run in runs) * each,
            "rate": median(work / run["seconds"] / run["sgemm"] for run in runs),
            "peak MiB": median(run["peak"] for run in runs) / 2**20,
            **{name: runs[0][name] for name in ("augmented", "forwards", "compared")},
            **{name: max(run[name] for run in runs) for name in ERRORS},
        }

    def adaptive(self, spec: str) -> tuple[list[dict], str]:
        """Rows of both modes, and of what engines would take for that grid."""
        path, facts = self.case(spec)
        axis, base = self.axis(self.args.side), {"network": facts["network"]}
        exact = self.run(self.jobs.whole, path, axis, "exact", None)
        self.say(f"adaptive {spec}: exact")
        full = np.array(exact["values"])
        off = max((abs(full[i, j] - true) for i, j, true in facts["checked"]), default=math.nan)
        count = len(facts["checked"])
        told = {"engine": "exact", "error": off, "note": f"error at {count} points by brute force"}
        rows = [base | {key: exact[key] for key in ("evaluations", "seconds", "passed")} | told]
        span = float(full.max() - full.min())
        wanted = [(f"adaptive, {part:g} of range", part * span) for part in (2 * BAR, BAR)]
        tolerances = [("adaptive", None), *wanted]
        for title, tol in tolerances[1 if self.args.quick else 0 :]:
            row: dict[str, Any] = base | {"engine": title}
            try:
                found = self.run(self.jobs.whole, path, axis, "adaptive", tol)
            except Exception as problem:
                rows.append(row | {"note": _failure(problem)})
                continue
            row |= found | {"error": float(np.abs(np.array(found.pop("values")) - full).max())}
            row["of the range"] = row["error"] / span
            row["fewer"] = full.size / row["evaluations"]
            row["faster"] = exact["seconds"] / row["seconds"]
            met = row["of the range"] <= BAR and row["fewer"] >= FEWER
            row["note"] = "" if met else f"**not {BAR:g} of the range with {FEWER}x fewer**"
            if row["bound"] < row["error"]:
                row["note"] += " **bound below the error**"
            rows.append(row)
            self.say(f"adaptive {spec}: {title}")
        for (model, name), cost in self.costs.items():
            if model == spec and name != "landscape":
                seconds = full.size * cost[0] / 1000
                row = {"engine": name, "evaluations": full.size, "seconds": seconds}
                rows.append(base | row | {"note": "reckoned"})
        ends = f"{full.min():.3g} to {full.max():.3g}"
        return rows, f"{facts['network']}: NLL from {ends}, {full.shape[0]} x {full.shape[1]}"


def _failure(problem: Exception) -> str:
    lines = str(problem).splitlines() or [""]
    return f"failed, {type(problem).__name__}: {lines[0]}".replace("|", "/")


def _note(about: str, row: dict) -> str:
    wrong = f"as it labels them off by {row['labelled']:.1e}" if "odd rows" in about else ""
    return "; ".join(filter(None, (about, wrong)))


def _line(row: dict, columns: dict[str, str]) -> str:
    cells = [form.format(row[name]) if name in row else "" for name, form in columns.items()]
    return "| " + " | ".join([row["network"], row["engine"], *cells, row["note"]]) + " |"


def _heads(columns: dict[str, str]) -> str:
    names = " | ".join(["network", "engine", *columns, "note"])
    return f"| {names} |\n|---|---|{'---:|' * len(columns)}---|"


def _published() -> list[str]:
    """ResNet-20 as published, if its weights are here and CIFAR-10 is."""
    from landscape.datasets.cifar10 import cache

    given = os.environ.get("LANDSCAPE_SHARED")
    places = [Path(given)] if given else [TESTS.parent / "shared", TESTS.parents[1] / "shared"]
    found = [path for place in places if (path := place / "data" / PUBLISHED).exists()]
    here = (cache() / "cifar10-train.npz").exists()
    network = TESTS / "data_models" / "resnet20_cifar.py"
    return [f"{network}:resnet20@cifar10@{path}" for path in found[:1] if here]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--part", action="append", choices=PARTS, help="again for more; both by default")
    add("--model", action="append", help="again for more; resnet_s, vit_s, alternet_s and others")
    add("--engine", action="append", help="again for more; all that are installed by default")
    add("--side", type=int, default=51, help="of adaptive, points (%(default)s)")
    add("--timed", type=int, default=5, help="of point, points along a side (%(default)s)")
    add("--span", type=float, default=1.0, help="from minus this to this (%(default)s)")
    add("--limit", type=int, default=256, help="images (%(default)s)")
    add("--batch", type=int, default=128, help="images a batch (%(default)s)")
    add("--repeats", type=int, default=3, help="runs of point (%(default)s)")
    add("--checked", type=int, default=9, help="points of adaptive by brute force (%(default)s)")
    add("--threads", type=int, help="of torch; its own choice by default")
    add("--quick", action="store_true", help="vit_s, few images and points: a smoke run")
    add("--json", type=Path, metavar="FILE", help="also write all runs")
    args = parser.parse_args()
    if args.quick:
        vars(args).update(QUICK)
    if any(n < 3 or n % 2 == 0 for n in (args.side, args.timed)):
        raise SystemExit("--side and --timed are odd numbers from 3 on")
    args.part = args.part or PARTS
    return args


def main() -> None:
    """Measure, print, and write if asked."""
    args = _arguments()
    os.environ |= {"TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}  # of what peers import
    if not args.model:
        full = [] if args.quick else ["resnet_s", "alternet_s", *_published()]
        args.model = ["vit_s", *full]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        versions = {e.package: version(e.package) for e in bench.engines.values()}
        about = {"torch": version("torch"), **versions, "machine": platform.machine()}
        about |= bench.run(bench.meters.machine)
        print(", ".join(f"{key} {value}" for key, value in about.items()))
        print("".join(f"\n{line}" for line in bench.absent), flush=True)
        every: list[dict] = []
        slower: list[str] = []
        for part in args.part:
            columns = POINT if part == "point" else ADAPTIVE
            side = args.timed if part == "point" else args.side
            print(f"\n## {part}: {side} x {side} points, {args.limit} images by {args.batch}\n")
            print(_heads(columns), flush=True)
            remarks = []
            for spec in args.model:
                try:
                    rows, remark = getattr(bench, part)(spec)
                except ValueError as problem:
                    rows = [{"network": spec, "engine": "", "note": _failure(problem)}]
                else:
                    remarks.append(remark)
                print(*(_line(row, columns) for row in rows), sep="\n", flush=True)
                slower += [
                    f"{row['network']}, {row['engine']}: {row['x']:.2f} x, "
                    f"{row['processor x']:.2f} in processor time"
                    for row in rows
                    if min(row.get("x", 1), row.get("processor x", 1)) < 1
                ]
                every += [{"part": part, **row} for row in rows]
                if args.json:
                    settings = {key: str(value) for key, value in vars(args).items()}
                    found = {"about": about, "settings": settings, "rows": every}
                    args.json.write_text(json.dumps(found, indent=1, default=float) + "\n", "utf-8")
            print("", *remarks, sep="\n- ", flush=True)
    if slower:
        print("\n**landscape is the slower one:**\n", *slower, sep="\n- ")


if __name__ == "__main__":
    main()
