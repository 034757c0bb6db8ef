"""`landscape plot`: views, and pages."""

import subprocess
import sys

import landscape


def stored(results, analyzer):
    return results / "resnet_s@deadleaves-random" / f"{analyzer}.nc"


def test_a_page_is_written_where_html_is_asked_for(cli, results, tmp_path):
    path = stored(results, "surface")
    for name in ("a.html", "b.html"):
        answer = cli("plot", path, path, "-o", tmp_path / name)
        assert (answer.status, answer.paths) == (0, [tmp_path / name])
    text = (tmp_path / "a.html").read_text("utf-8")
    assert text == landscape.page([landscape.load(path)] * 2)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_page_needs_no_torch(results, tmp_path):
    args = ["plot", str(stored(results, "surface")), "-o", str(tmp_path / "a.html")]
    code = (
        "import sys; from landscape_cli.main import main; "
        f"assert main({args}) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_one_option_chooses_the_view_of_every_analyzer(cli, results, tmp_path):
    for analyzer, views in (("surface", ("contour", "3d")), ("fourier", ("spectra", "depth"))):
        drawn = set()
        for view in views:
            path = tmp_path / f"{analyzer}.{view}.png"
            assert cli("plot", stored(results, analyzer), "--view", view, "-o", path).status == 0
            drawn.add(path.read_bytes())
        assert len(drawn) == 2


def test_the_quantity_of_a_surface_is_chosen(cli, results, tmp_path):
    path, drawn = stored(results, "surface"), set()
    for number, options in enumerate(
        ([], ["--quantity", "loss"], ["--quantity", "l2"], ["--quantity", "loss", "--relief"])
    ):
        out = tmp_path / f"{number}.png"
        assert cli("plot", path, *options, "-o", out).status == 0
        drawn.add(out.read_bytes())
    assert len(drawn) == 4
    assert cli("plot", path, "--quantity", "l2", "-o", tmp_path / "a.html").status == 0
    assert '"quantity":"l2"' in (tmp_path / "a.html").read_text("utf-8")


def test_wrong_views_and_pages_that_are_not_are_told_in_one_line(cli, results, tmp_path):
    for analyzer, args, words in (
        ("surface", ["--view", "flat", "-o", "a.png"], "unknown view 'flat'. Choices: contour, 3d"),
        ("surface", ["--view", "flat", "-o", "a.html"], "Choices: contour, 3d"),
        ("fourier", ["--view", "3d", "-o", "a.png"], "Choices: spectra, depth"),
        ("variance", ["--view", "3d", "-o", "a.png"], "variance has only one"),
        ("variance", ["--relief", "-o", "a.png"], "variance have no choice of relief"),
        ("surface", ["--quantity", "x", "-o", "a.png"], "unknown quantity 'x'. Choices: nll, l2"),
        ("surface", ["--quantity", "x", "-o", "a.html"], "no 'x' in common; choose nll"),
        ("fourier", ["-o", "a.html"], "results of fourier have no page; draw them as .png"),
    ):
        *options, name = args
        answer = cli("plot", stored(results, analyzer), *options, tmp_path / name)
        assert answer.status == 2
        assert words in answer.err
        assert answer.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_without_plotly_a_page_says_what_to_install(cli, results, tmp_path, monkeypatch):
    for name in ("plotly", "plotly.offline"):
        monkeypatch.setitem(sys.modules, name, None)
    answer = cli("plot", stored(results, "surface"), "-o", tmp_path / "a.html")
    assert answer.status == 2
    assert answer.err == (
        "Error: a page needs plotly, which is not installed here: pip install plotly\n"
    )


def test_a_measurement_is_not_written_as_a_page(measure, tmp_path):
    answer = measure("surface", "-o", tmp_path / "a.html")
    assert answer.status == 2
    assert "cannot write a result as" in answer.err
    assert not list(tmp_path.iterdir())
