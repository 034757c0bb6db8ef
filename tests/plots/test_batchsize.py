import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from landscape.plots import batchsize, figure, style


def sizes_of(model="vit_s", family="msa", intercept=10.0, slope=40.0, p=0.6, scale=1.0):
    """A line with means on it, and the whole set of 128 a little beside it."""
    size, inverse = np.array([4, 8, 16, 32]), np.linspace(0, 0.25, 41)
    ranks = scale / np.array([1.0, 2.0])

    def line(x, shift=0.0):
        return ranks[:, None] * (intercept + shift + slope * x)

    ends = {"": 0.0, "_se": 1.0, "_low": -2.0, "_high": 2.0}
    variables = {
        "eigenvalue": (("size", "batch", "rank"), np.ones((4, 32, 2)), "Hessian eigenvalue"),
        "mean": (("size", "rank"), line(1 / size).T, "mean"),
        "mean_se": (("size", "rank"), np.abs(0.1 * line(1 / size).T), "standard error"),
        "curvature_p": ("rank", np.full(2, p), "p-value"),
        "set_eigenvalue": ("rank", line(np.array([1 / 128]), 0.3)[:, 0], "whole set"),
        "set_extrapolated": ("rank", line(np.array([1 / 128]))[:, 0], "line there"),
        "set_examples": ((), 128, "images"),
    }
    for end, shift in ends.items():
        variables[f"line{end}"] = (("rank", "inverse"), line(inverse, shift), "line")
        variables[f"intercept{end}"] = ("rank", ranks * (intercept + shift), "intercept")
    coords = {
        "size": ("size", size, "batch size"),
        "rank": ("rank", [1, 2], "rank"),
        "inverse": ("inverse", inverse, "1 / batch size"),
    }

    def labelled(parts):
        return {k: (d, v, {"long_name": n, "units": "1"}) for k, (d, v, n) in parts.items()}

    attrs = {"analyzer": "batchsize", "settings": '{"sizes": null}', "facts": "{}"}
    attrs |= {"model": model, "family": family, "data": "deadleaves"}
    return xr.Dataset(labelled(variables), labelled(coords), attrs)


def new():
    return Figure().subplots()


def drawn(ax, gid):
    """Without the caps of the error bars, which have no line and no colour of their own."""
    return [line for line in ax.lines if line.get_gid() == gid and line.get_marker() != "_"]


def test_means_line_and_whole_set_stand_where_they_belong():
    result = sizes_of()
    ax = batchsize.plot(result, ax=new())
    (means,), (line,), (whole,) = (drawn(ax, gid) for gid in ("means", "line", "set"))
    np.testing.assert_allclose(means.get_xdata(), 1 / result["size"])
    np.testing.assert_allclose(means.get_ydata(), result["mean"][:, 0])
    assert line.get_xdata()[0] == 0
    assert line.get_ydata()[0] == pytest.approx(10)
    assert whole.get_xdata() == [1 / 128]
    assert whole.get_ydata() == [result["set_eigenvalue"][0]]
    assert whole.get_markerfacecolor() == "white"
    assert [c.get_gid() for c in ax.collections][-1] == "band"
    bare = batchsize.plot(result, ax=new(), band=False)
    assert "band" not in [c.get_gid() for c in bare.collections]


def test_the_legend_never_tells_a_number_without_its_checks():
    def text(**options):
        return batchsize.plot(sizes_of(**options), ax=new()).get_legend().get_texts()[0].get_text()

    lines = [
        "vit_s: 10 [8, 12] at 1/B = 0",
        "B = 128: line 10.3, measured 10.6; curvature p = 0.6",
    ]
    assert text() == "\n".join(lines)
    assert text(p=0.01).endswith("curvature p = 0.01, dotted")
    assert text(p=np.nan).endswith("curvature untested")


def test_a_line_that_bends_is_dotted():
    for p, dashes in ((0.6, "-"), (0.01, ":"), (np.nan, "-")):
        (line,) = drawn(batchsize.plot(sizes_of(p=p), ax=new()), "line")
        assert line.get_linestyle() == dashes


def test_ticks_are_batch_sizes_and_do_not_crowd():
    ax = batchsize.plot(sizes_of(), ax=new())
    ax.figure.draw_without_rendering()
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["0", "1/32", "1/16", "1/8", "1/4"]
    other = sizes_of("resnet_s", "conv")
    other = other.assign_coords(size=("size", [2, 64, 128, 256], other["size"].attrs))
    batchsize.plot(other, ax=ax)
    ax.figure.draw_without_rendering()
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert labels == ["0", "1/16", "1/8", "1/4", "1/2"]


def test_rank_chooses_and_is_named():
    ax = batchsize.plot(sizes_of(), ax=new(), rank=2)
    assert drawn(ax, "line")[0].get_ydata()[0] == pytest.approx(5)
    assert ax.get_ylabel() == "Hessian eigenvalue of rank 2"
    with pytest.raises(ValueError, match="rank must be between 1 and 2, got 3"):
        batchsize.plot(sizes_of(), ax=new(), rank=3)
    with pytest.raises(ValueError, match="has no line_low"):
        batchsize.plot(sizes_of().drop_vars("line_low"), ax=new())


def test_several_models_share_axes_in_their_colours():
    results = [sizes_of(), sizes_of("resnet_s", "conv"), sizes_of("vit_m", "msa")]
    fig = figure(results)
    fig.draw_without_rendering()
    (ax,) = fig.axes
    colours = [to_hex(line.get_color()).upper() for line in drawn(ax, "line")]
    families = style.FAMILY_COLOURS
    assert colours == [families["msa"], families["conv"], families["msa"]]
    assert drawn(ax, "line")[0].get_linestyle() != drawn(ax, "line")[2].get_linestyle()
    texts = [text.get_text() for legend in fig.legends for text in legend.get_texts()]
    assert [t.split(":")[0] for t in texts] == ["vit_s", "resnet_s", "vit_m", "all images at once"]
    assert ax.get_yscale() == "linear"


def test_the_axis_is_logarithmic_only_for_models_far_apart_and_above_zero():
    far = [sizes_of(), sizes_of("resnet_s", "conv", scale=50)]
    assert figure(far).axes[0].get_yscale() == "log"
    assert figure([far[0], sizes_of(intercept=-3)]).axes[0].get_yscale() == "linear"
    assert figure(far, log=False).axes[0].get_yscale() == "linear"
