"""What spectra of feature maps cost beside the forward passes they need, and beside the naive way.

Run from the root of the repository, on a machine that does nothing else::

    OMP_NUM_THREADS=1 python tests/benchmarks/frequency.py
    OMP_NUM_THREADS=1 python tests/benchmarks/frequency.py --model vit_s --limit 1024

``forward``
    The network alone, over all batches.
``fourier``, ``variance``
    `landscape.fourier` and `landscape.variance` at all taps, without what every analyzer does once:
    the checks of the model and its data, and the discovery of the taps. ``fourier, all of it`` has
    them.
``naive``
    Every map of every image is kept; then ``numpy.fft.fft2``, logarithm, mean and diagonal of each,
    as the notebook of Park & Kim (2022) does: one statistic of the dozen that ``fourier`` has.

``processor s`` are those of the process, the least of all repeats, in turns; ``x`` is over forward.
``peak MiB`` is above the loaded network and the data, each in a process of its own: that of the
naive way grows with the number of images, the others' with the size of the batch.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from typing import Any

JOBS = ("forward", "fourier", "fourier, all of it", "variance", "naive")


def job(name: str, model: Any, batches: list, taps: list) -> Callable[[], Any]:
    """What one row of the table does."""
    import landscape
    from landscape.analyzers import silent

    def forward() -> None:
        import torch

        with torch.no_grad():
            for inputs, _ in batches:
                model(inputs)

    def fourier() -> Any:
        measure = import_module("landscape.analyzers.fourier")._measure
        how = {"axis": "radial", "window": "none", "outliers": "keep"}
        return measure(model, batches, taps=taps, progress=silent, **how)

    def variance() -> Any:
        measure = import_module("landscape.analyzers.variance")._measure
        return measure(model, batches, taps=taps, outliers="keep", progress=silent)

    def whole() -> Any:
        return landscape.fourier(model, batches)

    def naive() -> Any:
        return collect(model, batches, taps)

    return dict(zip(JOBS, (forward, fourier, whole, variance, naive), strict=True))[name]


def collect(model: Any, batches: list, taps: list) -> list:
    """Relative log amplitude along the diagonal at each tap, from all maps at once."""
    import numpy as np
    import torch

    from landscape.subject.probe import capture

    kept: dict[Any, list] = {tap: [] for tap in taps}
    with torch.no_grad():
        for inputs, _ in batches:
            with capture(model, taps) as heard:
                model(inputs)
            for tap in taps:
                kept[tap].append(heard[tap].numpy())
    found = []
    for tap in taps:
        maps = np.concatenate(kept[tap])
        level = np.log(np.abs(np.fft.fft2(maps)) + 1e-6).mean((0, 1))
        line = np.diag(level)[: min(level.shape) // 2 + 1]
        found.append(line - line[0])
    return found


def prepare(name: str, limit: int, size: int) -> tuple[Any, list, list]:
    """A network with the weights it has here, else random ones; batches; all its taps."""
    import torch

    import landscape

    card = landscape.find(name)
    if card.data:  # of ImageNet: noise will do
        model = card.build().eval()
        draw = torch.Generator().manual_seed(0)
        count = max(1, limit // size)
        images = [torch.randn(size, 3, card.size, card.size, generator=draw) for _ in range(count)]
        batches = [(part, torch.zeros(size)) for part in images]
    else:
        case = landscape.prepare(name, limit=limit, batch_size=size)
        model, batches = case.model, case.batches
    return model, batches, landscape.discover(model, batches[0][0])


def seconds(name: str, limit: int, size: int, repeats: int) -> dict[str, float]:
    """The least processor seconds of each job, in turns."""
    model, batches, taps = prepare(name, limit, size)
    jobs = {key: job(key, model, batches, taps) for key in JOBS}
    least: dict[str, float] = {}
    for turn in range(repeats + 1):  # the first is to warm up
        for key, run in jobs.items():
            start = time.process_time()
            run()
            spent = time.process_time() - start
            least[key] = min(spent, least.get(key, spent)) if turn else float("inf")
    return least


def memory(name: str, limit: int, size: int, key: str) -> float:
    """MiB at the peak of one job, above what is there before it."""
    model, batches, taps = prepare(name, limit, size)
    job("forward", model, batches[:1], taps)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    job(key, model, batches, taps)()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def alone(function: Callable, *args: Any) -> Any:
    """A job's answer from a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result()


def main() -> None:
    """Measure every network and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", action="append", help="again for more; resnet_s, vit_s, efficientnet_lite0")
    add("--limit", type=int, default=256, help="images (%(default)s)")
    add("--size", type=int, default=64, help="of a batch, as the commands have it (%(default)s)")
    add("--repeats", type=int, default=3, help="of each (%(default)s)")
    args = parser.parse_args()
    print("| network | | processor s | x | peak MiB |\n| --- | --- | --- | --- | --- |")
    for name in args.model or ["resnet_s", "vit_s", "efficientnet_lite0"]:
        spent = alone(seconds, name, args.limit, args.size, args.repeats)
        for key in JOBS:
            peak = alone(memory, name, args.limit, args.size, key)
            times = spent[key] / spent["forward"]
            cells = [f"`{name}`", key, f"{spent[key]:.2f}", f"{times:.2f}", f"{peak:.0f}"]
            print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
