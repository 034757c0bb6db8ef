from dataclasses import FrozenInstanceError

import pytest
import torch

from landscape.models.card import FOLDER, Card, Named, cards, find


def test_every_card_builds_a_network_for_its_size():
    for card in cards():
        if isinstance(card, Named):
            continue  # those are in test_imagenet
        assert card.parameters in (None, sum(p.numel() for p in card.build().parameters()))
        with torch.no_grad():
            out = card.build().eval()(torch.zeros(1, 3, card.size, card.size))
        assert out.ndim == 2
        assert torch.isfinite(out).all()


def test_files_without_cards_are_passed_over():
    assert {p.stem for p in FOLDER.glob("*.py")} > {"weights", "family", "download", "card"}
    assert {"resnet_s", "vit_s", "alternet_s", "efficientnet_lite0"} <= {
        card.name for card in cards()
    }


def test_networks_that_share_a_name_are_for_different_data():
    roles = [(card.name, card.data) for card in cards()]
    assert len(roles) == len(set(roles))


@pytest.mark.parametrize("data", ["", "deadleaves", "cifar10:/path", "folder:imagenet"])
def test_a_role_is_played_by_the_zoo_unless_the_data_say_otherwise(data):
    assert find("vit_s", data) is find("vit_s")
    assert (find("vit_s").size, find("vit_s").data) == (32, "")


def test_one_network_of_a_name_serves_any_data():
    for data in ("", "deadleaves", "imagenet", "imagenet:/path/val"):
        assert find("efficientnet_lite0", data).data == "imagenet"


def test_a_short_name_is_looked_up_and_says_more_than_its_spec():
    named = next(card for card in cards() if card.name == "convnext_t")
    card, plain = find("convnext_t"), find(named.spec)
    assert isinstance(card, Card)
    assert (card.name, card.spec, card.recipe) == ("convnext_t", named.spec, named.recipe)
    assert card.source == f"{named.source}; {plain.source}"
    assert card.parameters == sum(p.numel() for p in card.build().parameters())


def test_cards_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        find("vit_s").name = "other"


def test_an_unknown_name_gets_the_nearest_and_the_schemes():
    with pytest.raises(ValueError, match="unknown model 'vits'; nearest: vit_s, ") as caught:
        find("vits")
    for scheme in ("hub:NAME", "timm:NAME", "torchvision:NAME", "path/to/file.py:function"):
        assert scheme in str(caught.value)
    assert "weights:NAME" not in str(caught.value)
    with pytest.raises(ValueError, match="unknown model 'weights:x'"):
        find("weights:x")
    assert "\n" not in str(caught.value)
