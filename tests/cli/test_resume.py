"""A run that was stopped keeps its finished pieces; the same command ends in the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import wraps

import pytest

import landscape
from landscape_cli.main import main

NETWORK = """
from torch import nn

def network():
    maps = nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
    return nn.Sequential(*maps, nn.Flatten(), nn.Linear(16, 10))
"""

#: Forks a command from a process that has imported all: a life costs what is done in it. Each
#: writes to a log which pieces it begins, and begins when as many as are in a crowd are there.
SERVER = """
import json, os, sys, time

said = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
from landscape.journal import Journal
from landscape_cli.main import main

def tell(word):
    with open(log, "a") as file:
        file.write(f"{os.getpid()} {word}\\n")

def pieces(self, names, make, real=Journal.pieces):
    tell("here")
    while open(log).read().count(" here") < crowd:
        time.sleep(0.01)
    return real(self, names, lambda name: [tell(name), make(name)][1])

main(sys.argv[1:])
Journal.pieces = pieces
for line in sys.stdin:
    order, *rest = json.loads(line)
    if order == "wait":
        print(os.waitstatus_to_exitcode(os.waitpid(rest[0], 0)[1]), file=said)
        continue
    log, crowd, *args = rest
    child = os.fork()
    if not child:
        os._exit(main(args))
    print(child, file=said)
"""


def everything(folder):
    return sorted(path.name for path in folder.rglob("*"))


def more_pieces(journal, count, pause=0.0):
    """Wait for more than so many, as a condition for a signal."""

    def ready(running):
        end = time.monotonic() + 300
        while len([*journal.glob("*.npz")]) <= count and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(pause)

    return ready


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Arguments of a small run of an analyzer, but for what follows ``-o``."""
    path = tmp_path_factory.mktemp("network") / "net.py"
    path.write_text(NETWORK, "utf-8")
    subject = ["-m", f"{path}:network", "--weights", "random", "--no-figure", "--limit", "8"]
    return {
        "surface": ["surface", *subject, "--points", "31", "-o"],
        "hessian": ["hessian", *subject, "--batch-size", "1", "--k", "1", "-o"],
    }


@pytest.fixture(scope="module")
def wholes(run, tmp_path_factory):
    """What the runs write if nobody stops them."""
    paths = {name: tmp_path_factory.mktemp("whole") / f"{name}.nc" for name in run}
    for name, path in paths.items():
        assert main([*run[name], str(path)]) == 0
    return {name: path.read_bytes() for name, path in paths.items()}


class Forks:
    """Commands that are forked from a `SERVER`."""

    def __init__(self, process):
        self.process = process

    def _ask(self, *order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, log, args, crowd=1):
        """Return the number of a process, which writes to a log what it begins."""
        return self._ask("start", str(log), crowd, *map(str, args))

    def wait(self, number):
        """Return its exit status; minus the signal that ended it."""
        return self._ask("wait", number)


@pytest.fixture(scope="module")
def forks(run, tmp_path_factory):
    first = [*run["surface"], str(tmp_path_factory.mktemp("first") / "a.nc"), "--points", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, *first],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Forks(process)
        process.stdin.close()


def begun(log):
    """Lines of (process, piece) in their order."""
    pairs = [line.split() for line in log.read_text().splitlines()]
    return [(int(number), name) for number, name in pairs if name != "here"]


def check_nothing_twice(log, killed):
    """Only what was in the hands of a process that was killed is done again, once."""
    lines = begun(log)
    last = dict(lines)
    for name, count in Counter(name for _, name in lines).items():
        *lost, _ = [number for number, other in lines if other == name]
        assert len(lost) == count - 1
        assert all(number in killed and last[number] == name for number in lost), name
    return last


