"""What decides the answer, in one line under a figure of second-order results."""

import json
import re
from collections.abc import Sequence
from typing import Any

from landscape.plots import style
from landscape.result import Result

_ZOO = re.compile(r".+@.+?-(weak-)?seed(\d+)(?:-(initial|warmup))?\.safetensors")
_STAGES = {"initial": "initial weights", "warmup": "warm-up weights", None: "final weights"}
_TERMS = {"L2": "L2", "NormSum": "Σ‖W‖"}
_ON = {"all": "all weights"}


def conditions(result: Result) -> str:
    """Loss, augmentation, BatchNorm, images, parameters and checkpoint, as far as stored.

    Examples
    --------
    >>> settings = {"weight_decay": 0.05, "batchnorm": "eval", "matrix": "hessian"}
    >>> facts = {"augment": "deit", "batch_size": 16, "weights": "a@b-seed1-warmup.safetensors"}
    >>> import xarray as xr
    >>> attrs = {"settings": json.dumps(settings), "facts": json.dumps(facts)}
    >>> told = conditions(xr.Dataset(attrs=attrs)).split(" · ")
    >>> told[:3]
    ['NLL + L2 (λ = 0.05 on all weights)', 'deit augmentation', 'BatchNorm eval']
    >>> told[3:]
    ['batch 16', 'warm-up weights (seed 1)']
    """
    return " · ".join(filter(None, _known(result).values()))


def slices(results: Sequence[Result]) -> dict[str, str]:
    """Tell of slices what stands elsewhere in a figure, too: for a page, in rows."""
    rows = []
    for result in results:
        settings = json.loads(result.attrs.get("settings", "{}"))
        facts = json.loads(result.attrs.get("facts", "{}"))
        told = {"loss": _loss(settings), "data": str(result.attrs.get("data", ""))}
        told |= {
            key: text.removeprefix(f"{key} ").removesuffix(f" {key}")
            for key, text in _known(result).items()
            if key not in ("directions", "weights")
        }
        told["checkpoint"] = _weights(str(facts.get("weights", "")))
        if digest := facts.get("weights_sha256"):
            told["checkpoint"] += f", sha256 {digest[:12]}"
        told["directions"] = _directions(settings)
        if "seed" in settings:
            told["directions"] += f", seed {settings['seed']}"
        sizes = " × ".join(str(result.sizes[n]) for n in ("alpha", "beta") if n in result.dims)
        mode = settings.get("mode", "exact")
        told["grid"] = f"{sizes} points" + (", interpolated" if mode == "adaptive" else "")
        told["made by"] = f"landscape {facts['landscape']}" if "landscape" in facts else ""
        rows.append(told)
    return {key: text for key, text in gathered(results, rows).items() if text}


def common(results: Sequence[Result]) -> str:
    """Conditions of all results; where they differ, each with the networks of which it is true."""
    return " · ".join(filter(None, gathered(results, [_known(r) for r in results]).values()))


def gathered(results: Sequence[Result], rows: Sequence[dict[str, str]]) -> dict[str, str]:
    """Make one text a key of what is known of each result."""
    names = style.names(results)
    told: dict[str, str] = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        where: dict[str, list[str]] = {}
        for name, row in zip(names, rows, strict=True):
            where.setdefault(row.get(key, ""), []).append(name)
        if len(where) == 1:
            told[key] = next(iter(where))
        else:
            parts = [f"{text or f'{key} unknown'} ({', '.join(of)})" for text, of in where.items()]
            told[key] = " / ".join(parts)
    return told


def _known(result: Result) -> dict[str, str]:
    settings = json.loads(result.attrs.get("settings", "{}"))
    facts = json.loads(result.attrs.get("facts", "{}"))
    told = {}
    if "points" in settings:  # of a slice the axis says which part of the loss it is
        told["directions"] = _directions(settings)
    else:
        told["loss"] = _matrix(settings) + _loss(settings)
    if "augment" in facts:
        kind = facts["augment"]
        told["augmentation"] = "clean" if kind == "none" else f"{kind} augmentation"
    if "batchnorm" in settings:
        told["BatchNorm"] = f"BatchNorm {settings['batchnorm']}"
    told["images"] = _images(facts)
    if "sizes" not in settings:  # they are on an axis then
        told["batch"] = _batch(facts)
    if "parameters" in settings:
        told["parameters"] = f"parameters {settings['parameters'] or 'all'}"
    told["weights"] = _weights(str(facts.get("weights", "")))
    return told


def _directions(settings: dict[str, Any]) -> str:
    kind = settings.get("directions", "filter")
    return f"random directions by {kind}" if isinstance(kind, str) else "given directions"


def _matrix(settings: dict[str, Any]) -> str:
    return {"ggn": "GGN of ", "residual": "H − GGN of "}.get(settings.get("matrix", ""), "")


def _loss(settings: dict[str, Any]) -> str:
    decay = settings.get("weight_decay")
    name = str(settings.get("loss", "cross_entropy")).partition("(")[0].rpartition(".")[2]
    terms = decay if isinstance(decay, list) else [decay] if decay else []
    return " + ".join(["NLL" if name == "cross_entropy" else name, *map(_term, terms)])


def _term(penalty: float | str) -> str:
    """Read a number, which is L2 on all, or ``FORM(LAMBDA, WHAT)``."""
    text = penalty if isinstance(penalty, str) else f"L2({penalty:g}, all)"
    found = re.fullmatch(r"(\w+)\(([^,()]+), ([^,()]+)\)", text)
    if not found or found[1] not in _TERMS:
        return text
    return f"{_TERMS[found[1]]} (λ = {found[2]} on {_ON.get(found[3], found[3])})"


def _images(facts: dict[str, Any]) -> str:
    count = facts.get("examples")
    return f"{count} {facts['split']} images" if count and "split" in facts else ""


def _batch(facts: dict[str, Any]) -> str:
    """Of how many: no more than there are."""
    size = facts.get("batch_size")
    return f"batch {min(size, facts.get('examples', size))}" if size else ""


def _weights(file: str) -> str:
    """Which checkpoint of the zoo, or which other weights."""
    if not file:
        return ""
    named = {"random": "random weights (untrained)", "published": "published weights"}
    found = _ZOO.fullmatch(file)
    if not found:
        return named.get(file, f"weights {file}")
    weak, seed, stage = found.groups()
    told = ["weak recipe"] * bool(weak) + [f"seed {seed}"] * (seed != "0")
    return _STAGES[stage] + (f" ({', '.join(told)})" if told else "")
