"""No analyzer leaves a trace; each repeats bit for bit; each refuses bad input."""

import inspect
import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import landscape
from landscape import result
from landscape.subject.sites import sites

FOLDER = Path(landscape.__file__).parent / "analyzers"
ANALYZERS = sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))
SMALL = {
    "hessian": {"k": 2},
    "surface": {"points": 5},
    "density": {"probes": 3, "steps": 10},
    "blocks": {"k": 1, "probes": 2},
    "batchsize": {"k": 1},
    "critical": {"probes": 1, "steps": 4, "max_products": 20},
    "sharpness": {"radii": (0.1, 0.5), "directions": 3, "m": 3, "steps": 2},
}


OF_ATTENTION = {"ablation"}  # refuse a network that has none


def run(name, model, batches, **kwargs):
    return getattr(landscape, name)(model, batches, **SMALL.get(name, {}), **kwargs)


def state(net):
    def raw(t):
        return None if t is None else t.detach().numpy().tobytes()

    return (
        {n: raw(t) for n, t in net.state_dict().items()},
        [(id(p), p.requires_grad, raw(p.grad)) for p in net.parameters()],
        [(id(m), m.training) for m in net.modules()],
        [(a, list(v)) for m in net.modules() for a, v in vars(m).items() if a.endswith("_hooks")],
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),
        random.getstate(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
    )


@pytest.fixture
def hybrid(build):
    """Convolutions, BatchNorm and attention in one network."""
    return build("hybrid")


def guest(network):
    """In train mode, with gradients and a frozen weight: as a user may bring it."""
    network.train()
    first = next(network.parameters())
    first.grad = torch.ones_like(first)
    list(network.parameters())[-1].requires_grad_(False)
    return network


@pytest.mark.parametrize("name", ANALYZERS)
def test_success_leaves_no_trace(name, network, batches):
    before = state(guest(network))
    attends = bool(sites(network.eval(), batches[0][0])) or name not in OF_ATTENTION
    network.train()
    with nullcontext() if attends else pytest.raises(ValueError, match="the network has none"):
        run(name, network, batches)
    assert state(network) == before


@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ANALYZERS)
def test_an_exception_leaves_no_trace(name, end, hybrid, batches):
    def stop(items, total, label):
        yield from list(items)[:1]
        raise end

    before = state(guest(hybrid))
    with pytest.raises(end):
        run(name, hybrid, batches, progress=stop)
    assert state(hybrid) == before


def test_an_error_over_an_interrupt_is_the_interrupt(build, batches):
    """As of a stack of modes that torch was about to restore."""

    def stop(items, total, label):
        try:
            raise KeyboardInterrupt
        finally:
            raise IndexError("empty stack")

    net = build("conv")
    with pytest.raises(KeyboardInterrupt):
        run("surface", net, batches, progress=stop)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:  # an earlier one is another matter
        with pytest.raises(ValueError, match="points must be"):
            landscape.surface(net, batches, points=0)


@pytest.mark.parametrize("name", ANALYZERS)
def test_results_repeat_bit_for_bit_and_have_a_schema(name, hybrid, batches, tmp_path):
    one, two = run(name, hybrid, batches), run(name, hybrid, batches)
    a, b = result.save(one, tmp_path / "a.nc"), result.save(two, tmp_path / "b.nc")
    assert a.read_bytes() == b.read_bytes()
    xr.testing.assert_identical(result.load(a), one)
    assert one.attrs["analyzer"] == name
    for variable in one.variables.values():
        assert variable.attrs["long_name"]
        assert variable.attrs["units"]


@pytest.mark.parametrize("name", ANALYZERS)
def test_train_mode_and_eval_mode_give_the_same(name, hybrid, batches):
    one = run(name, hybrid, batches)
    two = run(name, hybrid.train(), batches)
    xr.testing.assert_equal(one, two)


@pytest.mark.parametrize("name", ANALYZERS)
def test_bad_input_is_refused(name, build, batches):
    net = build("msa")
    with pytest.raises(TypeError, match="only once"):
        run(name, net, iter(batches))
    with pytest.raises(TypeError, match=r"nn\.Module"):
        run(name, lambda x: x, batches)
    x, y = batches[0]
    with pytest.raises(ValueError, match="inputs of batch 0 hold 1 NaN"):
        bad = x.clone()
        bad[0, 0, 0, 0] = float("nan")
        run(name, net, [(bad, y)])
    net.head.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"'head\.weight' holds 1 NaN"):
        run(name, net, batches)


@pytest.mark.parametrize("name", ANALYZERS)
def test_a_restless_network_is_refused(name, batches):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 3, 3).double()

        def forward(self, x):
            return self.body(x).mean((2, 3)) + torch.randn(len(x), 3)

    with pytest.raises(ValueError, match="asked twice"):
        run(name, Noisy(), batches)


LONG = [n for n in ANALYZERS if "journal" in inspect.signature(getattr(landscape, n)).parameters]


def test_some_analyzers_keep_a_journal():
    assert {"batchsize", "blocks", "density", "hessian", "sharpness", "surface"} <= set(LONG)


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_stopped_run_goes_on_and_ends_in_the_same_bytes(name, after, hybrid, batches, tmp_path):
    whole = result.save(run(name, hybrid, batches), tmp_path / "whole.nc").read_bytes()

    def stop(items, total, label):
        for count, item in enumerate(items):
            if count == after:
                raise KeyboardInterrupt
            yield item

    place = tmp_path / "x.journal"
    with pytest.raises(KeyboardInterrupt):
        run(name, hybrid, batches, journal=place, progress=stop)
    times = {f: f.stat().st_mtime_ns for f in place.glob("*.npz")}
    assert len(times) >= after
    again = run(name, hybrid, batches, journal=place)
    assert result.save(again, tmp_path / "again.nc").read_bytes() == whole
    assert {f: f.stat().st_mtime_ns for f in times} == times  # what was done was not done again


@pytest.mark.parametrize("name", LONG)
def test_a_journal_of_something_else_is_refused(name, hybrid, batches, tmp_path):
    place = tmp_path / "x.journal"
    run(name, hybrid, batches, journal=place)
    with pytest.raises(ValueError, match="begun with other settings"):
        run(name, hybrid, batches, journal=place, seed=1)
    x, y = batches[0]
    with pytest.raises(ValueError, match="begun with other batches"):
        run(name, hybrid, [(x + 1e-12, y), batches[1]], journal=place)
    next(p for p in hybrid.parameters() if p.ndim > 1).data.view(-1)[0] += 1e-9
    with pytest.raises(ValueError, match="begun with other weights"):
        run(name, hybrid, batches, journal=place)
