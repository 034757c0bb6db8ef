"""The command line in this process, and results to look at."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from landscape_cli.main import main

#: enough to have values, little enough to be quick
SIZES = {
    "fourier": ["--limit", "4"],
    "variance": ["--limit", "4"],
    "surface": ["--limit", "4", "--points", "3"],
    "hessian": ["--limit", "4", "--batch-size", "2", "--k", "2"],
}


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def paths(self) -> list[Path]:
        return [Path(line) for line in self.out.splitlines()]


def untrained(analyzer: str, models: Sequence[str], *args: object) -> list[str]:
    chosen = [part for model in models for part in ("--model", model)]
    return [analyzer, *chosen, "--weights", "random", *SIZES[analyzer], *map(str, args)]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def run(*args: object) -> Answer:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return Answer(status, *capsys.readouterr())

    return run


@pytest.fixture
def measure(cli: Callable[..., Answer]) -> Callable[..., Answer]:
    """Run an analyzer on little data and untrained networks."""

    def run(analyzer: str, *args: object, models: Sequence[str] = ("resnet_s",)) -> Answer:
        return cli(*untrained(analyzer, models, *args))

    return run


@pytest.fixture
def stop() -> Callable[..., Answer]:
    """Start a command as a process of its own, and send it a signal when it is ready for it."""

    def run(sign: int, ready: Callable[[subprocess.Popen[str]], object], *args: object) -> Answer:
        with subprocess.Popen(
            [sys.executable, "-m", "landscape_cli.main", *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell's background job ignores interrupts, and so would its children
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        ) as running:
            try:
                ready(running)
                running.send_signal(sign)
                out, err = running.communicate(timeout=300)
            finally:
                running.kill()
        return Answer(running.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a result and a figure of every analyzer."""
    folder = tmp_path_factory.mktemp("results")
    for analyzer in SIZES:
        assert main(untrained(analyzer, ["resnet_s"], "-o", folder)) == 0
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Callable[[int], Path]:
    """Make an .npz of noise images with labels of so many classes."""

    def make(classes: int, count: int = 12) -> Path:
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        names = np.array([f"class {i}" for i in range(classes)])
        path = tmp_path / "images.npz"
        np.savez(path, images=images, targets=np.arange(count) % classes, classes=names)
        return path

    return make
