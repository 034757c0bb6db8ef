"""Help, defaults, and what the command line must not import."""

import dataclasses
import inspect
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import click
import pytest

import landscape
import landscape_cli
from landscape.datasets.augment import POLICIES
from landscape.numerics.spectrum2d import Axis
from landscape.study import prepare
from landscape.zoo.recipe import Recipe

COMMANDS = sorted(
    path.stem for path in (Path(landscape_cli.__file__).parent / "commands").glob("[!_]*.py")
)
ANALYZERS = sorted(
    path.stem for path in (Path(landscape.__file__).parent / "analyzers").glob("[!_]*.py")
)
# mean, deviation and labels of cues are those of the case, the twins are made by --inits
NOT_ASKED = ("taps", "loss", "progress", "mean", "std", "twins", "cue_labels")
HEAVY = {"torch", "xarray", "matplotlib", "numpy", "rich", "timm"}


def command(name: str) -> click.Command:
    return import_module(f"landscape_cli.commands.{name}").command


def defaults(name: str) -> dict[str, object]:
    return {p.name: p.default for p in command(name).params if isinstance(p, click.Option)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(cli, name):
    answer = cli(name, "--help")
    assert answer.status == 0
    assert f"Example:\n    landscape {name}" in answer.out
    undocumented = [
        p.name for p in command(name).params if isinstance(p, click.Option) and not p.help
    ]
    assert not undocumented


def test_the_group_lists_every_command_and_analyzer(cli):
    listed = cli("--help").out.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.strip().splitlines()] == COMMANDS
    assert set(ANALYZERS) <= set(COMMANDS)


@pytest.mark.parametrize("args", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(args):
    code = f"import sys; from landscape_cli.main import main; main({args}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())


def test_version(cli):
    assert cli("--version").out.split() == ["landscape", version("vision-landscape")]


def test_no_command_shows_the_help(cli):
    answer = cli()
    assert answer.status == 2
    assert "Commands:" in answer.err


def test_an_unknown_command_names_the_nearest(cli):
    answer = cli("forier")
    assert answer.status == 2
    assert "nearest: fourier" in answer.err


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_defaults_are_those_of_the_analyzer(analyzer):
    function = getattr(landscape, analyzer)
    api = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in NOT_ASKED
    }
    assert {name: defaults(analyzer).get(name) for name in api} == api


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_defaults_are_those_of_prepare(analyzer):
    parameters = inspect.signature(prepare).parameters
    for name in ("data", "augment", "seed"):
        assert defaults(analyzer)[name] == parameters[name].default
    assert command(analyzer).make_context("", ["-m", "x"]).params["weights"] is None


def test_choices_are_those_of_the_library():
    options = {p.name: p for p in command("fourier").params}
    assert tuple(options["augment"].type.choices) == POLICIES
    assert set(options["axis"].type.choices) == set(get_args(Axis))


def test_defaults_of_train_are_those_of_the_recipe():
    recipe = {f.name: f.default for f in dataclasses.fields(Recipe)}
    shared = defaults("train").keys() & recipe.keys()
    assert {"epochs", "warmup", "lr", "batch_size", "weight_decay", "seed"} <= shared
    assert {name: defaults("train")[name] for name in shared} == {n: recipe[n] for n in shared}
