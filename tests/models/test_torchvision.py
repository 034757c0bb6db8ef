import pytest
import torch
from torchvision.models import get_model

from landscape.models.card import find
from landscape.models.weights import fit


def test_the_card_tells_the_preprocessing_of_the_default_weights():
    card = find("torchvision:resnet50")
    assert (card.family, card.data, card.size) == ("conv", "imagenet", 224)
    assert card.crop == pytest.approx(224 / 232)
    assert card.mean == (0.485, 0.456, 0.406)
    assert card.std == (0.229, 0.224, 0.225)
    assert "IMAGENET1K_V2" in card.source
    assert find("torchvision:swin_t").interpolation == "bicubic"
    assert find("torchvision:vit_b_16").family == "msa"


def test_weights_that_are_not_the_default_stand_after_the_dot():
    card = find("torchvision:resnet50.IMAGENET1K_V1")
    assert (card.name, card.crop) == ("torchvision:resnet50.IMAGENET1K_V1", 0.875)
    assert "IMAGENET1K_V1" in card.source
    assert card.urls == ("https://download.pytorch.org/models/resnet50-0676ba61.pth",)
    assert find("torchvision:resnet50.DEFAULT").urls == find("torchvision:resnet50").urls
    with pytest.raises(ValueError, match=r"no weights 'V3' of resnet50; choose IMAGENET1K_V1, IM"):
        find("torchvision:resnet50.V3")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match=r"no classifier 'resnet5'; nearest: .*resnet50"):
        find("torchvision:resnet5")
    with pytest.raises(ValueError, match="no classifier 'fasterrcnn_resnet50_fpn'"):
        find("torchvision:fasterrcnn_resnet50_fpn")


def test_without_a_network_the_weights_fail_in_one_line(offline, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    card = find("torchvision:resnet18")
    assert not card.offline
    with pytest.raises(OSError, match=r"download.pytorch.org could not be reached for the weights"):
        card.pretrained()


@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", {}),
        ("googlenet", "googlenet-1378be20.pth", {"init_weights": False, "aux_logits": True}),
    ],
)
def test_cached_weights_fit_what_is_built(offline, tmp_path, monkeypatch, name, file, options):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkpoints = tmp_path / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    published = get_model(name, **options)
    torch.save(published.state_dict(), checkpoints / file)
    card = find(f"torchvision:{name}")
    assert card.offline
    net = fit(card.build(), card.pretrained(), name).eval()
    published.eval()
    x = torch.rand(2, 3, 96, 96)
    if name == "googlenet":  # its published weights want another normalisation, switched on here
        assert net.transform_input
        published.transform_input = True
    with torch.no_grad():
        assert torch.allclose(net(x), published(x), atol=1e-6)
