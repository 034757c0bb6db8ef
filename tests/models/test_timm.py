import pytest
import timm
import torch
from safetensors.torch import save_file

from landscape.models.card import find
from landscape.models.weights import fit


def test_the_card_tells_the_preprocessing_of_the_published_weights():
    card = find("timm:vit_tiny_patch16_224")
    assert (card.name, card.family, card.data) == ("timm:vit_tiny_patch16_224", "msa", "imagenet")
    assert (card.size, card.crop, card.interpolation) == (224, 0.9, "bicubic")
    assert card.mean == card.std == (0.5, 0.5, 0.5)
    assert card.licence == "apache-2.0"
    assert "augreg_in21k_ft_in1k" in card.source
    assert len(card.urls) == 1
    assert card.urls[0].endswith("augreg_in21k_ft_in1k/resolve/main/model.safetensors")
    assert find("timm:resnet50.a1_in1k").size == 224  # its authors also tested at 288
    other = find("timm:test_resnet.r160_in1k")
    assert (other.family, other.size, other.mean) == ("conv", 160, (0.5, 0.5, 0.5))
    with torch.no_grad():
        assert other.build().eval()(torch.zeros(1, 3, 160, 160)).shape == (1, 1000)


def test_building_uses_no_published_weights_and_no_network(offline):
    card = find("timm:test_vit")
    assert not torch.equal(card.build().head.weight, card.build().head.weight)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ValueError, match=r"timm has no network 'resnet_18'; nearest: .*resnet18"):
        find("timm:resnet_18")
    with pytest.raises(ValueError, match=r"no network 'resnet18.zzz'; nearest: resnet18\."):
        find("timm:resnet18.zzz")
    with pytest.raises(ValueError, match="timm has no network ''"):
        find("timm:")


def test_without_a_network_the_weights_fail_in_one_line(offline, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    card = find("timm:test_vit")
    assert not card.offline
    with pytest.raises(OSError, match=r"huggingface.co could not be reached .*--weights") as caught:
        card.pretrained()
    assert "\n" not in str(caught.value)


def test_weights_in_the_cache_need_no_network(offline, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    torch.manual_seed(0)
    net = timm.create_model("test_vit")
    repository = tmp_path / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    save_file(net.state_dict(), snapshot / "model.safetensors")
    card = find("timm:test_vit")
    assert card.offline
    state = card.pretrained()
    assert torch.equal(state["head.weight"], net.head.weight)
    assert torch.equal(fit(card.build(), state, "x").head.weight, net.head.weight)
    assert "downloading" not in capfd.readouterr().err
