"""Noise from the command line: in units of the pixels of the network's own preprocessing."""

import json

import numpy as np

import landscape


def test_pixels_are_those_of_the_network_and_the_heat_map_is_drawn(cli, tmp_path):
    path = tmp_path / "a.nc"
    few = ["--limit", "4", "--strength", "0.1", "--strength", "0.3", "--bands", "2", "--heat", "3"]
    answer = cli("robustness", "-m", "resnet_s", "--weights", "random", *few, "-o", path)
    assert answer.status == 0, answer.err
    result = landscape.load(path)
    settings, facts = (json.loads(result.attrs[key]) for key in ("settings", "facts"))
    assert settings["mean"] == facts["preprocessing"]["mean"]
    assert settings["std"] == facts["preprocessing"]["std"]
    assert settings["bands"] == 2
    assert result.strength.values.tolist() == [0.1, 0.3]
    assert np.allclose(result.noise_rms.T, result.strength, rtol=1e-6)
    assert result.outside.notnull().all()
    assert answer.paths == [path, tmp_path / "a.png", tmp_path / "a.heat.png"]
    assert cli("plot", path, "--view", "heat", "-o", tmp_path / "b.png").status == 0
    assert answer.paths[2].read_bytes() == (tmp_path / "b.png").read_bytes()


def test_settings_that_cannot_be_are_one_line(cli, tmp_path):
    answer = cli("robustness", "-m", "resnet_s", "--weights", "random", "--limit", "2",
                 "--norm", "paper", "--bands", "3", "-o", tmp_path / "a.nc")  # fmt: skip
    assert answer.status == 2
    assert "bands of its own" in answer.err
