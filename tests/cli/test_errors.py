"""What the user can mend is one line and status 2; an interrupt leaves whole files only."""

import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

import landscape
from landscape_cli.main import main

LANDSCAPE = [sys.executable, "-m", "landscape_cli.main"]


def refused(answer, *words):
    assert answer.status == 2
    assert answer.out == ""
    last = answer.err.splitlines()[-1]
    assert answer.err.count("\n") == 1
    assert last.startswith("Error: ")
    for word in words:
        assert word in last


def saved(state, path):
    torch.save(state, path)
    return path


def test_an_unknown_model_names_the_nearest(cli):
    refused(cli("fourier", "-m", "vit"), "'vit'", "vit_s")


def test_a_later_unknown_model_stops_the_first(cli, tmp_path):
    args = ["-m", "resnet_s", "-m", "vit", "--weights", "random", "-o", tmp_path]
    refused(cli("fourier", *args), "vit_s")
    assert not list(tmp_path.iterdir())


def test_an_unknown_data_set_names_the_nearest(measure):
    refused(measure("fourier", "--data", "deadleave"), "deadleaves")


def test_weights_that_are_not_there(cli, tmp_path):
    path = tmp_path / "absent.pt"
    refused(cli("fourier", "-m", "vit_s", "--weights", path), str(path))


def test_weights_of_another_architecture(cli, tmp_path):
    path = saved(landscape.find("resnet_s").build().state_dict(), tmp_path / "a.pt")
    refused(cli("fourier", "-m", "vit_s", "--weights", path), "a.pt", "ViT", "cls_token")


def test_weights_that_are_not_finite(cli, tmp_path):
    state = landscape.find("resnet_s").build().state_dict()
    state["stages.1.0.conv1.weight"][0, 0, 0, 0] = torch.nan
    path = saved(state, tmp_path / "a.pt")
    refused(cli("fourier", "-m", "resnet_s", "--weights", path), "stages.1.0.conv1.weight", "NaN")


def test_half_a_checkpoint(cli, tmp_path):
    path = saved(landscape.find("resnet_s").build().state_dict(), tmp_path / "a.pt")
    path.write_bytes(path.read_bytes()[:9000])
    refused(cli("fourier", "-m", "resnet_s", "--weights", path), "a.pt")


def test_data_of_other_classes(measure, archive, tmp_path):
    answer = measure("hessian", "--data", f"npz:{archive(3)}", "-o", tmp_path / "a.nc")
    refused(answer, "3 classes", "10 outputs")


def test_data_without_labels_has_no_loss_but_frequencies(measure, archive, tmp_path):
    data = f"npz:{archive(3)}"
    assert measure("fourier", "--data", data, "-o", tmp_path / "a.nc", "--no-figure").status == 0


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--limit", "0"], "limit"),
        (["--batch-size", "0"], "batch size"),
        (["--points", "0"], "points"),
        (["--span", "-1"], "span"),
    ],
)
def test_numbers_out_of_range(measure, tmp_path, args, word):
    refused(measure("surface", *args, "-o", tmp_path / "a.nc"), word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [["--seed", "-1"], ["--limit", "some"], ["--split", "x"], ["-x"]])
def test_options_that_do_not_parse(measure, args):
    answer = measure("surface", *args)
    assert answer.status == 2
    assert answer.err.startswith("Usage: landscape surface")


def test_the_same_network_twice(measure, tmp_path):
    refused(measure("fourier", "-o", tmp_path, models=["vit_s", "vit_s"]), "vit_s", "once")


@pytest.mark.parametrize("name", ["a.png", "a.csv", "a.json"])
def test_a_result_is_no_figure(measure, tmp_path, name):
    refused(measure("fourier", "-o", tmp_path / name), name, "landscape plot")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_computation(monkeypatch):
    def fourier(*args, **kwargs):
        pytest.fail("computed before the output was tried")

    monkeypatch.setattr(landscape, "fourier", fourier, raising=False)


