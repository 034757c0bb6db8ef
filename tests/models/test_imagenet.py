"""What is told of a published network is what its library says, builds and shows to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize, ToTensor

from landscape import datasets
from landscape.models.card import find
from landscape.models.imagenet import CARDS
from landscape.study import prepare

TOLD = [
    "family",
    "data",
    "size",
    "mean",
    "std",
    "interpolation",
    "crop",
    "licence",
    "urls",
    "offline",
]
LIBRARIES = [card for card in CARDS if not card.spec.startswith("hub:")]
NAMES = [card.name for card in CARDS]


def count(model):
    return sum(p.numel() for p in model.parameters())


def shapes(build):
    """Build without memory for weights; some networks compute their widths with tensors."""
    try:
        with torch.device("meta"):
            return build()
    except (RuntimeError, NotImplementedError):
        return build()


def named(name):
    return next(card for card in CARDS if card.name == name)


def in_a_cache(name, home):
    """A file with untrained weights where its library would put the published ones."""
    card = named(name)
    torch.manual_seed(1)  # not the seed of the untrained network
    network = find(card.spec).build()
    (url,) = card.urls
    if card.spec.startswith("timm:"):
        folder = home / "hub" / f"models--timm--{card.spec.partition(':')[2]}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("b" * 40)
        file = folder / "snapshots" / ("b" * 40) / "model.safetensors"
        file.parent.mkdir(parents=True)
        save_file(network.state_dict(), file)
    else:
        file = home / "hub" / "checkpoints" / Path(url).name
        file.parent.mkdir(parents=True)
        torch.save(network.state_dict(), file)
    return network


def test_every_family_and_source_is_there():
    assert {card.family for card in CARDS} == {"conv", "msa", "hybrid", "mlp"}
    for scheme in ("hub", "timm", "torchvision"):
        assert sum(card.spec.startswith(f"{scheme}:") for card in CARDS) >= 2
    assert all(card.recipe and card.source and card.licence for card in CARDS)
    assert [card.name for card in CARDS if not card.urls] == ["mixer_s"]
    assert {"resnet50", "convnext_t", "vit_s", "swin_t", "pit_s", "maxvit_t"} <= set(NAMES)


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("card", LIBRARIES, ids=lambda card: card.name)
def test_what_is_told_is_what_the_library_says(card):
    found = find(card.spec)
    assert {key: getattr(card, key) for key in TOLD} == {key: getattr(found, key) for key in TOLD}
    network = shapes(found.build).eval()
    assert count(network) == card.parameters
    head = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
    assert head.weight.shape[0] == 1000


@pytest.mark.parametrize("card", LIBRARIES, ids=lambda card: card.name)
def test_photographs_are_shown_as_the_library_does(card, shared):
    kind, _, rest = card.spec.partition(":")
    if kind == "timm":
        config = timm.get_pretrained_cfg(rest)
        assert config.crop_mode == "center"
        options = timm.data.resolve_data_config({}, pretrained_cfg=config.to_dict())
        transform = timm.data.create_transform(**options)
    else:
        name, _, tag = rest.partition(".")
        transform = models.get_model_weights(name)[tag].transforms()
    folder = shared / "imagenet-sample"
    ours = datasets.load(
        f"imagenet:{folder}",
        size=card.size,
        limit=3,
        seed=1,
        crop=card.crop,
        interpolation=card.interpolation,
    )
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (card.mean, card.std))
    for image, target in zip(ours.images, ours.targets, strict=True):
        (file,) = folder.glob(f"{target:04d}_*.jpg")
        with Image.open(file) as photograph:
            theirs = transform(photograph.convert("RGB"))
        steps = ((theirs * std + mean) * 255).round()
        assert torch.equal(steps, image.float())  # not one step of 255 apart
        normal = datasets.normalise(image[None], card.mean, card.std)[0]
        assert torch.allclose(theirs, normal, atol=1e-5)


def test_the_hub_networks_are_shown_what_their_authors_showed(shared):
    """Both repositories resize the short side to 256 by bicubic and crop the central 224."""
    steps = [Resize(256, InterpolationMode.BICUBIC), CenterCrop(224), ToTensor()]
    (file,) = (shared / "imagenet-sample").glob("0000_*.jpg")
    with Image.open(file) as photograph:
        theirs = (Compose(steps)(photograph.convert("RGB")) * 255).round()
    for card in (named("vit_s"), named("dinov2_s")):
        ours = datasets.load(
            f"folder:{shared / 'imagenet-sample'}",
            size=card.size,
            crop=card.crop,
            interpolation=card.interpolation,
        )
        assert torch.equal(ours.images[0].float(), theirs)
        assert (card.mean, card.std) == (datasets.folder.MEAN, datasets.folder.STD)


def test_the_hub_networks_have_as_many_parameters_as_those_of_timm():
    deit = shapes(lambda: timm.create_model("deit_small_patch16_224"))
    assert named("vit_s").parameters == count(deit) == named("deit_s").parameters
    assert named("vit_s").urls[0] == timm.get_pretrained_cfg("deit_small_patch16_224.fb_in1k").url
    dinov2 = shapes(lambda: timm.create_model("vit_small_patch14_dinov2"))
    mask, head = 384, nn.Linear(5 * 384, 1000)  # class tokens of four layers, mean of the patches
    assert named("dinov2_s").parameters == count(dinov2) + mask + count(head)


HUB = """
    from timm import create_model as _create_model

    dependencies = ["torch", "timm"]

    def deit_small_patch16_224(pretrained=False, **kwargs):
        return _create_model("deit_small_patch16_224")