def test_twenty_kills_end_in_the_same_bytes(forks, run, wholes, tmp_path):
    path, log = tmp_path / "a.nc", tmp_path / "log"
    args, draw = [*run["surface"], path], random.Random(0)
    for _ in range(2):  # the first is slower
        path.unlink(missing_ok=True)
        log.unlink(missing_ok=True)
        start = time.monotonic()
        assert forks.wait(forks.start(log, args)) == 0
        span = time.monotonic() - start
    steps = len(begun(log))
    assert steps == 121
    killed, in_pieces, finished = [], 0, 0
    path.unlink()
    log.unlink()
    while len(killed) < 20 or not path.exists():
        number = forks.start(log, args)
        if len(killed) < 20:
            time.sleep(draw.uniform(0, 0.6 * span))
            os.kill(number, signal.SIGKILL)
        status = forks.wait(number)
        if status == -signal.SIGKILL:
            killed.append(number)
            if path.exists():  # between the result and the end: its journal may stand in part
                assert path.read_bytes() == wholes["surface"]
                assert forks.wait(forks.start(log, args)) == 0
                assert path.read_bytes() == wholes["surface"]
                path.unlink()
                log.unlink()
            continue
        assert status == 0
        assert path.read_bytes() == wholes["surface"]
        last = check_nothing_twice(log, killed)
        assert len({name for _, name in begun(log)}) == steps
        in_pieces += len(last.keys() & set(killed))
        finished += 1
        if len(killed) < 20:
            path.unlink()
            log.unlink()
    assert in_pieces >= 5  # not all were killed before their first
    assert finished >= 1
    assert not path.with_suffix(".journal").exists()


@pytest.mark.parametrize("analyzer", ["surface", "hessian"])
@pytest.mark.parametrize("victims", [0, 1])
def test_three_processes_share_a_run(forks, run, wholes, tmp_path, analyzer, victims):
    path, log = tmp_path / "a.nc", tmp_path / "log"
    crowd = [forks.start(log, [*run[analyzer], path], crowd=3) for _ in range(3)]
    killed = crowd[:victims]
    for number in killed:
        while not (log.exists() and number in dict(begun(log))):
            time.sleep(0.005)
        os.kill(number, signal.SIGKILL)
    ends = [forks.wait(number) for number in crowd]
    assert ends == [-signal.SIGKILL] * victims + [0] * (3 - victims)
    assert path.read_bytes() == wholes[analyzer]
    assert {number for number, _ in begun(log)} == set(crowd)
    check_nothing_twice(log, killed)
    assert everything(tmp_path) == ["a.nc", "log"]


def test_a_command_that_is_killed_twice(cli, stop, run, wholes, tmp_path):
    """From its start on: nothing is forked or imported before."""
    path, draw, done = tmp_path / "a.nc", random.Random(1), {}
    journal = path.with_suffix(".journal")
    for _ in range(2):
        ready = more_pieces(journal, len(done), draw.uniform(0, 0.2))
        answer = stop(signal.SIGKILL, ready, *run["surface"], path)
        assert (answer.status, answer.out) == (-signal.SIGKILL, "")
        now = {file: file.stat().st_mtime_ns for file in journal.glob("*.npz")}
        assert len(now) > len(done)
        assert now | done == now  # what was there was not written again
        done = now
    assert not path.exists()
    assert cli(*run["surface"], path).status == 0
    assert path.read_bytes() == wholes["surface"]
    assert everything(tmp_path) == ["a.nc"]


def test_an_interrupted_command_says_where_it_goes_on(cli, stop, run, wholes, tmp_path):
    path = tmp_path / "a.nc"
    journal = path.with_suffix(".journal")
    answer = stop(signal.SIGINT, more_pieces(journal, 0), *run["hessian"], path)
    assert (answer.status, answer.out) == (130, ""), answer.err
    told = f"Interrupted; finished pieces are kept in {journal}; the same command goes on there"
    assert answer.err.splitlines()[-1] == f"{told}."
    kept = {file: file.stat().st_mtime_ns for file in journal.glob("*.npz")}
    assert 1 <= len(kept) < 9
    assert not path.exists()
    assert cli(*run["hessian"], path).status == 0
    assert path.read_bytes() == wholes["hessian"]
    assert everything(tmp_path) == ["a.nc"]


