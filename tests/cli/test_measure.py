"""The analyzers from the command line: which files they write, and what is in them."""

import json
from pathlib import Path

import pytest

import landscape
from landscape_cli.commands.demo import CHEAP
from landscape_cli.verdicts import called

ANALYZERS = ("fourier", "hessian", "surface", "variance")
PNG = b"\x89PNG"


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_a_folder_gets_a_result_and_a_figure(results, analyzer):
    result = landscape.load(results / "resnet_s@deadleaves-random" / f"{analyzer}.nc")
    assert {key: result.attrs[key] for key in ("analyzer", "model", "family", "data")} == {
        "analyzer": analyzer,
        "model": "resnet_s",
        "family": "conv",
        "data": "deadleaves",
    }
    figure = results / "figures" / f"{analyzer}.resnet_s@deadleaves-random.png"
    assert figure.read_bytes().startswith(PNG)


def test_nothing_else_is_left(results):
    files = [path for path in results.rglob("*") if path.is_file()]
    assert sorted(path.suffix for path in files) == [".nc"] * 4 + [".png"] * 4


@pytest.mark.parametrize("analyzer", ANALYZERS)
def test_the_same_command_gives_the_same_bytes(measure, results, tmp_path, analyzer):
    answer = measure(analyzer, "-o", tmp_path)
    assert answer.status == 0
    for path in answer.paths:
        assert path.read_bytes() == (results / path.relative_to(tmp_path)).read_bytes()


def test_printed_paths_are_the_files(measure, tmp_path):
    answer = measure("fourier", "-o", tmp_path / "deep" / "er", models=["resnet_s", "vit_s"])
    folder = tmp_path / "deep" / "er"
    assert answer.paths == [
        folder / "resnet_s@deadleaves-random" / "fourier.nc",
        folder / "vit_s@deadleaves-random" / "fourier.nc",
        folder / "figures" / "fourier.png",
    ]
    assert all(path.is_file() for path in answer.paths)


def test_a_file_and_the_figure_beside_it(measure, tmp_path):
    answer = measure("variance", "-o", tmp_path / "a.nc")
    assert answer.paths == [tmp_path / "a.nc", tmp_path / "a.png"]
    assert sorted(tmp_path.iterdir()) == answer.paths


def test_a_file_for_each_of_several(measure, tmp_path):
    answer = measure("variance", "-o", tmp_path / "a.nc", models=["resnet_s", "vit_s"])
    names = ["a.resnet_s.nc", "a.vit_s.nc", "a.png"]
    assert answer.paths == [tmp_path / name for name in names]
    assert landscape.load(tmp_path / "a.vit_s.nc").attrs["model"] == "vit_s"


def test_no_figure(measure, tmp_path):
    answer = measure("variance", "--no-figure", "-o", tmp_path / "a.nc")
    assert answer.paths == list(tmp_path.iterdir()) == [tmp_path / "a.nc"]


def test_the_default_folder(measure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert measure("variance").paths[0] == Path("results/resnet_s@deadleaves-random/variance.nc")


def test_options_reach_the_analyzer(measure, tmp_path):
    options = ["--k", "1", "--weight-decay", "0.5", "--tol", "0.1", "--max-products", "7"]
    answer = measure("hessian", *options, "--no-whole", "--seed", "3", "-o", tmp_path / "a.nc")
    result = landscape.load(answer.paths[0])
    settings = json.loads(result.attrs["settings"])
    chosen = {"k": 1, "weight_decay": 0.5, "tol": 0.1, "max_products": 7, "whole": False, "seed": 3}
    assert chosen.items() <= settings.items()
    assert result.sizes == {"batch": 2, "rank": 1}
    assert "set_eigenvalue" not in result
    facts = json.loads(result.attrs["facts"])
    expected = {"augment": "none", "split": "train", "examples": 4, "weights": "random"}
    assert expected.items() <= facts.items()


def test_the_seed_changes_the_answer(measure, results, tmp_path):
    answer = measure("variance", "--seed", "1", "--no-figure", "-o", tmp_path / "a.nc")
    before = landscape.load(results / "resnet_s@deadleaves-random" / "variance.nc")
    assert not landscape.load(answer.paths[0])["variance"].equals(before["variance"])


def test_all_images_of_an_archive(cli, archive, tmp_path):
    args = ["-m", "resnet_s", "--weights", "random", "--limit", "all", "--data"]
    answer = cli("variance", *args, f"npz:{archive(3)}", "-o", tmp_path / "a.nc")
    assert answer.status == 0  # three classes do not matter where labels do not
    assert json.loads(landscape.load(answer.paths[0]).attrs["facts"])["examples"] == 12


def test_a_bar_on_a_terminal_stays_off_stdout(measure, tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    answer = measure("surface", "--no-figure", "-o", tmp_path / "a.nc")
    assert answer.paths == [tmp_path / "a.nc"]
    assert "Surface" in answer.err
    assert "2/2" in answer.err


def test_the_demo_draws_three_networks_with_every_analyzer(cli, tmp_path):
    answer = cli("demo", "--quick", "-o", tmp_path)
    assert answer.status == 0
    pictures = [tmp_path / "figures" / f"{analyzer}.png" for analyzer in ANALYZERS]
    verdicts = answer.paths[-4]
    assert verdicts == tmp_path / "quick" / f"{called(CHEAP)}@deadleaves.html"
    assert sorted(path for path in answer.paths[:-4] if path.suffix == ".png") == pictures
    assert len(answer.paths[:-4]) == 4 * 4
    assert "no basis for a verdict" in verdicts.read_text()
    assert str(verdicts) in answer.err
    assert all(path.is_file() for path in answer.paths)
    assert all(str(picture) in answer.err for picture in pictures)
    facts = json.loads(landscape.load(tmp_path / "vit_s@deadleaves" / "hessian.nc").attrs["facts"])
    assert facts["augment"] == "deit"
