"""Controls from the command line: in the same file, by seed, refused where senseless."""

import json

import pytest

import landscape
from landscape.analyzers import fingerprint
from landscape.models.card import find
from landscape.study import twins

BOTH = ["--control", "untrained", "--inits", "2", "--control", "shuffled"]


def test_controls_are_in_the_result_and_in_the_figure(measure, tmp_path):
    answer = measure("variance", *BOTH, "-o", tmp_path / "a.nc", models=["vit_s"])
    assert answer.status == 0, answer.err
    result = landscape.load(answer.paths[0])
    assert result.control.values.tolist() == ["untrained", "shuffled"]
    assert result.control_networks.values.tolist() == [2, 1]
    settings = json.loads(result.attrs["settings"])
    assert settings["twins"] == [fingerprint(twin) for twin in twins(find("vit_s"), 2, 0)]
    assert "twin 2" in answer.err
    assert "shuffled" in answer.err
    assert answer.paths[1].stat().st_size > 10_000
    again = measure("variance", *BOTH, "-o", tmp_path / "b.nc", models=["vit_s"])
    assert answer.paths[0].read_bytes() == again.paths[0].read_bytes()
    plain = landscape.load(measure("variance", "-o", tmp_path / "c.nc", models=["vit_s"]).paths[0])
    assert plain.variance.equals(result.variance)
    assert "control" not in plain.dims


def test_show_and_export_know_controls(measure, cli, tmp_path):
    path = measure("variance", *BOTH, "--no-figure", "-o", tmp_path / "a.nc").paths[0]
    assert "control_normalised_variance" in cli("show", path).out
    assert "shuffled,stages.0.0:in" in cli("export", path, "--csv").out


@pytest.mark.parametrize(
    ("analyzer", "args", "told"),
    [
        ("fourier", ["--control", "uniform"], "'uniform' changes attention, and the network has"),
        ("fourier", ["--control", "blurred"], "'blurred' is not one of 'shuffled'"),
        ("variance", ["--control", "untrained", "--inits", "0"], "at least one twin, got 0"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_and_leaves_nothing(
    measure, tmp_path, analyzer, args, told
):
    answer = measure(analyzer, *args, "-o", tmp_path / "a.nc")
    assert answer.status == 2
    assert told in " ".join(answer.err.split())
    assert not list(tmp_path.iterdir())


def test_images_without_labels_are_no_control_of_accuracy(cli, tmp_path):
    answer = cli("robustness", "-m", "vit_s", "--control", "noise", "-o", tmp_path / "a.nc")
    assert answer.status == 2
    assert "'noise' is not one of 'untrained', 'uniform', 'mean'" in " ".join(answer.err.split())


def test_a_network_that_is_always_built_with_its_weights_has_no_twin(cli, tmp_path):
    file = tmp_path / "net.py"
    file.write_text(
        "import torch\n"
        "def build():\n"
        "    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())\n"
        "    torch.nn.init.ones_(net[0].weight), torch.nn.init.zeros_(net[0].bias)\n"
        "    return net\n"
    )
    args = ["-m", f"{file}:build", "--limit", "4", "--control", "untrained"]
    answer = cli("variance", *args, "-o", tmp_path / "a.nc")
    assert answer.status == 2
    assert "comes with its weights: there is no random twin of it" in answer.err
    assert not list(tmp_path.glob("a.*"))
