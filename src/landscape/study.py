"""A network and data by name, ready for an analyzer."""

import errno
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape import datasets
from landscape.datasets.augment import augment as augment_batch
from landscape.models.card import STAGES, Card, find, zoo
from landscape.models.weights import fit, read
from landscape.zoo.recipe import Recipe, save_weights, train


@dataclass(frozen=True)
class Case:
    """One network on one data set.

    Attributes
    ----------
    name
        ``model@data``, as in ``results/``.
    card
        What is known about the network.
    model
        With its weights, in eval mode.
    batches
        Frozen and augmented ``(inputs, targets)``.
    facts
        What a result should say about both: keyword arguments of ``landscape.label``.
    """

    name: str
    card: Card
    model: nn.Module
    batches: list[tuple[Tensor, Tensor]]
    facts: dict[str, Any]


def prepare(
    model: str,
    data: str = "deadleaves",
    *,
    weights: str | None = None,
    augment: str = "none",
    split: str = "test",
    limit: int | None = 256,
    batch_size: int = 16,
    seed: int = 0,
    labels: bool = True,
) -> Case:
    """Load a network and freeze batches for it.

    Parameters
    ----------
    model
        A name of ``landscape models``, or ``timm:NAME``, ``torchvision:NAME``, ``hub:...``,
        ``path/to/file.py:function``.
    data
        A data-set spec: ``deadleaves``, ``cifar10``, ``folder:/path``, ``npz:/path``...
    weights
        None: the published ones, or the zoo's for this data set. ``"random"``: untrained, drawn by
        ``seed``. ``"initial"``, ``"warmup"``, ``"final"``: checkpoints of the zoo. Else a file.
    augment
        ``"none"``, ``"basic"`` or ``"deit"``; frozen by ``seed``.
    split
        ``"train"`` or ``"test"``.
    limit
        How many images, drawn by ``seed``; None for all.
    batch_size
        Images a batch; the last may be smaller.
    seed
        Of the choice of images, the augmentation and random weights.
    labels
        Whether labels matter: then their number of classes must be the network's.

    Raises
    ------
    ValueError
        For an unknown name, weights that do not fit, or classes that do not fit the head.

    Examples
    --------
    >>> case = prepare("vit_s", limit=4, weights="random")
    >>> case.name, [tuple(x.shape) for x, _ in case.batches]
    ('vit_s@deadleaves', [(4, 3, 32, 32)])
    """
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    card = find(model)
    network = untrained(card, seed)
    images = datasets.load(
        data,
        split=split,
        size=card.size,
        limit=limit,
        seed=seed,
        crop=card.crop,
        interpolation=card.interpolation,
    )
    mean, std = card.mean or images.mean, card.std or images.std
    width = _width(network, images, card, mean, std)
    if labels:
        _check_classes(images, card, width)
    facts = _load(network, card, data, weights)
    batches = []
    for number, index in enumerate(torch.arange(len(images)).split(batch_size)):
        batches.append(
            augment_batch(
                images.images[index],
                images.targets[index],
                augment,
                classes=max(width, 1 + int(images.targets.max())),
                mean=mean,
                std=std,
                seed=seed * 1_000_003 + number,
            )
        )
    facts |= {
        "model": _public(card.name),
        "family": card.family,
        "data": _public(data),
        "split": split,
        "augment": augment,
        "batch_size": batch_size,
        "data_seed": seed,
        "preprocessing": {"size": list(images.images.shape[-2:]), "mean": mean, "std": std},
    }
    return Case(
        f"{_slug(_public(card.name))}@{_slug(_public(data))}", card, network, batches, facts
    )


