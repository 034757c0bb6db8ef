"""Commands that read stored results."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import landscape
from landscape.result import to_json

ANALYZERS = ("fourier", "hessian", "surface", "variance")


@pytest.fixture(params=ANALYZERS)
def stored(request, results):
    return results / "resnet_s@deadleaves-random" / f"{request.param}.nc"


def test_json_is_the_result(cli, stored):
    shown = json.loads(cli("show", stored, "--json").out)
    assert shown == to_json(landscape.load(stored))
    assert shown.keys() == {"variables", "coords", "attrs"}
    for entry in [*shown["variables"].values(), *shown["coords"].values()]:
        assert entry.keys() == {"dims", "values", "long_name", "units"}


def test_show_names_model_data_and_values(cli, stored):
    result = landscape.load(stored)
    text = cli("show", stored).out
    assert text.splitlines()[0] == f"{stored.stem} of resnet_s (conv) on deadleaves"
    assert "weights random" in text
    for name, variable in result.data_vars.items():
        if not name.endswith("_se"):
            assert name in text
        if variable.ndim and variable.dtype == float and not name.endswith("_se"):
            assert f"{variable.values.flat[0]:.4g}" in text


def test_show_marks_what_has_not_converged(cli, measure, tmp_path):
    path = tmp_path / "a.nc"
    assert measure("hessian", "--max-products", "3", "--no-whole", "-o", path).status == 0
    result = landscape.load(path)
    assert not result["converged"].any()
    text = cli("show", path).out
    assert f"{result['eigenvalue'].values[0, 0]:.4g}?" in text
    assert "0 of 4" in text


def test_show_tells_nan_from_padding(cli, results, tmp_path):
    result = landscape.load(results / "resnet_s@deadleaves-random" / "fourier.nc")
    result = result[["log_amplitude"]]  # a step between taps of two grids is NaN, and shown
    path = landscape.save(result, tmp_path / "a.nc")
    assert "nan" not in cli("show", path).out
    result["log_amplitude"][0, 0] = np.nan
    landscape.save(result, path)
    assert cli("show", path).out.count("nan") == 1


def test_csv_holds_every_value(cli, stored, tmp_path):
    result = landscape.load(stored)
    text = cli("export", stored, "--csv").out
    answer = cli("export", stored, "--csv", "-o", tmp_path / "a.csv")
    assert answer.paths == [tmp_path / "a.csv"]
    assert answer.paths[0].read_text() == text
    answer.paths[0].write_text(text.split("\n\n")[0])
    frame = pd.read_csv(answer.paths[0])
    dims = max((v.dims for v in result.data_vars.values()), key=len)
    name = next(n for n, v in result.data_vars.items() if v.dims == dims)
    assert set(dims) <= set(frame.columns)
    values = result[name].values.astype(float)
    assert np.array_equal(frame[name].dropna(), values[np.isfinite(values)])


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_plot_is_repeatable_in_every_format(cli, stored, tmp_path, suffix):
    paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        answer = cli("plot", stored, "-o", path)
        assert (answer.status, answer.paths) == (0, [path])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_plot_is_the_figure_of_the_analyzer(cli, results, tmp_path):
    stored = results / "resnet_s@deadleaves-random" / "fourier.nc"
    cli("plot", stored, "-o", tmp_path / "a.png")
    drawn = results / "figures" / "fourier.resnet_s@deadleaves-random.png"
    assert (tmp_path / "a.png").read_bytes() == drawn.read_bytes()


def test_plot_of_several(cli, measure, results, tmp_path):
    path = measure("fourier", "--no-figure", "-o", tmp_path / "v.nc", models=["vit_s"]).paths[0]
    first = results / "resnet_s@deadleaves-random" / "fourier.nc"
    cli("plot", first, path, "-o", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "vit_s" in text
    assert "resnet_s" in text


@pytest.mark.parametrize("command", ["plot", "show", "export"])
def test_stored_results_need_no_torch(results, tmp_path, command):
    args = [command, str(results / "resnet_s@deadleaves-random" / "fourier.nc")]
    args += [] if command == "show" else ["-o", str(tmp_path / "a.png")]
    code = (
        "import sys; from landscape_cli.main import main; "
        f"assert main({args}) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_two_analyzers_make_no_figure(cli, results, tmp_path):
    stored = sorted((results / "resnet_s@deadleaves-random").glob("*.nc"))
    answer = cli("plot", *stored, "-o", tmp_path / "a.png")
    assert answer.status == 2
    assert "one figure shows one analyzer" in answer.err
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_names_the_known(cli, stored, tmp_path):
    answer = cli("plot", stored, "-o", tmp_path / "a.xyz")
    assert answer.status == 2
    assert ".pdf" in answer.err


@pytest.mark.parametrize("command", [["show"], ["export"], ["plot", "-o", "a.png"]])
def test_what_is_no_result(cli, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    absent = cli(*command, "absent.nc")
    assert (absent.status, absent.err) == (2, "Error: absent.nc: no such file\n")
    (tmp_path / "half.nc").write_bytes(b"\x89HDF\r\n")
    half = cli(*command, "half.nc")
    assert half.status == 2
    assert half.err.startswith("Error: half.nc is not a landscape result")
    assert half.err.count("\n") == 1
    xr.Dataset({"x": 1}).to_netcdf("other.nc", engine="h5netcdf")
    assert "does not say which analyzer" in cli(*command, "other.nc").err
