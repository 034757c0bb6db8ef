"""Training from the command line."""

import json

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
