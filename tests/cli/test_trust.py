"""A GitHub repository runs by --trust, by the list or by a yes on a terminal; never silently."""

import os
import pty
import subprocess
import sys

import pytest

from landscape_cli.main import main

CONF = """
from torch import nn

def tiny(pretrained=False):
    print("this ran")
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
"""
ARGS = ["--weights", "random", "--limit", "2", "--no-figure"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The cache of torch.hub with one repository, which is not trusted."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "hub"
    (folder / "some_nets_main").mkdir(parents=True)
    (folder / "some_nets_main" / "hubconf.py").write_text(CONF)
    return folder


@pytest.mark.parametrize("command", ["variance", "train"])
def test_without_a_terminal_nothing_runs_and_nothing_asks(cli, home, tmp_path, command):
    args = ARGS if command == "variance" else []
    answer = cli(command, "-m", "hub:some/nets/tiny", *args, "-o", tmp_path / "out.nc")
    assert answer.status == 2
    assert answer.out == ""
    assert answer.err.startswith("Error: hub:some/nets would run the code of https://github.com/")
    assert "--trust" in answer.err
    assert "this ran" not in answer.err


def test_trust_holds_for_one_run(cli, home, tmp_path):
    args = ["variance", "-m", "hub:some/nets/tiny", *ARGS, "-o", tmp_path / "a.nc"]
    answer = cli(*args, "--trust")
    assert answer.status == 0
    assert answer.out == f"{tmp_path / 'a.nc'}\n"
    assert "this ran" in answer.err
    assert not (home / "trusted_list").exists()
    assert cli(*args).status == 2


@pytest.mark.parametrize(("reply", "status"), [("y", 0), ("n", 2), ("", 2)])
def test_on_a_terminal_it_asks(home, tmp_path, reply, status):
    args = ["variance", "-m", "hub:some/nets/tiny", *ARGS, "-o", str(tmp_path / "a.nc")]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "landscape_cli.main", *args],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as running:
        os.close(theirs)
        shown = ""
        while "now and later? [y/N]" not in shown:
            shown += os.read(ours, 1000).decode()
        assert "the code of https://github.com/some/nets" in shown
        assert "this ran" not in shown
        os.write(ours, f"{reply}\n".encode())
        rest = ""
        try:
            while part := os.read(ours, 1000).decode():
                rest += part
        except OSError:  # the other side is gone
            pass
        out = running.stdout.read().decode()
    os.close(ours)
    assert running.returncode == status
    assert ("this ran" in rest) == (reply == "y")
    assert out == (f"{tmp_path / 'a.nc'}\n" if reply == "y" else "")
    assert (home / "trusted_list").exists() == (reply == "y")
    if reply == "y":
        assert (home / "trusted_list").read_text() == "some_nets\n"
        assert main([*args]) == 0
