"""prepare() finds a network and data by name and freezes them by seed."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import landscape
from landscape import datasets
from landscape.analyzers import fingerprint
from landscape.models.card import find, zoo
from landscape.models.checkpoints import Checkpoint, checkpoint, pick
from landscape.study import prepare, twins, untrained

TRIO = ("resnet_s", "vit_s", "alternet_s")


@pytest.fixture
def archive(tmp_path):
    """Make an archive of noise images, with or without the names of their classes."""

    def write(classes=10, count=60, named=False):
        draw = np.random.default_rng(0)
        arrays = {
            "images": draw.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
            "targets": np.arange(count) % classes,
        }
        if named:
            arrays["classes"] = np.array([f"class {i}" for i in range(classes)])
        np.savez(tmp_path / "images.npz", **arrays)
        return f"npz:{tmp_path / 'images.npz'}"

    return write


def same(a, b):
    return all(torch.equal(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(a, b, strict=True))


@pytest.mark.parametrize("name", TRIO)
def test_an_untrained_network_on_dead_leaves(name):
    case = prepare(name, weights="random", limit=5, batch_size=2)
    assert case.name == f"{name}@deadleaves-random"
    assert case.card == find(name)
    assert not any(module.training for module in case.model.modules())
    assert [tuple(x.shape) for x, _ in case.batches] == [(n, 3, 32, 32) for n in (2, 2, 1)]
    assert all(y.dtype == torch.int64 and y.ndim == 1 for _, y in case.batches)
    shown = datasets.load("deadleaves", limit=5)
    pixels = datasets.normalise(shown.images, shown.mean, shown.std)
    assert torch.equal(torch.cat([x for x, _ in case.batches]), pixels)
    assert torch.equal(torch.cat([y for _, y in case.batches]), shown.targets)
    with torch.no_grad():
        assert case.model(case.batches[0][0]).shape == (2, len(shown.classes))


def test_a_case_goes_through_an_analyzer_with_its_facts():
    case = prepare("resnet_s", weights="random", augment="deit", limit=4, batch_size=3, seed=7)
    result = landscape.label(landscape.variance(case.model, case.batches), **case.facts)
    assert (result.model, result.family, result.data) == ("resnet_s", "conv", "deadleaves")
    facts = json.loads(result.facts)
    chosen = {"weights": "random", "split": "test", "augment": "deit", "batch_size": 3}
    assert {key: facts[key] for key in chosen} == chosen
    assert facts["data_seed"] == 7
    images = datasets.load("deadleaves", limit=1)
    mean, std = list(images.mean), list(images.std)
    assert facts["preprocessing"] == {"size": [32, 32], "mean": mean, "std": std}


@pytest.mark.parametrize("augment", ["none", "basic", "deit"])
def test_the_same_seed_freezes_the_same_case(augment):
    def case(seed, split="test"):
        return prepare(
            "resnet_s",
            weights="random",
            augment=augment,
            limit=5,
            batch_size=3,
            seed=seed,
            split=split,
        )

    one, two = case(3), case(3)
    assert same(one.batches, two.batches)
    assert one.facts == two.facts
    weights = one.model.state_dict(), two.model.state_dict()
    assert all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
    other = case(4)
    assert not same(one.batches, other.batches)
    assert not torch.equal(other.model.stem[0].weight, one.model.stem[0].weight)
    assert not same(one.batches, case(3, "train").batches)


def test_deit_gives_soft_targets_and_none_gives_labels():
    case = prepare("resnet_s", weights="random", augment="deit", limit=5, batch_size=2)
    assert [tuple(y.shape) for _, y in case.batches] == [(2, 10), (2, 10), (1, 10)]
    targets = torch.cat([y for _, y in case.batches])
    assert torch.allclose(targets.sum(1), torch.ones(5))
    assert 0 < targets.min() < targets.max() < 1


@pytest.mark.parametrize(("classes", "named"), [(3, True), (12, False)])
def test_classes_must_fit_the_head_where_labels_matter(archive, classes, named):
    data = archive(classes, named=named)
    with pytest.raises(
        ValueError, match=f"data has {classes} classes but the head of vit_s has 10"
    ):
        prepare("vit_s", data, weights="random")
    for augment in ("none", "deit"):
        case = prepare("vit_s", data, weights="random", labels=False, augment=augment)
        assert sum(len(x) for x, _ in case.batches) == 60


def test_folders_of_this_machine_stay_out_of_the_names(archive, tmp_path):
    case = prepare("resnet_s", archive(), weights="random", limit=2)
    assert case.name == "resnet_s@npz-images.npz-random"
    assert case.facts["data"] == "npz:images.npz"
    assert str(tmp_path) not in json.dumps(case.facts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet_x"}, "unknown model 'resnet_x'; nearest: resnet_s"),
        ({"data": "deadleave"}, "unknown data set 'deadleave'; did you mean deadleaves"),
        ({"data": "deadleaves:hue"}, "unknown mixture 'deadleaves:hue'"),
        ({"split": "val"}, "unknown split 'val'"),
        ({"augment": "strong"}, "unknown augmentation 'strong'; choose none, basic, deit"),
        ({"batch_size": 0}, "batch size must be at least 1, got 0"),
        ({"limit": 0}, "limit must be at least 1 image, got 0"),
        ({"weights": "best.pt"}, r"no such weights; choose random, \[weak-\]\[seedN-\]initial"),
    ],
)
def test_bad_choices_are_named(options, message):
    choices = {"model": "resnet_s", "weights": "random", "limit": 2} | options
    with pytest.raises((ValueError, OSError), match=message):
        prepare(**choices)


def test_weights_that_nobody_published(archive):
    with pytest.raises(ValueError, match=r"no final weights of vit_s for npz.*--weights random"):
        prepare("vit_s", archive())
    with pytest.raises(ValueError, match="no warmup weights of efficientnet_lite0 for npz"):
        prepare("efficientnet_lite0", archive(), weights="warmup", labels=False)


def test_images_of_a_size_that_the_network_cannot_take(tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        "from landscape.models.vit import ViT\n"
        "from landscape.models.card import Card\n"
        "def net():\n"
        "    return Card('net', 'msa', ViT, 'a test', size=24)\n"
        "def maps():\n"
        "    from torch import nn\n"
        "    return nn.Conv2d(3, 4, 3)\n"
    )
    with pytest.raises(ValueError, match=r"net.py:net cannot take images of \(3, 24, 24\)"):
        prepare(f"{file}:net", weights="random", limit=2)
    with pytest.raises(ValueError, match="does not return one tensor"):
        prepare(f"{file}:maps", weights="random", limit=2)


def test_a_network_that_comes_with_its_weights_has_no_random_twin(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "from torch import nn\n"
        "def net():\n"
        "    torch.manual_seed(3)\n"
        "    return nn.Sequential(nn.Conv2d(3, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    case = prepare(f"{file}:net", limit=2)
    assert case.facts["weights"] == "published"
    torch.manual_seed(3)
    assert torch.equal(case.model[0].weight, torch.nn.Conv2d(3, 10, 3).weight)
    with pytest.raises(ValueError, match="comes with its weights: there is no random twin"):
        prepare(f"{file}:net", weights="random", limit=2)


def test_twins_are_other_draws_than_the_network_and_repeat():
    card = find("vit_s")
    own = fingerprint(untrained(card, 4))
    found = [fingerprint(twin) for twin in twins(card, 3, 4)]
    assert found == [fingerprint(twin) for twin in twins(card, 3, 4)]
    assert len({own, *found}) == 4
    with pytest.raises(ValueError, match="at least one twin, got 0"):
        twins(card, 0, 4)


def test_untrained_networks_are_drawn_by_seed_and_leave_the_generator():
    before = torch.get_rng_state()
    one, two, other = (untrained(find("vit_s"), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    prepare("vit_s", weights="random", augment="deit", limit=3)
    assert torch.equal(torch.get_rng_state(), before)
    first, second = one.state_dict(), two.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(other.head.weight, one.head.weight)
    assert not one.training


def test_checkpoints_are_told_by_recipe_seed_and_stage():
    entries = zoo()
    assert {str(checkpoint(e)) for e in entries} >= {"seed0-initial", "seed0-warmup", "seed0"}
    for entry in (e for e in entries if e["data"] == "deadleaves"):
        wanted = str(checkpoint(entry))
        case = prepare(entry["model"], weights=wanted, limit=1)
        assert case.facts["weights"] == entry["path"].name
        tail = "" if wanted == "seed0" else f"-{wanted}"
        assert case.name == f"{entry['model']}@deadleaves{tail}"
    with pytest.raises(
        ValueError, match=r"no seed99 weights of vit_s for deadleaves \(there are seed0"
    ):
        prepare("vit_s", weights="seed99")


def test_weights_changed_after_they_were_signed_are_refused(tmp_path, monkeypatch):
    entry = pick("resnet_s", "deadleaves", Checkpoint())
    with safe_open(entry["path"], framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["head.bias"] = tensors["head.bias"] + 1
    save_file(tensors, tmp_path / entry["path"].name, metadata=metadata)
    monkeypatch.setattr("landscape.models.card.WEIGHTS", tmp_path)
    with pytest.raises(ValueError, match="was changed after it was signed"):
        prepare("resnet_s", limit=1)
