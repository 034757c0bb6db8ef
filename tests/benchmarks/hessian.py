"""Hessian spectra: landscape side by side with PyHessian, curvlinops and hessian-eigenthings.

Run from the root of the repository, on a machine that does nothing else::

    pip install -e '.[test]' hessian-eigenthings==1.0.0a5
    python tests/benchmarks/hessian.py
    python tests/benchmarks/hessian.py --part top --model vit_s --batch 16 --json hessian.json
    python tests/benchmarks/hessian.py --quick

A peer that is not installed is left out, and the output says so. The parts:

``product``
    One Hessian-vector product: the median of many, and what comes before.
``top``
    The five eigenvalues of largest magnitude of one mini-batch.
``paper``
    The same of many mini-batches, of NLL + L2, as Park & Kim (2022) have it.
``density``
    Stochastic Lanczos quadrature with equal numbers of probes and steps; and once more by landscape
    with the outliers taken out first, and one probe fewer.

All engines get the same network, the same frozen batches of augmented training images with soft
targets, and the same tolerance, in float32 on the CPU. Every run is a process of its own; start
vectors change with the repeat, and the order of the engines turns round. The tables have medians
over the repeats, but the largest error of any.

``seconds`` go from the batch to the answer, with landscape's self-check; ``in products`` are those
inside matrix-vector products, counted and timed where each engine calls them; ``processor s`` are
of this process alone, for machines that do other work after all. ``peak MiB`` is above the loaded
network. ``rate`` reckons a product as four forward passes, the least it costs, and is a share
of the rate of float32 matrix multiplication on the same threads, measured after every run. ``x`` is
seconds (of a product) over those of landscape. Every process has done one product with two images
before its clock starts.

Tolerances are not the same promise: landscape and hessian-eigenthings stop when every residual is
below it, ARPACK likewise at its restarts, PyHessian when one step moves the value by less. So what
came out is measured: the largest relative ``error`` of a value, against ARPACK to 1e-8 on plain
double backward in float64. Of a density it is the Wasserstein-1 distance to a float64 reference of
many probes and steps, over the mean magnitude of the eigenvalues: mostly the luck of the probes,
of which ``trace error`` has the more. It is against Hutch++ in float64.

The peers do not run on `vit_s` unless attention is switched to the kernel that has a second
derivative, and PyHessian's `density` not at all with a torch that has no `torch.eig`: both are done
for them here.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

QUICK = {"batch": [2], "size": 2, "batches": 2, "probes": 2, "steps": 5, "repeats": 1}
QUICK["products"] = 3
PRELOAD = ["landscape.analyzers.hessian", "landscape.analyzers.density", "landscape.study"]
PRELOAD += ["scipy.stats", "pyhessian.hessian", "curvlinops", "hessian_eigenthings"]
PARTS = ("product", "top", "paper", "density")


class Bench:
    """Runs jobs of `_measure`, each in a process of its own."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        import _measure  # they sit beside this file, and are not found from elsewhere
        import _peers

        self.args, self.folder, self.measure, self.top = args, folder, _measure, _peers.TOP
        self.engines, self.absent = _installed(_peers.ENGINES, args.engine)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOAD)
        self.started = time.monotonic()

    def run(self, job: str, *args: Any) -> Any:
        """A job's answer."""
        with ProcessPoolExecutor(1, mp_context=self.context) as pool:
            function = getattr(self.measure, job)
            return pool.submit(self.measure.alone, function, self.args.threads, *args).result()

    def compare(self, part: str, about: dict, job: str, *rest: Any) -> list[dict]:
        """A job by every engine in turns, a row for each; None stands for the repeat's number."""
        engines = {n: e for n, e in self.engines.items() if part in getattr(e, "parts", PARTS)}
        runs: dict[str, list[dict]] = {name: [] for name in engines}
        failed: dict[str, str] = {}
        for seed in range(1 if part == "paper" else self.args.repeats):
            for name in list(engines)[:: -1 if seed % 2 else 1]:
                if name in failed:
                    continue
                inputs = [seed if x is None else x for x in rest]
                try:
                    runs[name].append(self.run(job, engines[name], *inputs))
                except Exception as problem:
                    failed[name] = f"failed, {type(problem).__name__}: {problem}".splitlines()[0]
                self.say(f"{part} {about['network']} {about['batch']}: {name}, repeat {seed + 1}")
        return [
            {"part": part, **about, "engine": name, "failed": failed.get(name), "runs": found}
            for name, found in runs.items()
        ]

    def say(self, text: str) -> None:
        """Tell how far it is."""
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", file=sys.stderr, flush=True)

    def measured(self, part: str, model: str, size: int) -> list[dict]:
        """Rows of one part, one network and one batch size."""
        args = self.args
        count = args.batches if part == "paper" else 1
        path = self.folder / f"{part}-{model}-{size}.pt"
        facts = self.run("freeze", model, size, count, path)
        about = {"network": model, "batch": f"{count} x {size}" if part == "paper" else str(size)}
        compare = partial(self.compare, part, about | facts)
        if part == "product":
            return compare("product", path, args.products)
        if part == "density":
            truth = self.run("broad", path, 3 * args.probes, 2 * args.steps)
            self.say(f"density {model} {size}: reference")
            rows = compare("density", path, args.probes, args.steps, None, truth)
            told = f"error about {truth['error']:.1e}, trace error {truth['trace error']:.1e}"
            return [row | {"reference": told} for row in rows]
        decay = facts["decay"] if part == "paper" else 0.0
        checked = sorted({i * count // args.checked for i in range(args.checked)})
        truth = self.run("exact", path, self.top, decay, checked)
        self.say(f"{part} {model} {about['batch']}: reference")
        return compare("top", path, decay, None, checked, truth)


def _installed(engines: dict[str, Any], wanted: list[str] | None) -> tuple[dict, list[str]]:
    unknown = [name for name in wanted or () if name not in engines]
    if unknown:
        raise SystemExit(f"no engine '{unknown[0]}': there are {', '.join(engines)}")
    present, absent = {}, []
    for name in (n for n in engines if not wanted or n in wanted):
        try:
            version(engines[name].package)
            present[name] = engines[name]
        except PackageNotFoundError:
            absent.append(f"{name} is left out: pip install {engines[name].install}")
    return present, absent


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--part", action="append", choices=PARTS, help="again for more; all by default")
    add("--model", action="append", help="again for more; resnet_s and vit_s")
    add("--batch", type=int, action="append", help="of product and top, again for more; 16 and 128")
    add("--engine", action="append", help="again for more; all that are installed by default")
    add("--repeats", type=int, default=3, help="runs of each, but of paper 1 (%(default)s)")
    add("--products", type=int, default=10, help="of product (%(default)s)")
    add("--size", type=int, default=16, help="batch of paper and density (%(default)s)")
    add("--batches", type=int, default=64, help="of paper (%(default)s)")
    add("--checked", type=int, default=8, help="of those have a reference (%(default)s)")
    add("--probes", type=int, default=8, help="of density (%(default)s)")
    add("--steps", type=int, default=60, help="of density (%(default)s)")
    add("--threads", type=int, help="of torch; its own choice by default")
    add("--quick", action="store_true", help="two images, one repeat, vit_s: to see that it works")
    add("--json", type=Path, metavar="FILE", help="also write all runs")
    args = parser.parse_args()
    every = ["vit_s"] if args.quick else ["resnet_s", "vit_s"]
    args.part, args.model = args.part or PARTS, args.model or every
    args.batch = args.batch or [16, 128]
    if args.quick:
        vars(args).update(QUICK)
    return args


def main() -> None:
    """Measure, print, and write if asked."""
    args = _arguments()
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")  # of what peers import
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        import _tables

        versions = {e.package: version(e.package) for e in bench.engines.values()}
        about = {"torch": version("torch"), **versions, "machine": platform.machine()}
        about |= bench.run("machine")
        print(", ".join(f"{key} {value}" for key, value in about.items()))
        print("".join(f"\n{line}" for line in bench.absent))
        settings = {key: str(value) for key, value in vars(args).items()}
        every: list[dict] = []
        slower: list[str] = []
        for part in args.part:
            sizes = args.batch if part in ("product", "top") else [args.size]
            cases = [(model, size) for model in args.model for size in sizes]
            rows = [row for case in cases for row in bench.measured(part, *case)]
            text, slow = _tables.table(rows)
            print(f"\n## {_tables.TITLES[part].format_map(vars(args))}\n\n{text}", flush=True)
            every, slower = every + rows, slower + slow
            if args.json:
                found = {"about": about, "settings": settings, "rows": every}
                args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if slower:
        print("\n**landscape is the slower one:**\n", *slower, sep="\n- ")


if __name__ == "__main__":
    main()