@pytest.fixture
def stopped(monkeypatch):
    """Let an analyzer be interrupted after so many pieces of a network."""

    def arm(analyzer, model, after):
        real = getattr(landscape, analyzer)

        @wraps(real)
        def function(net, batches, *, progress, **settings):
            def stop(items, total, label):
                for count, item in enumerate(items):
                    if count == after:
                        raise KeyboardInterrupt
                    yield item

            mine = stop if type(net).__name__ == model else progress
            return real(net, batches, progress=mine, **settings)

        monkeypatch.setattr(landscape, analyzer, function, raising=False)

    yield arm
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (["--weights", "initial"], "weights"),
        (["--limit", "3"], "batches"),
        (["--augment", "deit"], "batches"),
        (["--points", "5"], "settings"),
        (["--batchnorm", "batch"], "settings"),
        (["--seed", "1"], "batches and other settings and other weights"),
    ],
)
@pytest.mark.parametrize("analyzer", ["surface", "hessian", "sharpness"])
def test_a_journal_of_another_run_is_refused(
    cli, stopped, monkeypatch, tmp_path, analyzer, other, what
):
    if other[0] == "--points":
        other = {"surface": other, "hessian": ["--k", "2"], "sharpness": ["--rise", "0.2"]}[
            analyzer
        ]
    small = {"surface": ["--points", "3"], "hessian": ["--k", "1"], "sharpness": ["--m", "1"]}
    args = ["-m", "resnet_s", "--weights", "random", "--limit", "2", "--batch-size", "1"]
    args = [analyzer, *args, "--no-figure", *small[analyzer], "-o", str(tmp_path / "a.nc")]
    stopped(analyzer, "ResNet", 1)
    assert cli(*args).status == 130
    monkeypatch.undo()
    journal = tmp_path / "a.journal"
    kept = {file: file.read_bytes() for file in journal.glob("*.npz")}
    assert kept
    answer = cli(*args, *other)
    assert answer.status == 2
    assert answer.err == (
        f"Error: {journal} was begun with other {what}; "
        "go on with those, or delete it, or choose another place\n"
    )
    assert {file: file.read_bytes() for file in journal.glob("*.npz")} == kept
    assert not (tmp_path / "a.nc").exists()


def test_no_finished_piece_no_journal(measure, stopped, tmp_path):
    def nothing(*args, **settings):
        raise KeyboardInterrupt

    stopped("hessian", "ResNet", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(landscape.hessian.__wrapped__.__wrapped__.__globals__, "leading", nothing)
        answer = measure("hessian", "-o", tmp_path / "a.nc")
    assert answer.status == 130
    assert answer.err.splitlines()[-1] == "Interrupted; what was written is complete."
    assert not list(tmp_path.iterdir())


def test_the_first_of_two_networks_is_not_computed_again(measure, stopped, tmp_path, monkeypatch):
    both = {"models": ["resnet_s", "vit_s"]}
    stopped("hessian", "ViT", 1)
    answer = measure("hessian", "-o", tmp_path / "a.nc", **both)
    assert answer.status == 130
    first = tmp_path / "a.resnet_s.nc"
    before = first.read_bytes()
    assert {"a.resnet_s.journal", "a.vit_s.journal"} <= set(everything(tmp_path))
    monkeypatch.undo()
    made = []
    room = landscape.hessian.__wrapped__.__globals__
    real = room["leading"]

    def counted(*args, **settings):
        made.append(1)
        return real(*args, **settings)

    monkeypatch.setitem(room, "leading", counted)
    assert measure("hessian", "-o", tmp_path / "a.nc", **both).status == 0
    assert first.read_bytes() == before
    assert len(made) < 3  # of three pieces a network
    assert everything(tmp_path) == ["a.png", "a.resnet_s.nc", "a.vit_s.nc"]


def test_a_folder_of_something_else_is_refused_and_kept(measure, tmp_path):
    (tmp_path / "a.journal").mkdir()
    (tmp_path / "a.journal" / "photo.txt").write_text("mine")
    answer = measure("hessian", "-o", tmp_path / "a.nc")
    assert answer.status == 2
    assert "a.journal is no journal" in answer.err
    assert (tmp_path / "a.journal" / "photo.txt").read_text() == "mine"
