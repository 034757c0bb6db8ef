"""Which weight decay is part of the loss: its form, and on what."""

import json
from importlib import import_module
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import landscape
import landscape_cli
from landscape.subject.penalty import L2, Decayed, Form, NormSum, matrices

COMMANDS = sorted(p.stem for p in (Path(landscape_cli.__file__).parent / "commands").glob("*.py"))


def options(name):
    module = import_module(f"landscape_cli.commands.{name}")
    return {p.name: p for p in module.command.params} if hasattr(module, "command") else {}


def test_every_second_order_command_has_the_switches():
    found = [name for name in COMMANDS if "decay_form" in options(name)]
    assert found == ["batchsize", "blocks", "critical", "density", "hessian", "surface", "trace"]
    for name in found:
        assert tuple(options(name)["decay_form"].type.choices) == get_args(Form)
        assert tuple(options(name)["decayed"].type.choices) == get_args(Decayed)


@pytest.mark.parametrize(
    ("args", "penalty", "stamp"),
    [
        (["--decay-form", "l2", "--decayed", "all"], 0.5, 0.5),
        (["--decayed", "matrices"], L2(0.5, matrices), "L2(0.5, matrices)"),
        (["--decay-form", "norms"], NormSum(0.5), "NormSum(0.5, all)"),
        (
            ["--decay-form", "norms", "--decayed", "matrices"],
            NormSum(0.5, matrices),
            "NormSum(0.5, matrices)",
        ),
    ],
)
def test_the_switches_are_the_penalty_of_the_library(measure, tmp_path, args, penalty, stamp):
    some = ["--weight-decay", "0.5", "--k", "1", "--no-whole", "--tol", "0.1", "--no-figure"]
    first, second = (measure("hessian", *some, *args, "-o", tmp_path / n) for n in ("a.nc", "b.nc"))
    assert first.status == 0
    assert first.paths[0].read_bytes() == second.paths[0].read_bytes()
    found = landscape.load(first.paths[0])
    assert json.loads(found.attrs["settings"])["weight_decay"] == stamp
    shape = {"limit": 4, "batch_size": 2, "split": "train"}
    case = landscape.prepare("resnet_s", weights="random", **shape)
    same = landscape.hessian(
        case.model, case.batches, weight_decay=penalty, k=1, whole=False, tol=0.1
    )
    np.testing.assert_array_equal(found["eigenvalue"], same["eigenvalue"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--decay-form", "norms"], "weight decay is 0, so its form (norms on all) has no effect"),
        (["--decayed", "matrices"], "give a positive weight decay"),
        (["--weight-decay", "-1"], "weight decay must be 0 or a positive number, got -1"),
        (["--weight-decay", "nan", "--decay-form", "norms"], "positive number, got nan"),
        (["--weight-decay", "1", "--decayed", "matrices", "--engine", "pyhessian"], "L2(1, matri"),
    ],
)
def test_bad_decay_is_refused_in_one_line(measure, tmp_path, args, words):
    answer = measure("hessian", *args, "-o", tmp_path / "a.nc")
    assert answer.status == 2
    assert words in answer.err
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("args", [["--decay-form", "l1"], ["--decayed", "biases"]])
def test_unknown_words_are_refused_with_the_choices(measure, args):
    answer = measure("hessian", *args)
    assert answer.status == 2
    assert f"Invalid value for '{args[0]}'" in answer.err
    assert "'matrices'" in answer.err or "'norms'" in answer.err
