"""`landscape reconcile`."""

import json

import pytest
import xarray as xr

NETWORK = """
import torch, landscape

def made(seed):
    torch.manual_seed(seed)
    layers = torch.nn.Conv2d(3, 4, 8, stride=8), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(64, 10))

def card(seed):
    return landscape.Card(name=f"net{seed}", family="conv", build=lambda: made(seed), size=32,
        pretrained=lambda: made(seed).state_dict(), mean=(0.5,) * 3, std=(0.25,) * 3, source="here")

def one(): return card(1)
def two(): return card(2)
"""


@pytest.mark.slow
def test_networks_of_ones_own_are_compared_by_the_choices_they_have(tmp_path, cli):
    (tmp_path / "net.py").write_text(NETWORK)
    specs = [f"{tmp_path / 'net.py'}:{name}" for name in ("one", "two")]
    out = tmp_path / "out"
    answer = cli("reconcile", *specs, "--data", "deadleaves", "--quick", "-o", out)
    assert answer.status == 0, answer.err
    assert answer.out.split() == [str(out / "reconcile.nc"), str(out / "figures" / "reconcile.png")]
    with xr.open_dataset(out / "reconcile.nc") as found:
        assert found.sizes["checkpoint"] == found.sizes["recipe"] == 1
        assert found.sizes["batchnorm"] == found.sizes["data"] == 2
        assert json.loads(found.attrs["settings"])["quick"] is True
    told = answer.err.splitlines()
    total = told[0].split()[0]
    assert told[0] == f"{total} of {total} results are to be measured"
    assert told[1].startswith("[1 of ")
    assert any(line.startswith(f"[2 of {total}, about ") and " s left] " in line for line in told)
    before = (out / "reconcile.nc").read_bytes()
    again = cli("reconcile", *specs, "--data", "deadleaves", "--quick", "-o", out)
    assert again.err == f"0 of {total} results are to be measured\n"
    assert (out / "reconcile.nc").read_bytes() == before
