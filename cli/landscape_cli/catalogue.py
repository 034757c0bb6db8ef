"""Facts on the named networks, for people and as JSON."""

import ast
from collections.abc import Collection
from typing import Any, get_args

import torch

from landscape.models.card import FOLDER, Card, Family, cards, zoo


def networks(family: str | None = None) -> list[dict[str, Any]]:
    """Facts on each network and each data set of which there are weights.

    Raises
    ------
    ValueError
        If there is no such family.
    """
    choices = get_args(Family)
    if family is not None and family not in choices:
        raise ValueError(f"unknown family '{family}'; choose {', '.join(choices)}")
    found = []
    for card in cards().values():
        if family not in (None, card.family):
            continue
        facts = {
            "name": card.name,
            "family": card.family,
            "data": card.data,
            "parameters": _parameters(card),
            "source": card.source,
            "licence": card.licence,
            "accuracy": None,
            "offline": card.offline and card.pretrained is not None,
        }
        here: dict[str, dict[str, Any]] = {}
        for entry in zoo(card.name):
            if entry["stage"] == "final":  # of several seeds the first is loaded
                trained = {"data": entry["data"], "accuracy": entry["accuracy"], "offline": True}
                here.setdefault(entry["data"], facts | trained)
        if card.pretrained is not None or not here:
            found.append(facts)
        found += here.values()
    return found


def made(names: Collection[str]) -> str:
    """Commands that trained the embedded weights of these networks, one a line."""
    entries = [e for e in zoo() if e["model"] in names and e["stage"] == "final"]
    return "\n".join(f"  {entry['command']}" for entry in entries)


def specs() -> str:
    """Say what ``--model`` takes beside names: the first line of each file with a scheme."""
    lines = []
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text("utf-8")
        if "\ndef card(" in text:
            about = (ast.get_docstring(ast.parse(text)) or path.stem).splitlines()[0]
            lines.append(f"  {about.replace('``', '')}")
    return "\n".join(lines)


def _parameters(card: Card) -> int:
    try:
        with torch.device("meta"):  # shapes without numbers
            model = card.build()
    except (RuntimeError, NotImplementedError):
        model = card.build()
    return sum(p.numel() for p in model.parameters())
