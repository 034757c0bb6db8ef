"""What is known about a network before its weights are opened, and how a spec finds it.

``NAME``
    a card of any file in this folder (``CARDS``). Several may share a name, which is then a role:
    the data decide which of them plays it.
``SCHEME:REST``
    ``models/SCHEME.py`` and its function ``card(rest)``: ``timm:``, ``torchvision:``, ``hub:``.
``path/to/file.py:function``
    a user's own file; the function returns an ``nn.Module`` or a ``Card``.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

Family = Literal["conv", "msa", "hybrid", "mlp"]
Statistics = tuple[float, float, float]

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER.parent / "zoo" / "weights"
STAGES = ("initial", "warmup", "final")


@dataclass(frozen=True)
class Card:
    """A network, before its weights are opened.

    Attributes
    ----------
    name
        What ``--model`` takes.
    family
        ``"conv"``, ``"msa"``, ``"hybrid"`` or ``"mlp"``; decides the colour in every figure.
    build
        Makes the network with fresh weights.
    source
        Paper, and who trained it.
    pretrained
        Returns the published state dict (may download, and says so); None where there is none
        but the embedded zoo's.
    data
        The data set its published weights were trained on; empty for a zoo architecture, which
        has one set of weights for each data set it was trained on here.
    size, mean, std, interpolation, crop
        Preprocessing that belongs to the published weights: input side in pixels, channel
        statistics in [0, 1], resize filter, and the share of the resized side that the central
        crop keeps. None: the data set's own.
    weight_decay
        Of the optimiser that trained it; 0 where that is not known.
    licence
        Of the weights.
    offline
        Whether the published weights are on this machine without a download.
    fixed
        ``build`` hands out the trained network itself, so it has no untrained twin.
    spec
        What ``name`` is short for, where it is.
    recipe
        Short name of the training recipe of the published weights.
    parameters
        How many; None where only building tells.
    urls
        Where the published weights are downloaded from.
    """

    name: str
    family: Family
    build: Callable[[], nn.Module]
    source: str
    pretrained: Callable[[], dict[str, Tensor]] | None = None
    data: str = ""
    size: int | None = 32
    mean: Statistics | None = None
    std: Statistics | None = None
    interpolation: str = "bilinear"
    crop: float = 1.0
    weight_decay: float = 0.05
    licence: str = "Apache-2.0"
    offline: bool = True
    fixed: bool = False
    spec: str = ""
    recipe: str = ""
    parameters: int | None = None
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Named:
    """A published network under a short name: what is told of it before it is looked up.

    Looking it up by its ``spec`` imports a library or fetches code; a table of all networks does
    neither. The attributes are those of a `Card`.
    """

    name: str
    family: Family
    spec: str
    recipe: str
    source: str
    data: str
    parameters: int
    size: int
    mean: Statistics
    std: Statistics
    interpolation: str
    crop: float
    weight_decay: float
    licence: str
    urls: tuple[str, ...]

    @property
    def offline(self) -> bool:
        """Whether the weights, and the code of a torch hub repository, are on this machine."""
        scheme, _, rest = self.spec.partition(":")
        clone = rest.rpartition("/")[0].replace("/", "_").replace(":", "_")
        here = scheme != "hub" or Path(torch.hub.get_dir(), clone).is_dir()
        return here and bool(self.urls) and all(_cached(url) for url in self.urls)

    def on(self, card: Card) -> Card:
        """Put what is told here on the card of the spec."""
        return replace(card, **vars(self) | {"source": f"{self.source}; {card.source}"})


def _cached(url: str) -> bool:
    """Whether a file is in the cache of huggingface_hub or torch.hub, told by paths alone."""
    parts = urlsplit(url)
    if parts.hostname == "huggingface.co":  # /OWNER/REPOSITORY/resolve/REVISION/FILE
        from huggingface_hub import constants

        owner, repository, _, revision, file = parts.path.strip("/").split("/")
        folder = Path(constants.HF_HUB_CACHE, f"models--{owner}--{repository}")
        head = folder / "refs" / revision
        return head.is_file() and (folder / "snapshots" / head.read_text().strip() / file).exists()
    return Path(torch.hub.get_dir(), "checkpoints", Path(parts.path).name).exists()


def cards() -> list[Card | Named]:
    """Every network that has a name, by file and in the order in which a file lists them."""
    found: list[Card | Named] = []
    for path in sorted(FOLDER.glob("*.py")):
        if not path.stem.startswith("_") and path.stem != "card":
            module = import_module(f"landscape.models.{path.stem}")
            found += getattr(module, "CARDS", ())
    return found


def find(spec: str, data: str = "", *, trust: bool = False) -> Card:
    """Find the card that ``spec`` names.

    Where several share a name, the one whose weights were trained on ``data`` (a name or a whole
    data spec) is meant, else the zoo's: ``vit_s`` is a network for 32 pixels on ``deadleaves`` and
    one for 224 on ``imagenet:/path``. ``trust`` lets the code of the GitHub repository in a
    ``hub:`` spec run on this machine.

    Raises
    ------
    ValueError
        Names the nearest cards when there is none.

    Examples
    --------
    >>> find("vit_s").family
    'msa'
    """
    known = cards()
    alike = [card for card in known if card.name == spec]
    if alike:
        scheme = data.partition(":")[0]
        card = min(alike, key=lambda card: (card.data != scheme, card.data != ""))
        return card if isinstance(card, Card) else card.on(find(card.spec, trust=trust))
    head, colon, rest = spec.partition(":")
    if ".py:" in spec or spec.endswith(".py"):
        return import_module("landscape.models.file").card(spec)
    schemes = sorted(p.stem for p in FOLDER.glob("*.py") if "\ndef card(" in p.read_text("utf-8"))
    schemes = [s for s in schemes if s != "file"]
    if colon and head in schemes:
        options = {"trust": trust} if head == "hub" else {}
        return import_module(f"landscape.models.{head}").card(rest, **options)
    names = sorted({card.name for card in known})
    near = get_close_matches(spec, names, n=3, cutoff=0.4) or names
    raise ValueError(
        f"unknown model '{spec}'; nearest: {', '.join(near)}. 'landscape models' lists all; "
        f"other specs: {', '.join(s + ':NAME' for s in schemes)}, path/to/file.py:function"
    )


def zoo(name: str | None = None) -> list[dict[str, Any]]:
    """Facts on the embedded weight files (of one network): the JSON in their headers.

    Returns
    -------
    list of dict
        Each with ``path``, ``model``, ``data``, ``stage``, ``seed``, ``accuracy``, ``recipe``...
    """
    from safetensors import safe_open

    found = []
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {}).get("landscape", "{}"))
        if name is None or facts.get("model") == name:
            found.append(facts | {"path": path})
    return found