@pytest.mark.usefixtures("no_computation")
class TestUnwritable:
    def test_below_a_file(self, measure, tmp_path):
        (tmp_path / "file").write_text("")
        refused(measure("fourier", "-o", tmp_path / "file" / "deep"), str(tmp_path / "file"))

    def test_a_folder_in_place_of_the_result(self, measure, tmp_path):
        (tmp_path / "a.nc").mkdir()
        refused(measure("fourier", "-o", tmp_path / "a.nc"), "a.nc", "directory")

    def test_a_folder_in_place_of_the_figure(self, measure, tmp_path):
        (tmp_path / "a.png").mkdir()
        refused(measure("fourier", "-o", tmp_path / "a.nc"), "a.png", "directory")

    def test_a_folder_in_place_of_the_second_result(self, measure, tmp_path):
        (tmp_path / "a.vit_s.nc").mkdir()
        answer = measure("fourier", "-o", tmp_path / "a.nc", models=["resnet_s", "vit_s"])
        refused(answer, "a.vit_s.nc")


def test_a_full_disk(tmp_path):
    """A limit on the size of files stands in for the disk; bytes beyond it are refused."""
    args = ["fourier", "-m", "resnet_s", "--weights", "random", "--limit", "2", "-o"]
    done = subprocess.run(
        [*LANDSCAPE, *args, str(tmp_path / "a.nc")],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "a.nc") in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_stdout(results):
    args = ["show", str(results / "resnet_s@deadleaves-random" / "variance.nc")]
    with open("/dev/full", "w") as full:
        done = subprocess.run([*LANDSCAPE, *args], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "Error: No space left on device\n")


def test_a_reader_that_goes_away_is_no_error(results):
    args = ["show", "--json", str(results / "resnet_s@deadleaves-random" / "fourier.nc")]
    with subprocess.Popen(
        [*LANDSCAPE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        running.stdout.close()
        assert running.stderr.read() == ""


def test_an_interrupt_leaves_whole_files_only(stop, tmp_path):
    def ready(running):
        assert "steps" in running.stderr.readline()
        time.sleep(0.3)

    args = ["-m", "resnet_s", "--weights", "random", "--limit", "8", "--points", "301"]
    answer = stop(signal.SIGINT, ready, "surface", *args, "-o", tmp_path)
    assert (answer.status, answer.out) == (130, "")
    assert answer.err.strip().startswith("Interrupted; ")
    assert answer.err.count("\n") <= 2  # the first ends the line of the terminal's ^C
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent.suffix for path in kept} <= {".journal"}
    for path in tmp_path.rglob("*.npz"):
        with np.load(path) as piece:
            assert [piece[name].size for name in piece.files]
    assert bool(kept) == ("pieces are kept" in answer.err)


def test_an_interrupt_keeps_what_is_done(measure, tmp_path, monkeypatch):
    real = landscape.variance

    def interrupted(model, batches, **settings):
        if type(model).__name__ == "ViT":
            raise KeyboardInterrupt
        return real(model, batches, **settings)

    monkeypatch.setattr(landscape, "variance", interrupted, raising=False)
    answer = measure("variance", "-o", tmp_path / "a.nc", models=["resnet_s", "vit_s"])
    assert answer.status == 130
    assert answer.paths == list(tmp_path.iterdir()) == [tmp_path / "a.resnet_s.nc"]
    assert landscape.load(answer.paths[0]).attrs["model"] == "resnet_s"


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("LANDSCAPE_DEBUG", "1")
    with pytest.raises(ValueError, match="unknown model"):
        main(["fourier", "-m", "vit"])


def test_a_fault_of_the_program_is_not_the_users(monkeypatch):
    monkeypatch.setattr(landscape, "load", lambda path: {}["fault"], raising=False)
    with pytest.raises(KeyError, match="fault"):
        main(["show", "a.nc"])


def test_memory_that_is_used_up(cli, monkeypatch):
    def load(path):
        return torch.empty(1 << 60)

    monkeypatch.setattr(landscape, "load", load, raising=False)
    refused(cli("show", "a.nc"), "memory", "--batch-size")
