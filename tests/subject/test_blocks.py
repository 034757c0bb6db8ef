import pytest
import torch
import torchvision
from torch import nn

from landscape.models.alternet import AlterNet
from landscape.models.resnet import ResNet
from landscape.models.vit import ViT
from landscape.subject.blocks import blocks
from landscape.subject.objective import Objective

NETWORKS = {"resnet_s": ResNet, "vit_s": ViT, "alternet_s": AlterNet}


@pytest.fixture(params=sorted(NETWORKS))
def published(request):
    return NETWORKS[request.param]()


@pytest.mark.parametrize("keys", [{}, {"depth": 1}, {"depth": 9}, {"by": "kind"}], ids=str)
def test_every_parameter_is_in_one_group(published, network, keys):
    for net in (published, network):
        names = [name for group in blocks(net, **keys).values() for name in group]
        assert sorted(names) == sorted(Objective(net, []).parameters())


def test_blocks_are_those_of_the_architecture():
    stages = {"resnet_s": (3, 3, 3), "alternet_s": (3, 3, 4)}
    for name, counts in stages.items():
        found = list(blocks(NETWORKS[name]()))
        want = [f"stages.{s}.{b}" for s, count in enumerate(counts) for b in range(count)]
        assert found[0] == "stem"
        assert [f for f in found if f.startswith("stages")] == want
        assert found[-1] == "head"
    tables = ["cls_token", "pos_embed", "patch_embed"]
    assert list(blocks(ViT())) == [*tables, *(f"blocks.{i}" for i in range(6)), "norm", "head"]


def test_depth_counts_parts_of_the_name():
    net = ResNet(blocks=(1, 1), widths=(3, 4))
    assert list(blocks(net, depth=1)) == ["stem", "stages", "head"]
    two = ["stem.0", "stem.1", "stages.0", "stages.1", "head"]
    assert list(blocks(net, depth=2)) == two
    assert "stages.1.0.shortcut.0" in blocks(net, depth=9)


def test_kinds_of_the_three_families():
    sizes = {}
    for name, build in NETWORKS.items():
        net = build()
        shapes = {n: p.numel() for n, p in net.named_parameters()}
        sizes[name] = {k: sum(shapes[n] for n in v) for k, v in blocks(net, by="kind").items()}
    assert set(sizes["resnet_s"]) == {"stem", "conv", "norm", "head"}
    assert set(sizes["vit_s"]) == {"stem", "msa", "mlp", "norm", "head"}
    assert set(sizes["alternet_s"]) == {"stem", "conv", "msa", "norm", "head"}
    assert sizes["vit_s"]["stem"] == 48 * 96 + 96 + 96 + 65 * 96
    assert sizes["vit_s"]["msa"] == 6 * (96 * 288 + 288 + 96 * 96 + 96)
    assert sizes["vit_s"]["mlp"] == 6 * (2 * 4 * 96 * 96 + 5 * 96)
    assert sizes["vit_s"]["norm"] == 13 * 2 * 96
    assert sizes["vit_s"]["head"] == sizes["vit_s"]["norm"] // 26 * 10 + 10
    assert sizes["resnet_s"]["stem"] == 27 * 16
    kinds = blocks(AlterNet(), by="kind")
    assert "stages.1.2.attn.bias" in kinds["msa"]
    assert "stages.1.2.reduce.weight" in kinds["conv"]


def test_kinds_of_networks_by_others():
    with torch.device("meta"):
        vit = torchvision.models.vit_b_16()
        swin = torchvision.models.swin_t()
    kinds = blocks(vit, by="kind")
    assert set(kinds) == {"stem", "norm", "msa", "mlp", "head"}
    assert "encoder.pos_embedding" in kinds["stem"]
    assert "encoder.layers.encoder_layer_0.self_attention.in_proj_weight" in kinds["msa"]
    assert kinds["head"] == ("heads.head.weight", "heads.head.bias")
    kinds = blocks(swin, by="kind")
    assert "features.1.0.attn.relative_position_bias_table" in kinds["msa"]
    assert "features.2.reduction.weight" in kinds["mlp"]


def test_only_what_is_trainable_and_bad_choices():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    net[0].requires_grad_(False)
    assert blocks(net) == {"2": ("2.weight", "2.bias")}
    with pytest.raises(ValueError, match="by is one of module, kind, not 'layer'"):
        blocks(net, by="layer")
    for keys in ({"depth": 0}, {"by": "kind", "depth": 2}):
        with pytest.raises(ValueError, match="depth counts parts"):
            blocks(net, **keys)


def test_a_layer_with_a_frozen_weight_keeps_its_bias_apart():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    net[0].weight.requires_grad_(False)
    net[2].weight.requires_grad_(False)
    found = blocks(net, by="kind")
    assert found == {"stem": ("0.bias",), "mlp": ("1.weight", "1.bias"), "head": ("2.bias",)}
