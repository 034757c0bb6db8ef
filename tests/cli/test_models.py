"""What `landscape models` tells of the named networks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import landscape
from landscape.models.card import WEIGHTS, cards, zoo
from landscape_cli.catalogue import networks

KINDS = {
    "name": str,
    "family": str,
    "data": str,
    "recipe": str,
    "source": str,
    "reference": str,
    "parameters": int,
    "size": int | None,
    "mean": list | None,
    "std": list | None,
    "interpolation": str,
    "crop": float,
    "weight_decay": float,
    "licence": str,
    "spec": str,
    "urls": list,
    "offline": bool,
    "accuracy": float | None,
    "accuracy_range": list | None,
    "seeds": list,
    "weights": list,
}


@pytest.fixture
def rows(cli):
    def ask(*args):
        answer = cli("models", "--json", *args)
        assert (answer.status, answer.err) == (0, "")
        return json.loads(answer.out)

    return ask


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of weight files in place of the embedded ones."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr("landscape.models.card.WEIGHTS", folder)

    def put(name, **changes):
        source = WEIGHTS / "resnet_s@deadleaves-seed0.safetensors"
        with safe_open(source, framework="numpy") as file:
            facts = json.loads(file.metadata()["landscape"])
        facts = {k: v for k, v in (facts | changes).items() if v is not None}
        metadata = {"landscape": json.dumps(facts)}
        save_file(load_file(source), folder / f"{name}.safetensors", metadata)
        return facts

    return put


def only(rows, **wanted):
    found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1
    return found[0]


def test_every_network_has_a_row_with_everything(rows):
    found = rows()
    assert {row["name"] for row in found} == {card.name for card in cards()}
    for row in found:
        assert row.keys() == KINDS.keys()
        assert all(isinstance(row[key], kind) for key, kind in KINDS.items()), row
        assert row["data"] or not row["offline"]
    vit = landscape.find("vit_s").build()
    assert only(found, name="vit_s", data="deadleaves")["parameters"] == sum(
        p.numel() for p in vit.parameters()
    )
    assert only(found, name="vit_s", data="imagenet")["spec"].startswith("hub:facebookresearch/")


def test_each_filter_leaves_what_it_names(rows):
    every = rows()
    for key, values in {
        "family": ("conv", "msa", "hybrid", "mlp"),
        "source": ("zoo", "package", "hub", "timm", "torchvision"),
        "data": ("deadleaves", "imagenet"),
    }.items():
        for value in values:
            expected = [row for row in every if row[key] == value]
            assert expected
            assert rows(f"--{key}", value) == expected
    both = rows("--family", "hybrid", "--source", "timm")
    assert {(row["family"], row["source"]) for row in both} == {("hybrid", "timm")}


@pytest.mark.parametrize("key", ["family", "data", "source"])
def test_an_unknown_value_names_the_choices(cli, key):
    answer = cli("models", f"--{key}", "rnn")
    choices = {"family": "conv, msa", "data": "deadleaves, imagenet", "source": "hub, package"}
    assert answer.status == 2
    assert answer.err.startswith(f"Error: unknown {key} 'rnn'; choose ")
    assert choices[key] in answer.err
    assert len(answer.err.splitlines()) == 1


def test_what_is_nowhere_is_said(cli):
    answer = cli("models", "--family", "mlp", "--source", "zoo")
    assert (answer.status, answer.out) == (0, "")
    assert "No network is all of that" in answer.err
    assert cli("models", "--family", "mlp", "--source", "zoo", "--json").out == "[]\n"


def test_offline_is_what_a_cache_holds(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    before = rows("--offline")
    assert {"vit_s", "resnet_s"} <= {row["name"] for row in before}
    assert {row["source"] for row in before} <= {"zoo", "package"}
    for name in ("convnext_t", "resnet50_v1"):
        (url,) = only(rows(), name=name)["urls"]
        parts = Path(url).parts  # https:, huggingface.co, OWNER, REPOSITORY, resolve, main, FILE
        if name == "convnext_t":
            folder = tmp_path / "hf" / f"models--{parts[2]}--{parts[3]}"
            (folder / "refs").mkdir(parents=True)
            (folder / "refs" / "main").write_text("c" * 40)
            file = folder / "snapshots" / ("c" * 40) / parts[-1]
        else:
            file = tmp_path / "hub" / "checkpoints" / parts[-1]
        file.parent.mkdir(parents=True)
        file.write_bytes(b"")
    new = {row["name"] for row in rows("--offline")} - {row["name"] for row in before}
    assert new == {"convnext_t", "resnet50_v1"}


def test_seeds_and_recipes_of_the_zoo(cli, rows, weights):
    final = weights("resnet_s@deadleaves-seed0", accuracy=0.98)
    weights("resnet_s@deadleaves-seed1", accuracy=0.94, seed=1)
    weights("resnet_s@deadleaves-seed1-warmup", accuracy=0.5, seed=1, stage="warmup", epoch=3)
    weights("resnet_s@deadleaves-weak-seed0", accuracy=0.9, variant="weak")
    weights("resnet_s@cifar10-seed0", data="cifar10", variant=None, sha256=None, nll_augmented=None)
    found = rows("--source", "zoo", "--offline")
    assert [(row["data"], row["recipe"]) for row in found] == [
        ("cifar10", "strong"),
        ("deadleaves", "strong"),
        ("deadleaves", "weak"),
    ]
    strong = found[1]
    assert strong["seeds"] == [0, 1]
    assert strong["accuracy"] == pytest.approx(0.96)
    assert strong["accuracy_range"] == [0.94, 0.98]
    assert strong["mean"] == final["mean"]
    assert [entry["checkpoint"] for entry in strong["weights"]] == [
        "seed0",
        "seed1-warmup",
        "seed1",
    ]
    assert strong["weights"][0]["sha256"] == final["sha256"]
    assert strong["weights"][0]["recipe"] == final["recipe"]
    assert "path" not in strong["weights"][0]
    table = cli("models", "--source", "zoo", "--data", "deadleaves").out.splitlines()
    assert table[1].split()[4:] == ["0.27M", "96.0%", "(94.0-98.0)", "2", "yes", "zoo"]
    assert table[2].split()[3:] == ["weak", "0.27M", "90.0%", "1", "yes", "zoo"]
    text = cli("models", "resnet_s").out
    assert "seed1-warmup" in text
    assert "weak-seed0" in text
    assert final["sha256"][:16] in text
    assert final["command"] in text


def test_the_table_fits_a_terminal(cli):
    lines = cli("models").out.splitlines()
    assert lines[0].split()[:4] == ["name", "family", "data", "recipe"]
    assert max(map(len, lines)) <= 110
    assert any(line.split()[:2] == ["vit_s", "msa"] for line in lines)
    assert any("timm:NAME" in line for line in lines)
    assert "landscape train" not in "\n".join(lines)


def test_details_of_a_published_network(cli):
    lines = cli("models", "dinov2_s").out.splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" "))
    assert facts["name"] == "dinov2_s"
    assert facts["size"] == "224"
    assert facts["mean"] == "0.485, 0.456, 0.406"
    assert facts["recipe"] == "DINOv2"
    assert facts["licence"] == "Apache-2.0"
    assert facts["urls"].endswith("dinov2_vits14_pretrain.pth")
    assert sum("https://" in line for line in lines) == 2
    assert max(map(len, lines)) <= 110


def test_details_of_all_networks_of_a_name(cli):
    every = cli("models", "vit_s").out
    counts = {
        data: cli("models", "vit_s", "--data", data).out.count("name          vit_s")
        for data in ("deadleaves", "imagenet")
    }
    assert all(counts.values())
    assert every.count("name          vit_s") >= sum(counts.values())
    for entry in zoo("vit_s"):
        assert entry["command"] in every


def test_details_of_any_spec(cli, rows):
    row = only(rows("timm:test_vit.r160_in1k"))
    assert (row["source"], row["size"], row["spec"]) == ("timm", 160, "timm:test_vit.r160_in1k")
    network = landscape.find("timm:test_vit").build()
    assert row["parameters"] == sum(p.numel() for p in network.parameters())
    answer = cli("models", "vits")
    assert answer.status == 2
    assert "unknown model 'vits'; nearest: vit_s" in answer.err


def test_the_table_neither_imports_a_library_nor_draws_numbers(tmp_path):
    state = torch.get_rng_state()
    networks()
    assert torch.equal(state, torch.get_rng_state())
    code = (
        "import sys; from landscape_cli.main import main; main(['models', '--json']); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"timm", "torchvision", "xarray", "matplotlib"} & set(done.stderr.split())


def test_a_folder_of_weights_may_be_empty(rows, weights):
    zoo_rows = [row for row in rows() if row["source"] == "zoo"]
    assert zoo_rows
    assert not any(row["offline"] or row["data"] or row["seeds"] for row in zoo_rows)