def untrained(card: Card, seed: int) -> nn.Module:
    """A network with fresh weights drawn by ``seed``; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return card.build().eval()


def make(
    model: str,
    data: str,
    recipe: Recipe,
    folder: Path,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> dict[str, Any]:
    """Train a network of the zoo and write its weight files; returns their facts.

    ``folder`` gets a checkpoint each epoch (an interrupted run resumes there) and, at the end,
    ``MODEL@DATA-seedN[-STAGE].safetensors`` in half precision, with the facts in the header.
    """
    card = find(model)
    images = datasets.load(data, split="train", size=card.size)
    width = _width(untrained(card, recipe.seed), images, card, images.mean, images.std)
    _check_classes(images, card, width)
    test = datasets.load(data, split="test", size=card.size)
    mean, std = images.mean, images.std

    def look(x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        return augment_batch(x, y, recipe.augment, classes=width, mean=mean, std=std, seed=seed)

    public = _public(data)
    subject = f"{_slug(_public(card.name))}@{_slug(public)}"
    network = train(
        card.build, images.images, images.targets, look, recipe, folder, report, subject
    )
    facts: dict[str, Any] = {}
    for stage, epoch in zip(STAGES, (0, recipe.warmup, recipe.epochs), strict=True):
        state, _ = read(folder / f"{stage}.safetensors")
        fit(
            network,
            {n: v.half().to(v) if v.is_floating_point() else v for n, v in state.items()},
            stage,
        )  # as it is stored
        facts = {
            "model": _public(card.name),
            "data": public,
            "stage": stage,
            "seed": recipe.seed,
            "epoch": epoch,
            "accuracy": accuracy(network, test, mean, std),
            "recipe": asdict(recipe),
            "mean": mean,
            "std": std,
            "command": _command(_public(card.name), public, recipe),
        }
        suffix = "" if stage == "final" else f"-{stage}"
        file = f"{subject}-seed{recipe.seed}{suffix}.safetensors"
        save_weights(network, folder / file, facts, torch.float16)
    return facts | {"file": file}


def accuracy(network: nn.Module, images: datasets.Images, mean: Any, std: Any) -> float:
    """Share of images whose largest output is their class."""
    hits = 0
    with torch.no_grad():
        for index in torch.arange(len(images)).split(500):
            inputs = datasets.normalise(images.images[index], mean, std)
            hits += int((network(inputs).argmax(1) == images.targets[index]).sum())
    return hits / len(images)


def _command(model: str, data: str, recipe: Recipe) -> str:
    """The command that makes these weights: what differs from the defaults."""
    told = [f"landscape train --model {model} --data {data} --seed {recipe.seed}"]
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if value != field.default and field.name != "seed":
            told.append(f"--{field.name.replace('_', '-')} {value}")
    return " ".join(told)


def _load(network: nn.Module, card: Card, data: str, weights: str | None) -> dict[str, Any]:
    """Put the weights that are meant into a fresh network; says which they are."""
    if weights == "random":
        if card.fixed:
            raise ValueError(f"{card.name} comes with its weights: there is no random twin of it")
        return {"weights": "random"}
    if weights is not None and weights not in STAGES:
        if not Path(weights).exists():
            raise FileNotFoundError(
                errno.ENOENT,
                f"no such weights; choose random, {', '.join(STAGES)} or a file",
                weights,
            )
        state, _ = read(Path(weights))
        fit(network, state, weights)
        return {"weights": Path(weights).name}
    stage = weights or "final"
    known = zoo(card.name)
    for home in (data, data.partition(":")[0]):  # a variant's own weights, else its family's
        for entry in (e for e in known if e["data"] == home and e["stage"] == stage):
            state, _ = read(entry["path"])
            fit(network, state, entry["path"].name)
            return {"weights": entry["path"].name, "accuracy": entry["accuracy"]}
    if card.pretrained is not None and weights is None:
        fit(network, card.pretrained(), card.name)
        return {"weights": "published"}
    choices = sorted({e["data"] for e in known if e["stage"] == stage})
    raise ValueError(
        f"there are no {stage} weights of {card.name} for {data}"
        + (f" (there are for {', '.join(choices)})" if choices else "")
        + "; give --weights FILE, or --weights random for an untrained network"
    )


def _width(network: nn.Module, images: datasets.Images, card: Card, mean: Any, std: Any) -> int:
    """Width of the output, found with one image; so a wrong size shows here."""
    inputs = datasets.normalise(images.images[:1], mean, std)
    try:
        with torch.no_grad():
            outputs = network(inputs)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"{card.name} cannot take images of {tuple(inputs.shape[1:])}: {error}"
        ) from error
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        raise ValueError(f"{card.name} does not return one tensor (n, classes)")
    return outputs.shape[1]


def _check_classes(images: datasets.Images, card: Card, width: int) -> None:
    classes, top = len(images.classes), int(images.targets.max())
    if (classes and classes != width) or top >= width:
        raise ValueError(
            f"the data has {classes or top + 1} classes but the head of {card.name} has "
            f"{width} outputs; choose data and weights that belong together"
        )


def _public(spec: str) -> str:
    """A spec without the folders of this machine: ``folder:/here/photos`` is folder:photos."""
    if ".py:" in spec:
        return Path(spec).name
    scheme, colon, path = spec.partition(":")
    ours = path and (path.startswith((".", "~")) or Path(path).is_absolute() or Path(path).exists())
    return f"{scheme}{colon}{Path(path).name}" if ours else spec


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_.@" else "-" for c in text).strip("-")
