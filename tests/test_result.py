import json
import os
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import xarray as xr

from landscape import result as r
from landscape.journal import discard


@pytest.fixture
def one():
    def attrs(name):
        return {"long_name": name, "units": "1"}

    data = {
        "x": (("tap", "bin"), np.array([[1.0, np.nan], [np.inf, -np.inf]]), attrs("x")),
        "flag": ("tap", np.array([True, False]), attrs("flag")),
        "n": ((), 3, attrs("n")),
    }
    coords = {"tap": ("tap", np.array(["a", "bé"]), attrs("tap"))}
    ds = r.stamp(xr.Dataset(data, coords), "demo", {"seed": 0, "loss": len}, torch="2")
    return r.label(ds, model="m", family="conv", data="d", accuracy=0.5)


def test_a_round_trip_is_identical_and_bytes_repeat(one, tmp_path):
    a, b = r.save(one, tmp_path / "a.nc"), r.save(one, tmp_path / "deep" / "b.nc")
    assert a.read_bytes() == b.read_bytes()
    back = r.load(a)
    xr.testing.assert_identical(back, one)
    assert r.save(back, tmp_path / "c.nc").read_bytes() == a.read_bytes()


def test_settings_and_facts_are_sorted_json(one):
    assert json.loads(one.attrs["settings"]) == {"loss": "builtins.len", "seed": 0}
    facts = json.loads(one.attrs["facts"])
    assert facts["accuracy"] == 0.5
    assert facts["torch"] == "2"
    assert one.attrs["facts"] == json.dumps(facts, sort_keys=True)


def test_json_keeps_what_is_not_finite(one):
    plain = r.to_json(one)
    json.dumps(plain, allow_nan=False)
    assert plain["variables"]["x"]["values"] == [[1.0, "nan"], ["inf", "-inf"]]
    assert plain["variables"]["x"]["dims"] == ["tap", "bin"]
    assert plain["variables"]["n"] == {"dims": [], "values": 3, "long_name": "n", "units": "1"}
    assert plain["coords"]["tap"]["values"] == ["a", "bé"]


def test_csv_has_a_table_for_each_set_of_dimensions(one):
    tables = r.to_csv(one).split("\n\n")
    assert tables[0].splitlines()[0] == "tap,bin,x"
    assert "bé,0,inf" in tables[0]
    assert "a,1" not in tables[0]  # a hole of a ragged table is no row
    assert tables[-1].splitlines() == ["n", "3"]


def test_a_variable_without_labels_is_refused():
    with pytest.raises(ValueError, match="'x' of demo has no long_name and no units"):
        r.stamp(xr.Dataset({"x": ((), 1.0)}), "demo", {})


@pytest.mark.parametrize("cut", [0, 100, -10])
def test_a_damaged_file_is_named(one, tmp_path, cut):
    path = r.save(one, tmp_path / "a.nc")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"a\.nc is not a landscape result"):
        r.load(path)


def test_a_foreign_netcdf_is_refused(tmp_path):
    xr.Dataset({"x": ((), 1.0)}).to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="which analyzer"):
        r.load(tmp_path / "f.nc")
    with pytest.raises(FileNotFoundError):
        r.load(tmp_path / "none.nc")


def test_a_failed_write_leaves_what_was_there(one, tmp_path, monkeypatch):
    path = r.save(one, tmp_path / "a.nc")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(OSError, match="disk full"):
        r.write(path, b"half")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_writability_is_checked_before(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for bad in (tmp_path, file / "below.nc"):
        with pytest.raises(OSError):  # noqa: PT011
            r.check_writable(bad)
    r.check_writable(tmp_path / "new" / "a.nc")
    assert list((tmp_path / "new").iterdir()) == []


class Stiff:
    """A penalty of a user's own, which does not say what it is."""

    def __init__(self, coefficient):
        self.coefficient = coefficient
        self.mask = lambda name: True
        self.extent = np.ones(3)
        self.itself = self

    def value(self, params):
        return self.coefficient * sum(p.double().square().sum() for p in params.values())

    def gradient(self, params):
        return {n: 2 * self.coefficient * p for n, p in params.items()}

    def hvp(self, params, vector):
        return {n: 2 * self.coefficient * v for n, v in vector.items()}


class Scaled:
    """A loss of a user's own."""

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, outputs, targets):
        return self.scale * (outputs[:, 0] - targets) ** 2


@dataclass
class Named:
    size: float
    function: object


def test_what_does_not_say_what_it_is_is_told_without_an_address():
    here = __name__
    told = r.plain(Stiff(0.5))
    start, rest = told.split("(", 1)
    assert start == f"{here}.Stiff"
    assert rest.startswith(f"coefficient=0.5, mask={here}.Stiff.__init__.<locals>.<lambda>, ")
    assert "extent=float64[3] " in rest
    assert "itself=" in rest
    assert r.plain(Named(0.5, r.save)) == "Named(size=0.5, function=save)"
    assert r.plain(Named(0.5, Scaled(2))) == f"Named(size=0.5, function={here}.Scaled)"
    assert r.plain(partial(r.save, path=1)) == "functools.partial(save, path=1)"
    assert r.plain(object()) == "builtins.object"
    assert r.plain(Scaled({"b", "a"})) == f"{here}.Scaled(scale=['a', 'b'])"


def test_a_run_with_terms_of_ones_own_is_made_again_to_the_same_bytes(tmp_path):
    """Others of the same values stand elsewhere in memory."""
    import torch

    import landscape

    net = torch.nn.Linear(2, 1)
    batches = [(torch.eye(2), torch.ones(2)), (-torch.eye(2), torch.ones(2))]
    kept = []

    def run(name, stiff, **settings):
        own = {"loss": Scaled(2.0), "weight_decay": Stiff(stiff)}
        kept.append(own)
        found = landscape.hessian(net, batches, k=1, journal=tmp_path / "j", **own, **settings)
        return r.save(found, tmp_path / name).read_bytes()

    one = run("a.nc", 0.5)
    assert run("b.nc", 0.5) == one
    assert kept[0]["loss"] is not kept[1]["loss"]
    assert b" at 0x" not in one
    with pytest.raises(ValueError, match="begun with other settings"):
        run("c.nc", 0.25)
    discard(tmp_path / "j")
    assert run("c.nc", 0.25) != one
