"""A network and data by name, ready for an analyzer."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape import datasets
from landscape.analyzers import fingerprint
from landscape.datasets.augment import augment as augment_batch
from landscape.models.card import STAGES, Card, find, zoo
from landscape.models.checkpoints import Checkpoint, checkpoint, parse, pick
from landscape.models.weights import fit, read


@dataclass(frozen=True)
class Case:
    """One network on one data set.

    Attributes
    ----------
    name
        ``model@data``, as in ``results/``; then the weights, if not those one gets by default.
    card
        What is known about the network.
    model
        With its weights, in eval mode.
    batches
        Frozen and augmented ``(inputs, targets)``.
    facts
        What a result should say about both: keyword arguments of ``landscape.label``.
    cues
        Further labels of the images by name, each ``(n,)``, as long as images are not mixed.
    """

    name: str
    card: Card
    model: nn.Module
    batches: list[tuple[Tensor, Tensor]]
    facts: dict[str, Any]
    cues: dict[str, Tensor] = field(default_factory=dict)

    def asked(self, analyzer: Callable[..., Any]) -> dict[str, Any]:
        """What an analyzer takes of what is known here: the preprocessing, the cues."""
        normalised = self.facts["preprocessing"]
        known: dict[str, Any] = {key: tuple(normalised[key]) for key in ("mean", "std")}
        known["cue_labels"] = self.cues
        takes = signature(analyzer).parameters
        return {name: value for name, value in known.items() if name in takes}


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
    trust: bool = False,
) -> Case:
    """Load a network and freeze batches for it.

    Parameters
    ----------
    model
        A name of ``landscape models``, or ``timm:NAME``, ``torchvision:NAME``, ``hub:...``,
        ``path/to/file.py:function``.
    data
        A data-set spec: ``deadleaves``, ``cifar10``, ``folder:/path``, ``imagenet:/path``... Where
        networks share a name (``vit_s``), it decides which is meant.
    weights
        None: the published ones, or the zoo's for this data set. ``"random"``: untrained, drawn by
        ``seed``. ``"[weak-][seedN-][initial|warmup|final]"``: a checkpoint of the zoo. Else a file.
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
    trust
        Whether the code of the GitHub repository in a ``hub:`` spec may run on this machine.

    Raises
    ------
    ValueError
        For an unknown name, weights that do not fit, or classes that do not fit the head.

    Examples
    --------
    >>> case = prepare("vit_s", limit=4, weights="random")
    >>> case.name, [tuple(x.shape) for x, _ in case.batches]
    ('vit_s@deadleaves-random', [(4, 3, 32, 32)])
    """
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    card = find(model, data, trust=trust)
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
    width = head_width(network, images, card, mean, std)
    if labels:
        check_classes(images, card, width)
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
        "model": public(card.name),
        "family": card.family,
        "data": public(data),
        "split": split,
        "augment": augment,
        "batch_size": batch_size,
        "data_seed": seed,
        "preprocessing": {
            "size": list(images.images.shape[-2:]),
            "mean": mean,
            "std": std,
            **datasets.resizing(data, crop=card.crop, interpolation=card.interpolation),
        },
    }
    name = f"{slug(public(card.name))}@{slug(public(data))}{_tag(weights)}"
    cues = {} if augment == "deit" else images.cues
    return Case(name, card, network, batches, facts, cues)


def untrained(card: Card, seed: int) -> nn.Module:
    """A network with fresh weights drawn by ``seed``; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return card.build().eval()


def twins(card: Card, count: int, seed: int) -> list[nn.Module]:
    """Networks like ``untrained(card, seed)``, and other ones: drawn by the seeds that follow.

    Raises
    ------
    ValueError
        If the network comes with its weights, or ``count`` is below 1.

    Examples
    --------
    >>> one, two = twins(find("vit_s"), 2, seed=0)
    >>> bool((one.head.weight == two.head.weight).all())
    False
    """
    _check_drawn(card)
    if count < 1:
        raise ValueError(f"the control 'untrained' needs at least one twin, got {count}")
    return [untrained(card, seed + number) for number in range(1, count + 1)]