"""


def test_the_data_turn_the_role_into_the_network_of_torch_hub(tmp_path, monkeypatch, offline):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    card = named("vit_s")
    repository, _, commit = card.spec.removeprefix("hub:").rpartition("/")[0].partition(":")
    assert len(commit) == 40
    with pytest.raises(ValueError, match=f"would run the code of https://github.com/{repository}"):
        find("vit_s", "imagenet:/path")
    clone = tmp_path / "hub" / f"{repository.replace('/', '_')}_{commit}"
    clone.mkdir(parents=True)
    (clone / "hubconf.py").write_text("\n".join(line[4:] for line in HUB.splitlines()))
    found = find("vit_s", "imagenet:/path", trust=True)
    assert (found.name, found.size, found.crop, found.data) == ("vit_s", 224, 0.875, "imagenet")
    assert (found.mean, found.std) == (card.mean, card.std)
    assert count(found.build()) == card.parameters
    assert commit in found.source
    assert not card.offline
    for url in card.urls:
        file = tmp_path / "hub" / "checkpoints" / Path(url).name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"weights")
    assert card.offline


@pytest.mark.parametrize("name", ["mobilevit_s", "deit_ti", "maxvit_t"])
def test_cached_weights_are_loaded_and_used(name, shared, tmp_path):
    """A command of its own, as huggingface_hub reads HF_HOME when it is imported."""
    network = in_a_cache(name, tmp_path).eval()
    env = os.environ | {
        "HF_HOME": str(tmp_path),
        "TORCH_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    env |= dict.fromkeys(proxies, "http://127.0.0.1:9")
    data = f"imagenet:{shared / 'imagenet-sample'}"
    code = f"""if True:
        import json, torch
        from landscape.study import prepare
        from landscape.models.card import cards
        from landscape.models.imagenet import CARDS
        case = prepare({name!r}, {data!r}, limit=2, batch_size=2)
        with torch.no_grad():
            outputs = case.model(case.batches[0][0])
        here = [card.name for card in CARDS if card.offline]
        print(json.dumps([case.name, case.facts, outputs.tolist(), here]))
    """
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "downloading" not in done.stderr
    case, facts, outputs, here = json.loads(done.stdout)
    card = named(name)
    assert case == f"{name}@imagenet-imagenet-sample"
    assert here == [name]
    assert (facts["weights"], facts["spec"], facts["recipe"]) == (
        "published",
        card.spec,
        card.recipe,
    )
    assert facts["preprocessing"] == {
        "size": [card.size, card.size],
        "mean": list(card.mean),
        "std": list(card.std),
        "crop": card.crop,
        "interpolation": card.interpolation,
    }
    untrained = prepare(name, data, weights="random", limit=2, batch_size=2)
    inputs = untrained.batches[0][0]
    with torch.no_grad():
        assert torch.allclose(network(inputs), torch.tensor(outputs), atol=1e-4)
        assert not torch.allclose(untrained.model(inputs), torch.tensor(outputs), atol=1e-2)
