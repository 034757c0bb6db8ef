import matplotlib as mpl
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from landscape.plots import style


def named(model, family="", **attrs):
    return xr.Dataset(attrs={"analyzer": "demo", "model": model, "family": family, **attrs})


def test_colours_are_those_of_okabe_and_ito_for_ever():
    assert style.FAMILY_COLOURS == {
        "conv": "#0072B2",
        "msa": "#D55E00",
        "hybrid": "#009E73",
        "mlp": "#CC79A7",
    }
    for kind in ("conv", "msa", "mlp"):
        assert style.KIND_COLOURS[kind] == style.FAMILY_COLOURS[kind]
    assert {"stem", "pool"} < set(style.KIND_COLOURS)
    assert style.KIND_COLOURS["dwconv"] == style.KIND_COLOURS["conv"]  # and another marker
    assert len(set(style.KIND_COLOURS.values())) == len(style.KIND_COLOURS) - 1
    assert len(set(style.KIND_MARKERS.values())) == len(style.KIND_MARKERS)
    assert set(style.KIND_MARKERS) == set(style.KIND_COLOURS)


@pytest.mark.parametrize("attrs", [{}, {"family": ""}, {"family": "spiking"}])
def test_unknown_family_is_a_neutral_grey(attrs):
    r, g, b = to_rgb(style.colour(xr.Dataset(attrs=attrs)))
    assert r == g == b


def test_results_of_one_family_differ_by_line_and_marker_only():
    looks = style.looks([named("a", "conv"), named("b", "msa"), named("c", "conv")])
    assert looks[0]["color"] == looks[2]["color"] != looks[1]["color"]
    assert looks[0]["linestyle"] == looks[1]["linestyle"] != looks[2]["linestyle"]
    assert looks[0]["marker"] != looks[2]["marker"]


def test_label_reads_the_attributes_and_breaks_long_ones():
    attrs = {"long_name": "log amplitude relative to that of the mean", "units": "nats"}
    text = style.label(xr.DataArray(0.0, attrs=attrs), "at the end")
    assert text.replace("\n", " ") == f"{attrs['long_name']} at the end [nats]"
    assert max(map(len, text.split("\n"))) <= 32
    assert style.label(xr.DataArray(0.0, name="bare")) == "bare"


def test_names_tell_namesakes_apart_by_what_differs():
    runs = [named("vit", facts=f'{{"sha256": "{"0" * 64}", "stage": "{s}"}}') for s in ("a", "b")]
    assert style.names([*runs, named("resnet")]) == ["vit, stage a", "vit, stage b", "resnet"]
    decays = [named("vit", settings=f'{{"seed": 0, "weight_decay": {w}}}') for w in (0, 0.05)]
    assert style.names(decays) == ["vit, weight_decay 0", "vit, weight_decay 0.05"]
    assert style.names([named(""), xr.Dataset()]) == ["unnamed model (1)", "unnamed model (2)"]


@pytest.mark.parametrize("width", [style.SINGLE_COLUMN, style.DOUBLE_COLUMN])
def test_paper_has_legible_letters_and_leaves_no_trace(width):
    before = mpl.rcParams.copy()
    with style.paper(width):
        sizes = [v for k, v in mpl.rcParams.items() if k.endswith(("labelsize", "titlesize"))]
        assert min(v for v in sizes if isinstance(v, int | float)) >= 7
        assert mpl.rcParams["font.size"] >= 7
        assert mpl.rcParams["figure.figsize"][0] == width
    assert mpl.rcParams.copy() == before


def test_require_names_what_is_missing():
    with pytest.raises(ValueError, match="demo result has no nll, l2"):
        style.require(named("a"), "nll", "l2")
