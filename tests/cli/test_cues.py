"""Cues from the command line: what images show comes from the data set, if it tells."""

import json

import pytest

import landscape


@pytest.mark.parametrize(
    ("data", "pairs"), [("deadleaves:conflict", 4), ("deadleaves", 4), ("npz", 1)]
)
def test_cues_are_those_that_the_data_knows(cli, archive, tmp_path, data, pairs):
    data = f"npz:{archive(10)}" if data == "npz" else data
    path = tmp_path / "a.nc"
    answer = cli(
        "cues", "-m", "vit_s", "--weights", "random", "--limit", "8", "-d", data, "-o", path
    )
    assert answer.status == 0, answer.err
    result = landscape.load(path)
    assert result.sizes["conflict"] == pairs
    settings, facts = (json.loads(result.attrs[key]) for key in ("settings", "facts"))
    assert settings["mean"] == facts["preprocessing"]["mean"]
    assert answer.paths[1].stat().st_size > 10_000


def test_mixed_images_show_no_single_class(cli, tmp_path):
    path = tmp_path / "a.nc"
    few = ["--weights", "random", "--limit", "8", "--augment", "deit", "--no-figure"]
    assert cli("cues", "-m", "vit_s", *few, "-o", path).status == 0
    assert landscape.load(path).conflict.values.tolist() == ["phase/amplitude"]
