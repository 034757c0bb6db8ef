"""What decides the answer, in one line under a figure of second-order results."""

import json
from collections.abc import Sequence
from typing import Any

from landscape.result import Result


def conditions(result: Result) -> str:
    """Loss, augmentation, BatchNorm, batch size, parameters and checkpoint, as far as stored.

    Examples
    --------
    >>> settings = {"weight_decay": 0.05, "batchnorm": "eval", "matrix": "hessian"}
    >>> facts = {"augment": "deit", "batch_size": 16, "weights": "vit_s@cifar10-seed1-warmup.x"}
    >>> import xarray as xr
    >>> attrs = {"settings": json.dumps(settings), "facts": json.dumps(facts)}
    >>> conditions(xr.Dataset(attrs=attrs))
    'NLL + L2 (λ = 0.05) · deit augmentation · BatchNorm eval · batch 16 · warm-up weights'
    """
    settings = json.loads(result.attrs.get("settings", "{}"))
    facts = json.loads(result.attrs.get("facts", "{}"))
    told = [_matrix(settings) + _loss(settings)]
    if "augment" in facts:
        told.append({"none": "clean"}.get(facts["augment"], f"{facts['augment']} augmentation"))
    if "batchnorm" in settings:
        told.append(f"BatchNorm {settings['batchnorm']}")
    if "batch_size" in facts and "sizes" not in settings:  # sizes are on an axis then
        told.append(f"batch {facts['batch_size']}")
    if settings.get("parameters"):
        told.append(f"parameters {settings['parameters']}")
    told.append(_stage(str(facts.get("weights", ""))))
    return " · ".join(filter(None, told))


def common(results: Sequence[Result]) -> str:
    """Conditions that all results share, or an empty line: then no one line is true of all."""
    found = {conditions(result) for result in results}
    return found.pop() if len(found) == 1 else ""


def _matrix(settings: dict[str, Any]) -> str:
    return {"ggn": "GGN of ", "residual": "H − GGN of "}.get(settings.get("matrix", ""), "")


def _loss(settings: dict[str, Any]) -> str:
    decay = settings.get("weight_decay")
    name = str(settings.get("loss", "cross_entropy")).rpartition(".")[2]
    loss = "NLL" if name == "cross_entropy" else name
    if not decay:
        return loss
    return f"{loss} + L2 (λ = {decay:g})" if isinstance(decay, int | float) else f"{loss} + {decay}"


def _stage(weights: str) -> str:
    stem = weights.partition(".")[0]
    names = {"initial": "initial weights", "warmup": "warm-up weights", "random": "untrained"}
    return names.get(stem.rpartition("-")[2], "")
