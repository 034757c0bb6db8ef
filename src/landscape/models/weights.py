"""Checkpoints: read without running their code, fitted strictly."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

#: under which a training script may keep the state dict
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model")
#: that DataParallel and torch.compile put before every name
PREFIXES = ("module.", "_orig_mod.")


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of a checkpoint by name, and the plain facts stored beside them.

    Parameters
    ----------
    path
        ``.safetensors``, or what ``torch.save`` wrote of plain weights: a state dict, alone or in a
        dictionary. Names lose a prefix that all of them share, such as ``module.``.

    Returns
    -------
    tuple of dict
        The state dict, and strings and numbers stored beside it.

    Raises
    ------
    ValueError
        When the file is truncated, or holds more than plain weights.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"there is no checkpoint {file}")
    if file.suffix == ".safetensors":
        return _safetensors(file)
    return _torch(file)


def fit(model: nn.Module, state: dict[str, Tensor], where: str) -> nn.Module:
    """Load a state dict strictly; every name, shape and value is checked before any is written.

    Parameters
    ----------
    model
        Gets the tensors, cast to its own dtypes.
    state
        Tensors by name.
    where
        What the messages call the checkpoint.

    Examples
    --------
    >>> fit(nn.Linear(2, 1), {"weight": torch.zeros(1, 2), "scale": torch.ones(1)}, "a.pt")
    Traceback (most recent call last):
    ...
    ValueError: a.pt does not fit Linear: 1 missing (bias); 1 unexpected (scale)
    """
    own = model.state_dict()
    # a counter that batch normalisation got in 2018; older checkpoints lack it, nothing reads it
    missing = [k for k in own if k not in state and not k.endswith(".num_batches_tracked")]
    unexpected = [k for k in state if k not in own]
    shapes = [
        f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
        for k in own
        if k in state and state[k].shape != own[k].shape
    ]
    problems = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for names, what in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (shapes, "of another shape"),
        )
        if names
    ]
    if problems:
        raise ValueError(f"{where} does not fit {type(model).__name__}: {'; '.join(problems)}")
    cast = {name: value.to(own[name].dtype) for name, value in state.items()}
    for name, value in cast.items():
        bad = int((~torch.isfinite(value)).sum()) if value.is_floating_point() else 0
        if bad:
            raise ValueError(
                f"{where}: {bad} of {value.numel()} values in '{name}' are NaN or infinite "
                f"(as {value.dtype}); the training run that wrote it diverged, or the file is bad"
            )
    model.load_state_dict(cast, strict=True)
    mode = model.training
    model.train().train(mode)  # drops what some networks derive from their weights in eval mode
    return model


def _safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            # copied, as the file stays mapped otherwise and may change under the network
            state = {name: tensors.get_tensor(name).clone() for name in tensors.keys()}  # noqa: SIM118
            return _stripped(state), dict(tensors.metadata() or {})
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole safetensors file: {error}") from error


def _torch(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(file) or "GLOBAL" in str(error):
            raise ValueError(
                f"{file} holds more than plain weights, which would run its code; save the "
                "state dict alone: torch.save(model.state_dict(), path)"
            ) from error
        raise ValueError(f"{file} is not a checkpoint of torch.save or is truncated") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{file} is truncated or no checkpoint: {reason}") from error
    facts: dict[str, Any] = {}
    for _ in WRAPPERS:
        if not isinstance(content, dict):
            break
        inner = next((k for k in WRAPPERS if isinstance(content.get(k), dict)), None)
        if inner is None:
            break
        facts |= {k: v for k, v in content.items() if isinstance(v, (str, int, float, bool))}
        content = content[inner]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{file} holds no state dict but a {type(content).__name__}")
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        raise ValueError(
            f"{file} holds no state dict: {len(odd)} of its entries are no tensors "
            f"({', '.join(odd[:3])}); it may be under another name than {', '.join(WRAPPERS)}"
        )
    return _stripped(dict(content)), facts


def _stripped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
