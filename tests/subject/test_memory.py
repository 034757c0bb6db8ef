"""Micro-batches: the same numbers with less memory."""

from dataclasses import replace
from weakref import ref

import pytest
import torch
from torch import nn

from landscape.subject.memory import fit
from landscape.subject.objective import Objective, ravel, unravel
from landscape.subject.penalty import L2


def some(objective, seed=0):
    params = objective.parameters()
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(ravel(params).numel(), generator=generator, dtype=torch.float64)
    return unravel(flat, params)


@pytest.mark.parametrize("size", [1, 2, 3, 99])
def test_micro_batches_give_the_same_numbers(network, batches, size):
    whole = Objective(network, batches, weight_decay=L2(0.1))
    split = replace(whole, microbatch=size)
    params, v = whole.parameters(), some(whole)
    assert torch.allclose(split.value(params), whole.value(params), rtol=1e-14)
    gradient = ravel(whole.gradient(params))
    assert (ravel(split.gradient(params)) - gradient).norm() < 1e-12 * gradient.norm()
    for which in ("hessian", "ggn", "residual"):
        h = ravel(replace(whole, matrix=which).hvp(params, v))
        mine = replace(split, matrix=which)
        assert (ravel(mine.hvp(params, v)) - h).norm() < 1e-12 * h.norm()
        assert (ravel(mine.linearise(params)(v)) - h).norm() < 1e-12 * h.norm()
    assert [len(losses) for losses, _, _ in split.examples(params)] == {
        1: [1] * 7,
        2: [2, 2, 1, 2],
        3: [3, 2, 2],
        99: [5, 2],
    }[size]


def test_sums_of_many_pieces_are_exact_to_the_rounding_of_the_answer(build):
    net = build("msa")
    x, y = torch.randn(1, 3, 8, 8).double().expand(300, -1, -1, -1), torch.zeros(300).long()
    net.float()
    one = Objective(net, [(x[:1].float(), y[:1])])
    many = Objective(net, [(x.float(), y)], microbatch=1)
    params = one.parameters()
    want, got = ravel(one.gradient(params)), ravel(many.gradient(params))
    assert got.dtype == torch.float32
    assert torch.equal(got, want)


def peak(objective):
    """Most bytes that autograd holds at any moment of one product."""
    alive, highest = {}, 0

    def pack(value):
        nonlocal highest
        value = value.detach()
        alive[len(alive)] = ref(value)
        held = (found for each in alive.values() if (found := each()) is not None)
        sizes = {s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in held)}
        highest = max(highest, sum(sizes.values()))
        return value

    params = objective.parameters()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        objective.hvp(params, params)
    return highest


@pytest.mark.parametrize("which", ["hessian", "ggn", "residual"])
def test_one_piece_is_in_memory_at_a_time(which):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 2))
    x, y = torch.randn(640, 4), torch.randint(2, (640,))
    whole = Objective(net, [(x, y)], matrix=which)
    single = peak(replace(whole, batches=[(x[:64], y[:64])]))
    assert peak(replace(whole, microbatch=64)) < 1.1 * single
    assert peak(whole) > 5 * single


def test_measuring_keeps_nothing(build, batches):
    objective = Objective(build("hybrid"), batches, matrix="residual")
    alive = []
    plain = objective.loss

    def loss(outputs, targets):
        alive.append(ref(outputs))
        return plain(outputs, targets)

    watched = replace(objective, loss=loss)
    watched.graph_bytes()
    watched.hvp(watched.parameters(), watched.parameters())
    assert len(alive) == 8
    assert all(each() is None for each in alive)


def test_graphs_grow_with_the_examples(network, batches):
    objective = Objective(network, [(batches[0][0][:4], batches[0][1][:4])])
    one, two, four = (objective.graph_bytes(n) for n in (1, 2, 4))
    assert 0 < one < two
    assert four - two == pytest.approx(2 * (two - one), rel=0.05)
    assert objective.graph_bytes() == four
    twice = replace(objective, batches=list(objective.batches) * 2)
    assert twice.graph_bytes() == pytest.approx(2 * four, rel=0.15)  # weights are kept once


def test_the_largest_micro_batch_that_fits(build):
    x, y = torch.randn(64, 3, 8, 8, dtype=torch.float64), torch.zeros(64, dtype=torch.int64)
    objective = Objective(build("hybrid"), [(x, y), (x[:5], y[:5])])
    assert fit(objective, 1 << 30).microbatch is None
    sizes = [fit(objective, kib << 10).microbatch for kib in (300, 600, 1200)]
    assert 1 <= sizes[0] < sizes[1] < sizes[2] < 64
    for kib, size in zip((300, 600, 1200), sizes, strict=True):
        held = objective.graph_bytes(size)
        assert 0.5 * (kib << 10) < held < kib << 10
    with pytest.raises(ValueError, match="for one example, more than the"):
        fit(objective, 1 << 10)


def test_batch_statistics_cannot_be_split(build, batches):
    objective = Objective(build("conv"), batches, batchnorm="batch")
    with pytest.raises(ValueError, match="cannot be split into micro-batches of 2"):
        replace(objective, microbatch=2)
    with pytest.raises(ValueError, match="cannot be split"):
        fit(objective, 100 << 10)
    assert fit(objective, 1 << 30).microbatch is None
    untracked = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192, track_running_stats=False))
    with pytest.raises(ValueError, match="cannot be split"):
        Objective(untracked, batches, microbatch=2)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Objective(build("msa"), batches, microbatch=0)
