"""The self-test passes here, and a planted fault fails it."""

import json
import math
from importlib import import_module

import pytest
import torch

from landscape import selftest
from landscape.analyzers import _controls
from landscape.numerics import lanczos, power2d, quadrature, response
from landscape.selftest import curvature, responses, spectra
from landscape.subject.attention import average
from landscape.subject.objective import Objective
from landscape.subject.penalty import L2
from landscape.subject.plane import Plane
from landscape.subject.probe import Tap
from landscape.subject.site import Site
from landscape_cli.main import main


@pytest.mark.parametrize("name", selftest.checks())
def test_theory_holds(name):
    [outcome] = selftest.run([name])
    assert outcome.ok, f"{outcome.theory} Off by {outcome.deviation}. {outcome.error}"
    assert outcome.theory.endswith(".")
    assert len(outcome.theory) <= 100


def twice(function):
    def wrong(*args, **kwargs):
        value = function(*args, **kwargs)
        return {n: 2 * v for n, v in value.items()} if isinstance(value, dict) else 2 * value

    return wrong


GATHER, RESPONSES = Site.gather, response._responses
variance = import_module("landscape.analyzers.variance")  # the name alone is the function
VARIANCES = variance._variances
MATRIX = power2d.Plane.__dict__["matrix"]
FAULTS = [
    ("box_blur", spectra, "box", lambda: spectra.Circular(torch.nn.AvgPool2d(3, 1), 2, 2)),
    ("sinusoid", spectra, "frequencies", twice(spectra.frequencies)),
    ("parseval", power2d.Plane, "matrix", property(lambda self: 1.001 * MATRIX.func(self))),
    ("aliasing", Tap, "read", lambda self, maps: maps[..., ::3]),
    ("constant_maps", Tap, "read", lambda self, maps: maps + torch.rand_like(maps)),
    ("wave_variance", variance, "_variances", lambda maps: VARIANCES(maps) * (1 - 1e-3)),
    ("prescribed_spectrum", lanczos, "_wanted", lambda v, w, k: v.abs().argsort()[-8:]),
    ("quadrature", quadrature, "norm", lambda v: float(v.abs().sum())),
    ("density_of_a_network", quadrature, "norm", lambda v: float(v.abs().sum())),
    ("quadratic", curvature, "squared", lambda o, t: ((o[:, 0] - t) ** 2) / 2),
    ("decay_shift", Objective, "penalties", property(lambda self: (L2(2 * self.weight_decay),))),
    ("gradients", Objective, "gradient", twice(Objective.gradient)),
    ("uniform_attention", _controls, "uniform", average),
    ("permutation_attention", response, "by_ring", twice(response.by_ring)),
    ("row_sums", response, "_responses", lambda a, *more: RESPONSES(a.mT, *more)),
    ("attention_of_networks", Site, "gather", lambda self, a: GATHER(self, a).mT),
    ("kernel_and_jacobian", responses, "kernel_power", twice(response.kernel_power)),
    ("quadratic_surface", Plane, "at", lambda self, step: self.origin),
]


@pytest.mark.parametrize(("name", "place", "what", "wrong"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_found(name, place, what, wrong, monkeypatch):
    monkeypatch.setattr(place, what, wrong)
    [outcome] = selftest.run([name])
    assert not outcome.ok
    assert not outcome.error  # it was measured, and it was wrong


def test_every_check_has_a_fault_or_compares_two_ways_of_computing():
    two_ways = {"dense_hessian", "parts", "filtered_power", "heads_as_kernel"}
    assert {name for name, *_ in FAULTS} | two_ways == set(selftest.checks())


@pytest.fixture
def planted(monkeypatch):
    selftest.checks()

    def plant(function, bound=1e-9):
        monkeypatch.setitem(selftest._CHECKS, "planted", (function, bound))

    return plant


def test_no_number_is_no_pass(planted):
    planted(lambda: [0.0, math.nan])
    [outcome] = selftest.run(["planted"])
    assert not outcome.ok


def test_a_check_that_cannot_run_has_failed_and_the_others_go_on(planted):
    def broken():
        """Say nothing."""
        raise RuntimeError("no such kernel")

    planted(broken)
    broken_one, good = selftest.run(["planted", "box_blur"])
    assert (broken_one.ok, broken_one.error) == (False, "RuntimeError: no such kernel")
    assert good.ok


def test_an_unknown_check():
    with pytest.raises(ValueError, match=r"unknown check 'x'; choose .*box_blur"):
        selftest.run(["x"])


def test_the_generator_is_left_alone():
    before = torch.get_rng_state()
    selftest.run(["parseval"])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_command_prints_a_table_and_its_status(capsys, monkeypatch):
    assert main(["selftest", "box_blur", "sinusoid"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        "check",
        "what",
        "theory",
        "says",
        "deviation",
        "bound",
        "ok",
    ]
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["yes", "yes"]
    monkeypatch.setattr(spectra, "box", torch.nn.Identity)
    assert main(["selftest", "box_blur", "sinusoid", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["check"], one["ok"]) for one in found] == [("box_blur", False), ("sinusoid", True)]
    assert main(["selftest", "nonsense"]) == 2
