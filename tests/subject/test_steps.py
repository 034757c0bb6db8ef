"""The operations of networks, their skips and blocks; their filters."""

import pytest
import torch
import torchvision
from torch import nn

from landscape.models.alternet import AlterNet
from landscape.models.blurnet import CARDS as BLUR
from landscape.models.resnet import ResNet
from landscape.models.vit import ViT
from landscape.subject.filterings import filterings
from landscape.subject.steps import steps

X = torch.zeros(2, 3, 32, 32)


def test_transformer():
    found = steps(ViT(depth=2).eval(), X)
    assert [(s.level, s.name) for s in found] == [
        ("op", "blocks.0:stem"),
        ("op", "blocks.0:msa"),
        ("op", "blocks.0:mlp"),
        ("op", "blocks.1:msa"),
        ("op", "blocks.1:mlp"),
        ("block", "blocks.0:msa+mlp"),
        ("block", "blocks.1:msa+mlp"),
    ]
    assert all(s.skip == s.source for s in found[1:5])  # identities
    assert [s.block for s in found] == [0, 1, 2, 3, 4, 2, 4]
    assert [s.source.grid for s in found[:2]] == [(32, 32), (8, 8)]


def test_convolutions_with_projections():
    found = steps(ResNet((1, 2), (4, 8)).eval(), X)
    ops = [s for s in found if s.level == "op"]
    assert [s.kind for s in ops] == ["stem", "conv", "conv", "conv"]
    assert ops[1].skip == ops[1].source
    assert ops[2].skip.op == "batch_norm"  # the projection is the skip, the convolutions are not
    assert (ops[2].source.grid, ops[2].end.grid) == ((32, 32), (16, 16))
    blocks = [s for s in found if s.level == "block"]
    assert all(b.end.op == "relu" or b.end.op == "relu_" for b in blocks)


def test_hybrid_has_blocks_of_one_operation():
    found = steps(AlterNet((1, 2), (0, 1), (4, 8), (2, 2)).eval(), X)
    assert [s.kind for s in found if s.level == "block"] == ["conv", "conv", "msa"]


def test_a_published_network_with_multihead_attention():
    net = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5).eval()
    names = [s.kind for s in steps(net, X)]
    assert names == ["stem", "msa", "mlp", "msa+mlp"]


def test_network_without_maps():
    with pytest.raises(ValueError, match="no operation on maps found in Sequential"):
        steps(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)), X)


def test_filters_as_they_are_run():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 1),  # sees one pixel, skips none
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(2, 1),
        nn.AdaptiveAvgPool2d(1),  # leaves no map
    )
    found = filterings(net, X)
    told = [(f.name, f.kind, f.stride, f.dilation, f.grid, f.out) for f in found]
    assert told == [
        ("0", "conv", (2, 2), (1, 1), (32, 32), (16, 16)),
        ("2", "dwconv", (1, 1), (2, 2), (16, 16), (16, 16)),
        ("3", "pool", (2, 2), (1, 1), (16, 16), (8, 8)),
        ("4", "pool", (1, 1), (1, 1), (8, 8), (7, 7)),
    ]
    assert found[2].weight is None
    assert torch.equal(found[3].weight, torch.full((1, 1, 2, 2), 0.25).double())


def test_padding_before_a_filter_does_not_count():
    blurs = [f for f in filterings(BLUR[0].build().eval(), X) if f.kind == "pool"]
    assert [f.grid for f in blurs] == [(32, 32), (16, 16)]
