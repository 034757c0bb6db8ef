"""``torchvision:NAME[.WEIGHTS]``: the classifiers of torchvision and their published weights."""

import inspect
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.models.card import Card
from landscape.models.download import announce
from landscape.models.family import family_of


def card(rest: str) -> Card:
    """Card of a torchvision classifier such as ``swin_t`` or ``resnet50.IMAGENET1K_V1``.

    The weights after the dot, else its default ones; preprocessing is theirs.
    """
    from torchvision import __version__, models

    names = models.list_models(module=models)
    name, _, tag = rest.partition(".")
    if name not in names:
        near = get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
        raise ValueError(f"torchvision has no classifier '{name}'; nearest: {', '.join(near)}")
    known = models.get_model_weights(name)
    if tag not in ("", *known.__members__):
        choices = ", ".join(weights.name for weights in known)
        raise ValueError(f"torchvision has no weights '{tag}' of {name}; choose {choices}")
    weights = known[tag or "DEFAULT"]
    options = _options(models.get_model_builder(name))

    def build() -> nn.Module:
        return models.get_model(name, weights=None, **options)

    def pretrained() -> dict[str, Tensor]:
        file = _file(weights)
        if not file.exists():
            announce(f"the weights of torchvision:{rest}", weights.url, file.parent)
        state = models.get_model(name, weights=weights).state_dict()
        # without the auxiliary classifiers of the two Inception networks, used in training alone
        return {key: value for key, value in state.items() if "aux" not in key.lower()}

    preset = weights.transforms()
    return Card(
        name=f"torchvision:{rest}",
        family=family_of(build),
        build=build,
        source=f"torchvision {__version__}, {weights}; {weights.meta['recipe']}",
        pretrained=pretrained,
        data="imagenet" if len(weights.meta["categories"]) == 1000 else "",
        size=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
        crop=preset.crop_size[0] / preset.resize_size[0],
        weight_decay=0.0,
        licence=weights.meta.get("license", "BSD-3-Clause"),
        offline=_file(weights).exists(),
        urls=(weights.url,),
    )


def _options(builder: Any) -> dict[str, bool]:
    """Ask for what the two Inception networks silently switch on or off for their weights."""
    made = inspect.signature(builder).return_annotation
    if "transform_input" in inspect.signature(made).parameters:
        return {"transform_input": True, "aux_logits": False, "init_weights": True}
    return {}


def _file(weights: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
