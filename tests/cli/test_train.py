"""Training from the command line."""

import json
import signal
import subprocess
import sys

import pytest
from safetensors import safe_open

BRIEF = ["--epochs", "2", "--warmup", "1", "--batch-size", "8", "--seed", "5"]


@pytest.fixture
def train(cli, archive):
    data = f"npz:{archive(10, 16)}"
    return lambda *args: cli("train", "-m", "resnet_s", "--data", data, *BRIEF, *args)


def test_train_resumes_and_is_loaded(cli, train, tmp_path):
    folder = tmp_path / "run"
    answer = train("-o", folder)
    assert answer.status == 0
    assert "epoch 2/2" in answer.err
    path = answer.paths[0]
    assert path.parent == folder
    assert path.name.startswith("resnet_s@npz")
    assert path.name.endswith("-seed5.safetensors")
    with safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()["landscape"])
    assert facts["recipe"]["epochs"] == 2
    before = path.read_bytes()
    again = train("-o", folder)
    assert again.status == 0
    assert "epoch" not in again.err
    assert path.read_bytes() == before
    other = train("-o", folder, "--lr", "0.5")
    assert other.status == 2
    assert "lr" in other.err
    assert not list(folder.glob("*.part"))
    args = ["-m", "resnet_s", "--weights", path, "--limit", "2", "-o", tmp_path / "a.nc"]
    assert cli("variance", *args).status == 0


def test_a_killed_training_ends_in_the_same_bytes(archive, tmp_path):
    def run(folder, until=None):
        args = [
            "train",
            "-m",
            "resnet_s",
            "--data",
            f"npz:{archive(10, 16)}",
            "-o",
            tmp_path / folder,
        ]
        args += ["--recipe", "weak", "--epochs", "6", "--warmup", "1", "--batch-size", "8"]
        command = [sys.executable, "-m", "landscape_cli.main", *map(str, args)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if until and line.startswith(f"epoch {until}/"):
                    process.send_signal(signal.SIGKILL)
            process.wait()
        return process.returncode, lines

    assert run("whole")[0] == 0
    killed, lines = run("killed", until=2)
    assert killed == -signal.SIGKILL
    assert not list((tmp_path / "killed").glob("resnet_s@*"))
    code, rest = run("killed")
    assert code == 0
    done = [line for line in lines if line.startswith("epoch")]
    again = [line for line in rest if line.startswith("epoch")]
    assert len(done) + len(again) >= 6  # at most the epoch under way was lost
    assert int(again[0].split()[1].split("/")[0]) > 2  # and no finished one
    files = sorted(path.name for path in (tmp_path / "whole").glob("resnet_s@*.safetensors"))
    assert [name.partition("-weak-")[2] for name in files] == [
        "seed0-initial.safetensors",
        "seed0-warmup.safetensors",
        "seed0.safetensors",
    ]
    for name in files:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