def _check_drawn(card: Card) -> None:
    if card.fixed:
        raise ValueError(f"{card.name} comes with its weights: there is no random twin of it")


def _load(network: nn.Module, card: Card, data: str, weights: str | None) -> dict[str, Any]:
    """Put the weights that are meant into a fresh network; says which they are."""
    if weights == "random":
        _check_drawn(card)
        return {"weights": "random"}
    wanted = parse(weights) if weights else Checkpoint()
    if wanted is None:
        if not Path(str(weights)).exists():
            raise FileNotFoundError(
                errno.ENOENT,
                f"no such weights; choose random, [weak-][seedN-]{'|'.join(STAGES)} or a file",
                weights,
            )
        state, _ = read(Path(str(weights)))
        fit(network, state, str(weights))
        return {"weights": Path(str(weights)).name}
    entry = pick(card.name, data, wanted)
    if entry is not None:
        state, _ = read(entry["path"])
        fit(network, state, entry["path"].name)
        if fingerprint(network) != entry.get("sha256", fingerprint(network)):
            raise ValueError(f"{entry['path'].name} was changed after it was signed; reinstall")
        return {"weights": entry["path"].name, "accuracy": entry["accuracy"]}
    if card.pretrained is not None and weights is None:
        fit(network, card.pretrained(), card.name)
        files = getattr(card.pretrained, "files", {})  # name: sha256, where that is known
        source = _sourced(card)
        facts = {"spec": card.spec, "recipe": card.recipe, "source": source, "files": files}
        return {"weights": "published", **{key: value for key, value in facts.items() if value}}
    known = [e for e in zoo(card.name) if checkpoint(e) == wanted]
    homes = sorted({e["data"] for e in known})
    tags = sorted({str(checkpoint(e)) for e in zoo(card.name) if e["data"] == data})
    told = f"there are for {', '.join(homes)}" if homes else f"there are {', '.join(tags)}"
    raise ValueError(
        f"there are no {weights or 'final'} weights of {card.name} for {data}"
        + (f" ({told})" if homes or tags else "")
        + "; give --weights FILE, or --weights random for an untrained network"
    )


def _sourced(card: Card) -> str:
    """Where a network is from, without the folders of this machine."""
    origin, comma, rest = card.source.partition(", ")
    return (Path(origin).name if Path(origin).exists() else origin) + comma + rest


def _tag(weights: str | None) -> str:
    """Tell weights apart in a file name: ``-seed1-warmup``, ``-random``, ``-my_file``."""
    wanted = parse(weights or "final")
    if wanted is None:
        return f"-{slug(Path(str(weights)).stem)}"
    return "" if wanted == Checkpoint() else f"-{wanted}"


def head_width(network: nn.Module, images: datasets.Images, card: Card, mean: Any, std: Any) -> int:
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


def check_classes(images: datasets.Images, card: Card, width: int) -> None:
    """Refuse a head of another number of classes than the data."""
    classes, top = len(images.classes), int(images.targets.max())
    if (classes and classes != width) or top >= width:
        raise ValueError(
            f"the data has {classes or top + 1} classes but the head of {card.name} has "
            f"{width} outputs; choose data and weights that belong together"
        )


def public(spec: str) -> str:
    """A spec without the folders of this machine: ``folder:/here/photos`` is folder:photos."""
    if ".py:" in spec:
        return Path(spec).name
    scheme, colon, path = spec.partition(":")
    ours = path and (path.startswith((".", "~")) or Path(path).is_absolute() or Path(path).exists())
    return f"{scheme}{colon}{Path(path).name}" if ours else spec


def slug(text: str) -> str:
    """Make a file name of a spec."""
    return "".join(c if c.isalnum() or c in "-_.@" else "-" for c in text).strip("-")
