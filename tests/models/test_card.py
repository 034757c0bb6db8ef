from dataclasses import FrozenInstanceError

import pytest
import torch

from landscape.models.card import FOLDER, cards, find


def test_every_card_builds_a_network_for_its_size():
    for name, card in cards().items():
        assert card.name == name
        with torch.no_grad():
            out = card.build().eval()(torch.zeros(1, 3, card.size, card.size))
        assert out.ndim == 2
        assert torch.isfinite(out).all()


def test_files_without_cards_are_passed_over():
    assert {p.stem for p in FOLDER.glob("*.py")} > {"weights", "family", "download", "card"}
    assert {"resnet_s", "vit_s", "alternet_s", "efficientnet_lite0"} <= set(cards())


def test_cards_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        find("vit_s").name = "other"


def test_an_unknown_name_gets_the_nearest_and_the_schemes():
    with pytest.raises(ValueError, match="unknown model 'vits'; nearest: vit_s") as caught:
        find("vits")
    for scheme in ("hub:NAME", "timm:NAME", "torchvision:NAME", "path/to/file.py:function"):
        assert scheme in str(caught.value)
    assert "weights:NAME" not in str(caught.value)
    with pytest.raises(ValueError, match="unknown model 'weights:x'"):
        find("weights:x")
    assert "\n" not in str(caught.value)
