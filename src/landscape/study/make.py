"""Making the weights of the zoo: train, measure, sign."""

from collections.abc import Callable
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from landscape import datasets
from landscape.analyzers import fingerprint
from landscape.datasets.augment import augment
from landscape.models.card import STAGES, find
from landscape.models.weights import fit, read
from landscape.study.case import check_classes, head_width, public, slug, untrained
from landscape.zoo.recipe import STRENGTHS, Recipe, save_weights, train

#: training images, augmented once, on which the loss in a weight file's facts was measured
LOOKED_AT = 5000


def make(
    model: str,
    data: str,
    recipe: Recipe,
    folder: Path,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    trust: bool = False,
    *,
    device: str = "cpu",
    workers: int = 0,
) -> dict[str, Any]:
    """Train a network of the zoo and write its weight files; returns the facts of the last.

    ``folder`` gets a checkpoint each epoch (an interrupted run resumes there) and, at the end,
    ``MODEL@DATA[-weak]-seedN[-STAGE].safetensors`` in half precision, with the facts in the header.

    Parameters
    ----------
    model, data
        Specs, as in `landscape.prepare`.
    recipe
        Hyper-parameters; ``recipe.seed`` decides the initial weights, order and augmentation.
    folder
        Where checkpoints and weights go.
    report
        Called after every epoch with its number (from 1) and mean training loss.
    device, workers
        Where to train, and how many processes augment; see `landscape.zoo.recipe.train`.
    trust
        Whether the code of the GitHub repository in a ``hub:`` spec may run on this machine.

    Returns
    -------
    dict
        ``accuracy`` on the clean test split; ``nll_augmented``, the mean cross entropy in nats on
        5,000 training images under the ``deit`` augmentation, whatever the recipe, so that
        networks compare; ``sha256`` of the weights, as results carry it; ``recipe``, ``seed``...
    """
    card = find(model, trust=trust)
    images = datasets.load(data, split="train", size=card.size)
    mean, std = images.mean, images.std
    width = head_width(untrained(card, recipe.seed), images, card, mean, std)
    check_classes(images, card, width)
    test = datasets.load(data, split="test", size=card.size)
    look = partial(augment, policy=recipe.augment, classes=width, mean=mean, std=std)
    name, where = public(card.name), public(data)
    subject = f"{slug(name)}@{slug(where)}"
    network = train(
        card.build,
        images.images,
        images.targets,
        look,
        recipe,
        folder,
        report,
        subject,
        device,
        workers,
    )
    sample = datasets.load(data, split="train", size=card.size, limit=LOOKED_AT, seed=0)
    facts: dict[str, Any] = {}
    for stage, epoch in zip(STAGES, (0, recipe.warmup, recipe.epochs), strict=True):
        state, _ = read(folder / f"{stage}.safetensors")
        fit(
            network,
            {n: v.half().to(v) if v.is_floating_point() else v for n, v in state.items()},
            stage,
        )  # as it is stored
        facts = {
            "model": name,
            "data": where,
            "variant": variant(recipe),
            "stage": stage,
            "seed": recipe.seed,
            "epoch": epoch,
            "accuracy": accuracy(network, test, mean, std),
            "nll_augmented": augmented_nll(network, sample, width, mean, std),
            "recipe": asdict(recipe),
            "mean": mean,
            "std": std,
            "sha256": fingerprint(network),
            "command": command(name, where, recipe),
        }
        parts = [subject, facts["variant"], f"seed{recipe.seed}", "" if stage == "final" else stage]
        file = f"{'-'.join(filter(None, parts))}.safetensors"
        save_weights(network, folder / file, facts, torch.float16)
    return facts | {"file": file}


def variant(recipe: Recipe) -> str:
    """Tell a recipe by one word: empty for the strong one, else ``weak`` or its augmentation.

    Examples
    --------
    >>> variant(Recipe()), variant(Recipe(augment="basic")), variant(Recipe(augment="none"))
    ('', 'weak', 'none')
    """
    name = next((k for k, v in STRENGTHS.items() if v == recipe.augment), recipe.augment)
    return "" if name == "strong" else name


@torch.no_grad()
def accuracy(network: nn.Module, images: datasets.Images, mean: Any, std: Any) -> float:
    """Share of images whose largest output is their class."""
    hits = 0
    for index in torch.arange(len(images)).split(500):
        inputs = datasets.normalise(images.images[index], mean, std)
        hits += int((network(inputs).argmax(1) == images.targets[index]).sum())
    return hits / len(images)


@torch.no_grad()
def augmented_nll(
    network: nn.Module, images: datasets.Images, width: int, mean: Any, std: Any
) -> float:
    """Mean cross entropy in nats under the ``deit`` augmentation, drawn by the batch's number."""
    total = 0.0
    for number, index in enumerate(torch.arange(len(images)).split(500)):
        pixels, targets = images.images[index], images.targets[index]
        x, y = augment(pixels, targets, "deit", classes=width, mean=mean, std=std, seed=number)
        total += cross_entropy(network(x).double(), y.double(), reduction="sum").item()
    return total / len(images)


def command(model: str, data: str, recipe: Recipe) -> str:
    """The command that makes these weights: what differs from the defaults.

    Examples
    --------
    >>> command("vit_s", "cifar10", Recipe(seed=1, epochs=9, augment="basic"))
    'landscape train --model vit_s --data cifar10 --seed 1 --recipe weak --epochs 9'
    """
    told = [f"landscape train --model {model} --data {data} --seed {recipe.seed}"]
    if variant(recipe):
        told.append(f"--recipe {variant(recipe)}")
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if value != field.default and field.name not in ("seed", "augment"):
            told.append(f"--{field.name.replace('_', '-')} {value}")
    return " ".join(told)
