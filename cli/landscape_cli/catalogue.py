"""Facts on the named networks, for people and as JSON."""

import ast
import textwrap
from collections.abc import Sequence
from typing import Any, get_args

import torch

from landscape.models.card import FOLDER, Card, Family, Named, cards, find, zoo
from landscape.models.checkpoints import checkpoint
from landscape_cli.summary import table

_WIDTH = 110
_FACTS = [
    "name",
    "family",
    "data",
    "recipe",
    "source",
    "reference",
    "parameters",
    "size",
    "mean",
    "std",
    "interpolation",
    "crop",
    "weight_decay",
    "licence",
    "spec",
    "urls",
    "offline",
]


def networks(name: str | None = None, trust: bool = False) -> list[dict[str, Any]]:
    """Facts on each network and each set of weights of it: one row a data set and recipe.

    ``name`` may be any spec; without it all networks that have a name are listed. ``trust`` lets
    the code of a ``hub:`` spec run.
    """
    found: Sequence[Card | Named] = [card for card in cards() if name in (None, card.name)]
    return [row for card in found or [find(str(name), trust=trust)] for row in _rows(card)]


def chosen(rows: list[dict[str, Any]], offline: bool, **wanted: str | None) -> list[dict[str, Any]]:
    """Rows of one family, data set or source, and on request only what needs no download.

    Raises
    ------
    ValueError
        If there is none such at all.

    Examples
    --------
    >>> chosen([{"family": "msa", "offline": False}], offline=False, family="msa")
    [{'family': 'msa', 'offline': False}]
    """
    for key, value in wanted.items():
        known = {row[key] for row in networks() + rows} if value is not None else set()
        choices = get_args(Family) if key == "family" else sorted(known - {""})
        if value is not None and value not in choices:
            raise ValueError(f"unknown {key} '{value}'; choose {', '.join(choices)}")
    return [
        row
        for row in rows
        if all(value in (None, row[key]) for key, value in wanted.items())
        and (row["offline"] or not offline)
    ]


def overview(rows: list[dict[str, Any]]) -> str:
    """Table of rows of `networks`: what fits a terminal; `details` tells the rest."""
    heads = ["name", "family", "data", "recipe", "params", "accuracy", "seeds", "offline", "source"]
    return table([heads, *([_short(row, head) for head in heads] for row in rows)])


def details(row: dict[str, Any]) -> str:
    """All that is known of a row of `networks`, and how its weights were made."""
    facts = {key: row[key] for key in _FACTS if row[key] or row[key] is False}
    lines = []
    for key, value in facts.items():
        text = "\n".join(value) if key == "urls" else _text(value)
        for number, line in enumerate(text.splitlines()):
            head = f"{'' if number else key:<14}"
            lines += textwrap.wrap(
                line,
                _WIDTH,
                initial_indent=head,
                subsequent_indent=" " * 14,
                break_on_hyphens=False,
            )
    if row["weights"]:
        heads = ["checkpoint", "epoch", "accuracy", "nll_augmented", "sha256"]
        cells = [[_text(entry.get(head), 16) for head in heads] for entry in row["weights"]]
        lines += ["", table([["--weights", *heads[1:]], *cells])]
        commands = dict.fromkeys(e["command"] for e in row["weights"] if "command" in e)
        lines += ["", "made by", *(f"  {command}" for command in commands)]
    return "\n".join(lines)


def specs() -> str:
    """Say what ``--model`` takes beside names: the first line of each file with a scheme."""
    lines = []
    for path in sorted(FOLDER.glob("*.py")):
        text = path.read_text("utf-8")
        if "\ndef card(" in text:
            about = (ast.get_docstring(ast.parse(text)) or path.stem).splitlines()[0]
            lines.append(f"  {about.replace('``', '')}")
    return "\n".join(lines)


def _rows(card: Card | Named) -> list[dict[str, Any]]:
    trained: dict[tuple[str, str], list[dict[str, Any]]] = {}
    own = zoo(card.name) if not card.data else []
    for entry in sorted(
        own, key=lambda e: (e["data"], e.get("variant", ""), e["seed"], e["epoch"])
    ):
        trained.setdefault((entry["data"], entry.get("variant", "")), []).append(entry)
    published = isinstance(card, Named) or card.pretrained is not None
    spec = card.spec or (card.name if ":" in card.name else "")
    facts = {
        **{key: getattr(card, key) for key in _FACTS if hasattr(card, key)},
        "source": spec.partition(":")[0] or ("package" if published else "zoo"),
        "reference": card.source,
        "spec": spec,
        "parameters": _parameters(card),
        "offline": published and card.offline,
        "accuracy": None,
        "accuracy_range": None,
        "seeds": [],
        "weights": [],
    }
    rows = [] if trained and not published else [facts]
    for (data, variant), entries in trained.items():
        final = [entry for entry in entries if entry["stage"] == "final"]
        scores = [entry["accuracy"] for entry in final]
        rows.append(
            facts
            | {key: entries[0].get(key) for key in ("mean", "std")}
            | {
                "data": data,
                "recipe": variant or "strong",
                "offline": True,
                "accuracy": sum(scores) / len(scores) if scores else None,
                "accuracy_range": [min(scores), max(scores)] if scores else None,
                "seeds": [entry["seed"] for entry in final],
                "weights": [_entry(entry) for entry in entries],
            }
        )
    return rows


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    known = {k: v for k, v in entry.items() if k not in ("path", "model", "data", "mean", "std")}
    return known | {"file": entry["path"].name, "checkpoint": str(checkpoint(entry))}


def _parameters(card: Card | Named) -> int:
    if isinstance(card, Named) or card.parameters is not None:
        return int(card.parameters or 0)
    with torch.random.fork_rng(devices=[]):
        model = card.build()
    return sum(p.numel() for p in model.parameters())


def _short(row: dict[str, Any], head: str) -> Any:
    if head == "params":
        return f"{row['parameters'] / 1e6:.2f}M"
    if head == "seeds":
        return len(row["seeds"]) or None
    if head == "accuracy" and row["accuracy"] is not None:
        low, high = row["accuracy_range"]
        spread = f" ({low:.1%}-{high:.1%})".replace("%", "") if high > low else ""
        return f"{row['accuracy']:.1%}{spread}"
    return row[head]


def _text(value: Any, width: int | None = None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)[:width]
