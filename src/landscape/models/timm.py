"""``timm:NAME``: the networks of timm and, on request, their published weights."""

import dataclasses
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.models.card import Card
from landscape.models.download import announce
from landscape.models.family import family_of


def card(rest: str) -> Card:
    """Card of a timm network such as ``vit_tiny_patch16_224`` or ``resnet18.a1_in1k``.

    Preprocessing is that of its published weights at the size of their training, as far as a
    resize and a central crop go.
    """
    import timm

    try:
        known = bool(rest) and timm.is_model(rest)
        config = timm.get_pretrained_cfg(rest) if known else None
    except RuntimeError:  # the network is known, the tag after the dot is not
        known = False
    if not known:
        raise ValueError(f"timm has no network '{rest}'; nearest: {', '.join(_near(rest))}")

    def build() -> nn.Module:
        return timm.create_model(rest, pretrained=False)

    facts: dict[str, Any] = dataclasses.asdict(config) if config else {}
    published = bool(facts.get("hf_hub_id") or facts.get("url"))
    name = ".".join(part for part in (facts.get("architecture"), facts.get("tag")) if part) or rest
    return Card(
        name=f"timm:{rest}",
        family=family_of(build),
        build=build,
        source=f"timm {timm.__version__}, {name}",
        pretrained=(lambda: _pretrained(rest, facts)) if published else None,
        data="imagenet" if facts.get("num_classes") == 1000 else facts.get("tag") or "",
        size=facts["input_size"][-1] if facts else None,
        mean=facts.get("mean"),
        std=facts.get("std"),
        interpolation=facts.get("interpolation", "bicubic"),
        crop=facts.get("crop_pct", 1.0),
        weight_decay=0.0,
        licence=facts.get("license") or "unknown",
        offline=published and _cached(facts) is not None,
        urls=(_url(facts),) if published else (),
    )


def _near(name: str) -> list[str]:
    import timm

    network, _, tag = name.partition(".")
    tagged = timm.list_pretrained(f"{network}.*") if tag else []
    names = timm.list_models()
    near = get_close_matches(name, tagged, n=3, cutoff=0)
    return near or get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]


def _cached(facts: dict[str, Any]) -> Path | None:
    """Look for the weights in the cache of huggingface_hub."""
    from huggingface_hub import try_to_load_from_cache

    if facts.get("hf_hub_id"):
        repository, _, revision = facts["hf_hub_id"].partition("@")
        names = [facts.get("hf_hub_filename"), "model.safetensors", "pytorch_model.bin"]
        for name in filter(None, names):
            found = try_to_load_from_cache(repository, name, revision=revision or None)
            if isinstance(found, str):
                return Path(found)
    return None


def _url(facts: dict[str, Any]) -> str:
    if not facts.get("hf_hub_id"):
        return facts["url"]
    from huggingface_hub import hf_hub_url

    repository, _, revision = facts["hf_hub_id"].partition("@")
    file = facts.get("hf_hub_filename") or "model.safetensors"
    return hf_hub_url(repository, file, revision=revision or None)


def _pretrained(name: str, facts: dict[str, Any]) -> dict[str, Tensor]:
    import timm

    cached = _cached(facts)
    if cached is not None:
        overlay = {"file": str(cached)}
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay).state_dict()
    url, folder = _url(facts), f"{torch.hub.get_dir()}/checkpoints"
    if facts.get("hf_hub_id"):
        from huggingface_hub import constants

        folder = constants.HF_HUB_CACHE
    announce(f"the weights of timm:{name}", url, folder)
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # of httpx, huggingface_hub, urllib or timm
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OSError(
            f"the weights of timm:{name} could not be fetched from {url}: {line}"
        ) from error
