"""A run that was stopped keeps its finished pieces; the same command ends in the same bytes."""

import signal
import subprocess
import sys
import time
from functools import partial, wraps

import pytest

import landscape
from landscape_cli.main import main

LANDSCAPE = [sys.executable, "-m", "landscape_cli.main"]
RUN = ["hessian", "-m", "resnet_s", "--weights", "random", "--limit", "4", "--batch-size", "1"]
RUN += ["--k", "1", "--no-figure", "-o"]


def everything(folder):
    return sorted(path.name for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.nc"
    assert main([*RUN, str(path)]) == 0
    return path.read_bytes()


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_stopped_command_goes_on_and_ends_in_the_same_bytes(cli, whole, tmp_path, sign, status):
    halves = tmp_path / "a.nc"
    journal = halves.with_suffix(".journal")
    with subprocess.Popen(
        [*LANDSCAPE, *RUN, str(halves)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job ignores interrupts, and so would its children
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            end = time.monotonic() + 60
            while not any(journal.glob("*.npz")) and time.monotonic() < end:
                time.sleep(0.01)
            running.send_signal(sign)
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, out) == (status, "")
    if sign == signal.SIGINT:
        told = f"Interrupted; finished pieces are kept in {journal}; the same command goes on there"
        assert err.splitlines()[-1] == f"{told}."
    kept = {file: file.stat().st_mtime_ns for file in journal.glob("*.npz")}
    assert 1 <= len(kept) < 5
    assert not halves.exists()
    refused = cli(*RUN, halves, "--seed", "1")
    assert refused.status == 2
    assert f"{journal} was begun with other" in refused.err
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert cli(*RUN, halves).status == 0
    assert halves.read_bytes() == whole
    assert everything(halves.parent) == ["a.nc"]


@pytest.fixture
def stopped(monkeypatch):
    """Let the analyzer be interrupted after so many pieces of a network."""
    real = landscape.hessian

    def arm(model, after):
        @wraps(real)
        def hessian(net, batches, *, progress, **settings):
            def stop(items, total, label):
                for count, item in enumerate(items):
                    if count == after:
                        raise KeyboardInterrupt
                    yield item

            mine = stop if type(net).__name__ == model else progress
            return real(net, batches, progress=mine, **settings)

        monkeypatch.setattr(landscape, "hessian", hessian, raising=False)

    yield arm
    monkeypatch.undo()


def test_no_finished_piece_no_journal(measure, stopped, tmp_path):
    def nothing(*args, **settings):
        raise KeyboardInterrupt

    stopped("ResNet", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(landscape.hessian.__wrapped__.__wrapped__.__globals__, "leading", nothing)
        answer = measure("hessian", "-o", tmp_path / "a.nc")
    assert answer.status == 130
    assert answer.err.splitlines()[-1] == "Interrupted; what was written is complete."
    assert not list(tmp_path.iterdir())


def test_the_first_of_two_networks_is_not_computed_again(measure, stopped, tmp_path, monkeypatch):
    both = {"models": ["resnet_s", "vit_s"]}
    stopped("ViT", 1)
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
