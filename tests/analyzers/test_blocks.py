"""Blocks are the diagonal blocks of the dense Hessian, and obey what is known of them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.analyzers._groups import depths, groups
from landscape.subject.objective import Objective

SURE = {"probes": 6, "tol": 1e-8}


@pytest.fixture
def little():
    """Some 70 parameters, so that as many probes are soon drawn."""
    net = nn.Sequential(nn.Conv2d(3, 1, 4, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(4, 3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for value in net.double().parameters():
            value.data.normal_(std=0.3)
    return net


@pytest.fixture
def dense(matrix_of):
    """The dense matrix, and the name of the parameter of each row."""

    def find(model, batches, **options):
        params = {n: p for n, p in model.named_parameters() if p.requires_grad}
        owner = np.repeat(list(params), [p.numel() for p in params.values()])
        return matrix_of(model, batches, **options).numpy(), owner

    return find


@pytest.mark.parametrize(("by", "matrix"), [("kind", "hessian"), ("module", "residual")])
def test_spectra_are_those_of_the_dense_diagonal_blocks(network, batches, by, matrix, dense):
    whole, owner = dense(network, batches, matrix=matrix)
    found = landscape.blocks(network, batches, by=by, matrix=matrix, k=2, **SURE)
    scale = np.abs(whole).max()
    for block, names in groups(network, by).items():
        rows = np.isin(owner, names)
        true = whole[np.ix_(rows, rows)]
        one = found.sel(block=block)
        assert int(one.parameters) == rows.sum()
        values = np.linalg.eigvalsh(true)
        top = values[np.argsort(-np.abs(values))][: min(2, len(values))]
        there = one.eigenvalue.values[: len(top)]
        # magnitudes, as those of a pair +- may come in any order
        np.testing.assert_allclose(np.abs(there), np.abs(top), atol=1e-6 * scale)
        assert np.abs(values[:, None] - there).min(0).max() < 1e-6 * scale
        assert np.isnan(one.eigenvalue.values[len(top) :]).all()
        for name, value in (("trace", np.trace(true)), ("frobenius", (true**2).sum())):
            error = 5 * float(one[f"{name}_se"]) + 1e-8
            assert abs(float(one[name]) - value) < error, (block, name)
        assert float(one.trace_per_parameter) == pytest.approx(float(one.trace) / rows.sum())
    assert abs(float(found.network_trace) - np.trace(whole)) < 5 * float(found.network_trace_se)


def test_with_enough_probes_traces_and_shares_are_exact(little, batches, dense):
    net = little
    whole, owner = dense(net, batches)
    found = landscape.blocks(net, batches, k=1, probes=whole.shape[0])
    sizes = {}
    for block, names in groups(net, "kind").items():
        rows = np.isin(owner, names)
        true = whole[np.ix_(rows, rows)]
        sizes[block] = (true**2).sum() / (whole**2).sum()
        assert float(found.trace.sel(block=block)) == pytest.approx(np.trace(true), abs=1e-8)
        assert float(found.share.sel(block=block)) == pytest.approx(sizes[block], rel=1e-6)
    assert float(found.trace.sum()) == pytest.approx(float(found.network_trace), abs=1e-8)
    assert float(found.between) == pytest.approx(1 - sum(sizes.values()), rel=1e-6)
    assert float(found.between_se) < 1e-6


def test_no_block_has_a_value_beyond_those_of_the_whole(network, batches):
    for by in ("kind", "module", r"^(\w+)"):
        found = landscape.blocks(network, batches, by=by, k=3, **SURE)
        beyond = np.abs(found.eigenvalue) - np.abs(found.network_eigenvalue)
        assert float(beyond.max()) < 1e-6 * float(np.abs(found.network_eigenvalue).max())
        largest = float(found.network_eigenvalue.max())
        assert float(found.eigenvalue.max()) < largest * (1 + 1e-6)


@pytest.mark.parametrize("by", ["kind", "module", r"\.(weight)$", r"^(\w+)\.|bias"])
def test_every_trainable_parameter_is_in_one_block(network, by):
    list(network.parameters())[-1].requires_grad_(False)
    names = [name for names in groups(network, by).values() for name in names]
    assert sorted(names) == sorted(Objective(network, []).parameters())


def test_depthwise_convolutions_are_a_kind():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3), nn.Flatten()
    ).append(nn.Linear(16, 2))
    found = groups(net, "kind")
    assert found["dwconv"] == ("1.weight", "1.bias")
    assert found["conv"] == ("2.weight", "2.bias")


def test_depth_follows_the_forward_pass_and_not_the_order_of_definition():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)
            self.body = nn.Linear(4, 4)
            self.stem = nn.Linear(2, 4)
            self.start = nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return self.head(self.body(self.stem(x + self.start)))

    net, x = Backwards(), torch.randn(4, 2)
    found = depths(net, x, groups(net, "module"))
    assert found == pytest.approx({"start": 0, "stem": 1 / 3, "body": 2 / 3, "head": 1})
    y = torch.tensor([0, 1, 2, 0])
    blocks = landscape.blocks(net, [(x, y)], by="module", k=1, probes=2).block
    assert blocks.values.tolist() == ["start", "stem", "body", "head"]


def test_weight_decay_shifts_every_block_and_its_trace(little, batches):
    net = little
    plain = landscape.blocks(net, batches, k=1, probes=999, tol=1e-8)
    shifted = landscape.blocks(net, batches, k=1, probes=999, tol=1e-8, weight_decay=0.5)
    positive = plain.eigenvalue > 0
    assert positive.any()
    moved = (shifted.eigenvalue - plain.eigenvalue).where(positive)
    np.testing.assert_allclose(moved.values[positive.values], 0.5, atol=1e-6)
    np.testing.assert_allclose(shifted.trace_per_parameter - plain.trace_per_parameter, 0.5)


def test_gauss_newton_blocks_have_no_negatives(network, batches):
    found = landscape.blocks(network, batches, by="module", k=2, probes=2, matrix="ggn")
    assert float(found.eigenvalue.min()) > -1e-9
    assert json.loads(found.attrs["selfcheck"])["symmetry"] < 1e-10


def test_blocks_of_an_uncoupled_network_hold_everything():
    """Two linear parts that never meet in a product: a null for what lies between."""

    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)

        def forward(self, x):
            return torch.cat([self.one(x[:, :2]), self.two(x[:, 2:])], 1)

    x, y = torch.randn(9, 4, dtype=torch.float64), torch.zeros(9)
    square = lambda outputs, targets: outputs.square().sum(1)  # noqa: E731
    found = landscape.blocks(Apart().double(), [(x, y)], by="module", loss=square)
    assert abs(float(found.between)) < 1e-9
    assert float(found.share.sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "layer"}, "by is kind, module or a regular expression with one group.*'layer'"),
        ({"by": "(a)(b)"}, "which has 2"),
        ({"by": "("}, r"got '\('"),
        ({"by": "(tail)"}, r"no trainable parameter matches '\(tail\)'"),
        ({"k": 0}, "k must be between 1"),
        ({"probes": 1}, "at least 2"),
    ],
)
def test_bad_settings_are_refused(build, batches, settings, message):
    with pytest.raises(ValueError, match=message):
        landscape.blocks(build("msa"), batches, **settings)
