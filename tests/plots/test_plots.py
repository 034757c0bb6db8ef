import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape.plots import figure, plot

FOLDER = Path(import_module("landscape.plots").__file__).parent
DRAWN = sorted(p.stem for p in FOLDER.glob("[!_]*.py") if p.stem != "style")


def variance(model="resnet_s", family="conv", taps=6, **attrs):
    """A result as the analyzer makes it: two grids, a stem and convolutions."""
    coords = {
        "tap": ("tap", [f"stages.{i}:out" for i in range(taps)], "tap"),
        "depth": ("tap", np.linspace(0, 1, taps), "depth"),
        "kind": ("tap", ["stem"] + ["conv"] * (taps - 1), "kind of operation"),
        "grid": ("tap", ["32x32"] * (taps // 2) + ["16x16"] * (taps - taps // 2), "grid"),
    }
    variables = {
        f"{name}{suffix}": ("tap", scale * np.linspace(0.1, 0.3, taps), name)
        for name in ("variance", "normalised_variance")
        for suffix, scale in (("", 1), ("_se", 0.05))
    }

    def labelled(parts):
        attrs = {k: {"long_name": name, "units": "1"} for k, (_, _, name) in parts.items()}
        return {k: (dim, values, attrs[k]) for k, (dim, values, _) in parts.items()}

    known = {"analyzer": "variance", "settings": "{}", "facts": "{}"}
    labels = {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(labelled(variables), labelled(coords), known | labels | attrs)


@pytest.mark.parametrize("analyzer", ["lesion", "style", "__init__", ""])
def test_unknown_analyzer_is_refused_and_the_choices_are_named(analyzer):
    result = xr.Dataset(attrs={"analyzer": analyzer})
    for draw in (plot, figure):
        with pytest.raises(ValueError, match=f"'{analyzer}'.*Choices: {', '.join(DRAWN)}$"):
            draw(result)


def test_result_of_no_analyzer_is_refused():
    with pytest.raises(ValueError, match="Choices"):
        plot(xr.Dataset())


@pytest.mark.parametrize("name", DRAWN)
def test_files_keep_the_contract(name):
    draw = import_module(f"landscape.plots.{name}").plot
    parameters = list(inspect.signature(draw).parameters.values())
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == ["result"]
    assert inspect.signature(draw).parameters["ax"].default is None
    assert parameters[-1].kind is inspect.Parameter.VAR_KEYWORD


def test_import_needs_neither_torch_nor_pyplot_and_changes_no_settings():
    code = (
        "import sys, matplotlib, landscape; before = matplotlib.rcParams.copy()\n"
        f"for name in {DRAWN}: __import__('landscape.plots.' + name)\n"
        "landscape.plot, landscape.figure; assert matplotlib.rcParams.copy() == before\n"
        "print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_plot_draws_on_the_given_axes_or_on_the_current_ones():
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mine = Figure().subplots()
    assert plot(variance(), ax=mine) is mine
    assert plt.get_fignums() == []
    current = plt.figure().subplots()
    try:
        assert plot(variance()) is current
    finally:
        plt.close("all")


def test_figure_is_unknown_to_pyplot_and_leaves_the_settings_alone():
    import matplotlib.pyplot as plt

    before = mpl.rcParams.copy()
    fig = figure([variance(), variance("vit_s", "msa")])
    fig.draw_without_rendering()
    assert plt.get_fignums() == []
    assert mpl.rcParams.copy() == before


def test_figure_of_one_result_fits_a_column_and_of_several_the_page():
    alone = figure(variance())
    assert alone.get_size_inches()[0] == 3.4
    assert [ax.get_title() for ax in alone.axes] == ["resnet_s"]
    assert figure([variance()]).get_size_inches() == pytest.approx(alone.get_size_inches())
    assert figure([variance(), variance("vit_s")]).get_size_inches()[0] == 7.0
    assert figure(variance(), width=5).get_size_inches()[0] == 5


@pytest.mark.parametrize(
    ("count", "width", "shape"),
    [(3, None, (1, 3)), (4, None, (2, 2)), (5, None, (2, 3)), (2, 3.4, (2, 1))],
)
def test_panels_wrap_to_what_can_be_read(count, width, shape):
    fig = figure([variance() for _ in range(count)], width=width)
    assert len(fig.axes) == count
    assert fig.axes[0].get_gridspec().get_geometry() == shape
    assert [ax.get_title() for ax in fig.axes] == [f"resnet_s ({i + 1})" for i in range(count)]


def test_no_letter_of_a_figure_is_smaller_than_seven_points():
    fig = figure([variance(), variance("vit_s", "msa"), variance("alternet_s", "hybrid")])
    fig.draw_without_rendering()
    texts = [t for t in fig.findobj(Text) if t.get_text() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 7


def test_the_legend_of_panels_names_every_kind_once():
    vit = variance("vit_s", "msa")
    vit["kind"] = vit["kind"].copy(data=["stem", "msa", "mlp", "msa", "mlp", "pool"])
    fig = figure([variance(), vit])
    found = [text.get_text() for legend in fig.legends for text in legend.get_texts()]
    assert sorted(found) == ["MLP", "MSA", "conv", "pool", "stem"]
    assert all(ax.get_legend() is None for ax in fig.axes)


def test_figure_refuses_nothing_mixtures_and_no_width():
    with pytest.raises(ValueError, match="no results"):
        figure([])
    with pytest.raises(ValueError, match="fourier, variance"):
        figure([variance(), xr.Dataset(attrs={"analyzer": "fourier"})])
    with pytest.raises(ValueError, match="width must be positive"):
        figure(variance(), width=0)
    with pytest.raises(ValueError, match="variance result has no variance"):
        figure(variance().drop_vars("variance"))


def test_unlabelled_results_are_drawn():
    bare = variance()
    for key in ("model", "family", "data"):
        del bare.attrs[key]
    fig = figure([bare, variance(model="", family="")])
    fig.draw_without_rendering()
    assert [ax.get_title() for ax in fig.axes] == ["unnamed model (1)", "unnamed model (2)"]
