import pytest
import torch
from torch import nn

from landscape.models.card import Card, cards
from landscape.models.family import family

TIMM = {
    "resnet18": "conv",
    "convnext_tiny": "conv",
    "tf_efficientnet_lite0": "conv",
    "convmixer_768_32": "conv",
    "vit_tiny_patch16_224": "msa",
    "swin_tiny_patch4_window7_224": "msa",
    "levit_128s": "msa",  # its convolutions all stand in the stem
    "cait_xxs24_224": "msa",
    "eva02_tiny_patch14_224": "msa",
    "maxvit_tiny_tf_224": "hybrid",
    "mobilevit_s": "hybrid",
    "coatnet_nano_rw_224": "hybrid",
    "vit_large_r50_s32_224": "hybrid",  # a ResNet stands in front of its first block
    "mixer_s16_224": "mlp",
    "resmlp_12_224": "mlp",
}
TORCHVISION = {
    "resnet18": "conv",
    "googlenet": "conv",
    "vit_b_16": "msa",
    "swin_t": "msa",
    "maxvit_t": "hybrid",
}


@pytest.mark.parametrize(("name", "expected"), TIMM.items())
def test_networks_of_timm(name, expected):
    import timm

    with torch.device("meta"):
        assert family(timm.create_model(name)) == expected


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(("name", "expected"), TORCHVISION.items())
def test_networks_of_torchvision(name, expected):
    from torchvision.models import get_model

    with torch.device("meta"):
        assert family(get_model(name)) == expected


def test_the_cards_of_this_package_say_the_same():
    for card in cards():
        if isinstance(card, Card):
            assert family(card.build()) == card.family, card.name


def test_small_networks():
    patch, strided = nn.Conv2d(3, 8, 4, 4), nn.Conv2d(3, 8, 3, 2)
    attention = nn.MultiheadAttention(8, 2)
    assert family(nn.Sequential(nn.Flatten(), nn.Linear(12, 3))) == "mlp"
    assert family(nn.Sequential(patch, nn.Flatten(), nn.Linear(8, 3))) == "mlp"
    assert family(nn.Sequential(strided, nn.Flatten(), nn.Linear(8, 3))) == "conv"
    assert family(nn.Sequential(patch, attention)) == "msa"
    assert family(nn.Sequential(strided, attention)) == "msa"
    assert family(nn.Sequential(patch, nn.Conv2d(8, 8, 3), attention)) == "hybrid"
    assert family(nn.Sequential(patch, nn.Conv2d(8, 8, 1), attention)) == "msa"
