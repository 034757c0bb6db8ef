"""What is known about a network before its weights are opened, and how a spec finds it.

``NAME``
    a card of any file in this folder (``CARDS``).
``SCHEME:REST``
    ``models/SCHEME.py`` and its function ``card(rest)``: ``timm:``, ``torchvision:``, ``hub:``.
``path/to/file.py:function``
    a user's own file; the function returns an ``nn.Module`` or a ``Card``.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

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


def cards() -> dict[str, Card]:
    """Every named card, by file and in the order in which a file lists them."""
    found: dict[str, Card] = {}
    for path in sorted(FOLDER.glob("*.py")):
        if not path.stem.startswith("_") and path.stem != "card":
            module = import_module(f"landscape.models.{path.stem}")
            found.update({card.name: card for card in getattr(module, "CARDS", ())})
    return found


def find(spec: str) -> Card:
    """Find the card that ``spec`` names.

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
    if spec in known:
        return known[spec]
    head, colon, rest = spec.partition(":")
    if ".py:" in spec or spec.endswith(".py"):
        return import_module("landscape.models.file").card(spec)
    schemes = sorted(p.stem for p in FOLDER.glob("*.py") if "\ndef card(" in p.read_text("utf-8"))
    schemes = [s for s in schemes if s != "file"]
    if colon and head in schemes:
        return import_module(f"landscape.models.{head}").card(rest)
    near = get_close_matches(spec, known, n=3, cutoff=0.4) or sorted(known)
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
