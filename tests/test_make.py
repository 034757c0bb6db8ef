"""make() trains, resumes and signs; the embedded weights are what they say."""

import json
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest
import torch
from safetensors import safe_open

from landscape import datasets
from landscape.analyzers import fingerprint
from landscape.models.card import STAGES, find, zoo
from landscape.models.checkpoints import checkpoint
from landscape.models.weights import fit, read
from landscape.study import prepare, untrained
from landscape.study.make import accuracy, augmented_nll, make, variant
from landscape.zoo.recipe import Recipe

TRIO = ("resnet_s", "vit_s", "alternet_s")
BRIEF = Recipe(epochs=2, warmup=1, batch_size=16, seed=5)


@pytest.fixture
def archive(tmp_path):
    """Make an archive of noise images whose brightness tells the class."""

    def write(classes=10, count=60):
        draw = np.random.default_rng(0)
        targets = np.arange(count) % classes
        images = draw.integers(0, 90, (count, 32, 32, 3)) + 12 * targets[:, None, None, None]
        path = tmp_path / f"{classes}.npz"
        np.savez(path, images=images.astype(np.uint8), targets=targets)
        return f"npz:{path}"

    return write


def header(path):
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["landscape"])


def test_make_writes_three_signed_checkpoints(archive, tmp_path):
    data, losses = archive(), []
    facts = make("resnet_s", data, BRIEF, tmp_path / "run", lambda *told: losses.append(told))
    assert [epoch for epoch, _ in losses] == [1, 2]
    assert all(np.isfinite(loss) for _, loss in losses)
    signed = {}
    for path in (tmp_path / "run").glob("resnet_s@*.safetensors"):
        told = header(path)
        signed[told["stage"]] = told
        suffix = "" if told["stage"] == "final" else f"-{told['stage']}"
        assert path.name.endswith(f"-seed5{suffix}.safetensors")
        with safe_open(path, framework="pt") as file:
            kinds = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
        assert kinds == {torch.float16, torch.int64}  # int64: the counters of batch norm
        case = prepare("resnet_s", data, weights=str(path), limit=None)
        images = datasets.load(data)
        again = accuracy(case.model, images, images.mean, images.std)
        assert again == pytest.approx(told["accuracy"], abs=2 / len(images))  # half precision
        assert told["model"] == "resnet_s"
        assert told["recipe"] == asdict(BRIEF)
        assert told["mean"] == pytest.approx(images.mean)
        assert "--epochs 2 --warmup 1 --batch-size 16" in told["command"]
        assert "--seed 5" in told["command"]
        assert "--lr" not in told["command"]
    assert {stage: told["epoch"] for stage, told in signed.items()} == {
        "initial": 0,
        "warmup": 1,
        "final": 2,
    }
    assert (tmp_path / "run" / facts.pop("file")).is_file()
    assert json.loads(json.dumps(facts)) == signed["final"]
    start, _ = read(tmp_path / "run" / "initial.safetensors")
    fresh = untrained(find("resnet_s"), 5).state_dict()
    assert all(torch.equal(start[key], fresh[key]) for key in fresh)
    assert not list((tmp_path / "run").glob("*.part"))


@pytest.mark.parametrize("name", TRIO)
def test_an_interrupted_run_resumes_bit_for_bit(archive, tmp_path, name):
    def interrupt(epoch, loss):
        raise KeyboardInterrupt

    data, epochs = archive(count=20), []
    make(name, data, BRIEF, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        make(name, data, BRIEF, tmp_path / "halves", interrupt)
    torch.rand(7)  # what happens in between does not matter
    make(name, data, BRIEF, tmp_path / "halves", lambda epoch, loss: epochs.append(epoch))
    assert epochs == [2]
    files = sorted(path.name for path in (tmp_path / "whole").glob("*.safetensors"))
    assert len(files) == 6
    for file in files:
        whole, halves = ((tmp_path / run / file).read_bytes() for run in ("whole", "halves"))
        assert whole == halves, file


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than a small machine has
def test_processes_that_augment_change_the_speed_alone(archive, tmp_path):
    data = archive(count=40)
    for workers in (0, 2):
        make("resnet_s", data, BRIEF, tmp_path / str(workers), workers=workers)
    one, two = (read(tmp_path / name / "final.safetensors")[0] for name in ("0", "2"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_folder_of_another_recipe_is_refused(archive, tmp_path):
    data = archive(count=20)
    make("resnet_s", data, BRIEF, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match="holds a run with another epochs, lr; choose another"):
        make("resnet_s", data, replace(BRIEF, lr=0.1, epochs=3), tmp_path / "run")
    with pytest.raises(ValueError, match=r"holds a run of resnet_s@.*, not of vit_s@"):
        make("vit_s", data, BRIEF, tmp_path / "run")
    with pytest.raises(ValueError, match="data has 12 classes"):
        make("resnet_s", archive(12), BRIEF, tmp_path / "other")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert not (tmp_path / "other").exists()


@cache
def shown(data, size):
    return datasets.load(data, size=size, limit=300)


@cache
def trained_on(data):
    return datasets.load(data, split="train", limit=200, seed=1)


def stored(heavy=()):
    """Embedded weights; those of some seeds only on request."""
    return [
        pytest.param(
            entry,
            id=entry["path"].stem,
            marks=[pytest.mark.heavy] if entry["seed"] in heavy else [],
        )
        for entry in zoo()
    ] or [pytest.param(None, marks=pytest.mark.skip("no weights are embedded yet"))]


def opened(entry):
    state, _ = read(entry["path"])
    return fit(find(entry["model"]).build().eval(), state, entry["path"].name)


@pytest.mark.parametrize("entry", stored())
def test_embedded_weights_are_those_that_were_signed(entry):
    assert fingerprint(opened(entry)) == entry["sha256"]
    assert entry["stage"] in STAGES
    assert Recipe(**entry["recipe"]).seed == entry["seed"]
    assert variant(Recipe(**entry["recipe"])) == entry["variant"]


@pytest.mark.parametrize("entry", stored(heavy=(1, 2)))
def test_embedded_weights_have_the_accuracy_they_claim(entry):
    try:
        images = shown(entry["data"], find(entry["model"]).size)
    except OSError as error:
        pytest.skip(f"the data is not here: {error}")
    network = opened(entry)
    measured, claimed = accuracy(network, images, entry["mean"], entry["std"]), entry["accuracy"]
    assert abs(measured - claimed) < 3 * (claimed * (1 - claimed) / len(images)) ** 0.5
    loss = augmented_nll(network, trained_on(entry["data"]), 10, entry["mean"], entry["std"])
    assert loss == pytest.approx(entry["nll_augmented"], rel=0.2)
    wanted = str(checkpoint(entry))
    case = prepare(entry["model"], entry["data"], weights=wanted, limit=1)
    assert case.facts["weights"] == entry["path"].name
    assert case.facts["accuracy"] == claimed
