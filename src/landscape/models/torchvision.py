"""``torchvision:NAME``: the classifiers of torchvision and, on request, their default weights."""

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
    """Card of a torchvision classifier such as ``resnet50`` or ``swin_t``.

    Preprocessing is that of its default weights.
    """
    from torchvision import __version__, models

    names = models.list_models(module=models)
    if rest not in names:
        near = get_close_matches(rest, names, n=3, cutoff=0.3) or names[:3]
        raise ValueError(f"torchvision has no classifier '{rest}'; nearest: {', '.join(near)}")
    default = models.get_model_weights(rest).DEFAULT
    options = _options(models.get_model_builder(rest))

    def build() -> nn.Module:
        return models.get_model(rest, weights=None, **options)

    def pretrained() -> dict[str, Tensor]:
        file = _file(default)
        if not file.exists():
            announce(f"the weights of torchvision:{rest}", default.url, file.parent)
        state = models.get_model(rest, weights=default).state_dict()
        # without the auxiliary classifiers of the two Inception networks, used in training alone
        return {name: value for name, value in state.items() if "aux" not in name.lower()}

    preset = default.transforms()
    return Card(
        name=f"torchvision:{rest}",
        family=family_of(build),
        build=build,
        source=f"torchvision {__version__}, {default}; {default.meta['recipe']}",
        pretrained=pretrained,
        data="imagenet" if len(default.meta["categories"]) == 1000 else "",
        size=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
        crop=preset.crop_size[0] / preset.resize_size[0],
        weight_decay=0.0,
        licence=default.meta.get("license", "BSD-3-Clause"),
        offline=_file(default).exists(),
    )


def _options(builder: Any) -> dict[str, bool]:
    """Ask for what the two Inception networks silently switch on or off for their weights."""
    made = inspect.signature(builder).return_annotation
    if "transform_input" in inspect.signature(made).parameters:
        return {"transform_input": True, "aux_logits": False, "init_weights": True}
    return {}


def _file(weights: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
