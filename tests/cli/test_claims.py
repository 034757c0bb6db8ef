"""`landscape claims`: list, run, report."""

import json

import pytest

from landscape import claims

NAME = "decay_makes_the_relief"
SMALL = ("--quick", "--seeds", "1", "-m", "resnet_s")


def test_list_names_every_claim_with_its_source(cli):
    answer = cli("claims", "list")
    assert answer.status == 0
    for name in claims.names():
        assert name in answer.out
        assert claims.find(name).title in answer.out
        assert claims.find(name).source in answer.out


@pytest.mark.slow
def test_run_measures_judges_and_goes_on_where_it_was(cli, tmp_path):
    folder = tmp_path / "out"
    first = cli("claims", "run", NAME, *SMALL, "-o", folder)
    assert first.status == 0
    html, twin, table, figure = first.paths
    assert [html, twin, table] == [
        folder / f"{NAME}@deadleaves.{x}" for x in ("html", "json", "nc")
    ]
    assert figure == folder / "figures" / f"{NAME}@deadleaves.png"
    picture = figure.read_bytes()
    assert cli("plot", table, "-o", figure).status == 0
    assert figure.read_bytes() == picture
    assert "1 of 1 results are to be measured" in first.err
    assert "[1 of 1] resnet_s@deadleaves lines" in first.err
    (word,) = [x["verdict"] for x in json.loads(twin.read_text()).values()]
    assert f"{word:14} {NAME}" in first.err
    page = html.read_bytes()
    again = cli("claims", "run", NAME, *SMALL, "-o", folder)
    assert "0 of 1 results" in again.err
    assert html.read_bytes() == page
    html.unlink()
    assert cli("claims", "report", NAME, *SMALL, "-o", folder).status == 0
    assert html.read_bytes() == page
    assert 'href="resnet_s@deadleaves/lines.nc"' in page.decode()


def test_report_measures_nothing(cli, tmp_path):
    answer = cli("claims", "report", "-o", tmp_path)
    assert answer.status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"claims@deadleaves.{suffix}" for suffix in ("html", "json", "nc")
    ]
    words = {
        x["verdict"] for x in json.loads((tmp_path / "claims@deadleaves.json").read_text()).values()
    }
    assert words == {"NOT TESTABLE"}


def test_a_report_on_some_claims_does_not_take_the_place_of_that_on_all(cli, tmp_path):
    two = claims.names()[:2]
    for names, home in (((), "claims"), (two[:1], two[0]), (two, f"{two[0]}+1")):
        path = cli("claims", "report", *names, "-o", tmp_path).paths[0]
        assert path == tmp_path / f"{home}@deadleaves.html"
        assert f"claims run {' '.join(names)}".strip() in path.read_text()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("run", "nonsense"), "unknown claim 'nonsense'. Choices: a"),
        (("report", "-m", "nonsense"), "nonsense"),
        (("run", "--seeds", "0"), "0 is not in the range"),
        (("walk",), "No such command 'walk'"),
    ],
)
def test_bad_input_is_told_in_one_line(cli, tmp_path, args, told):
    answer = cli("claims", *args, *(("-o", tmp_path) if args != ("walk",) else ()))
    assert answer.status == 2
    assert told in answer.err
    assert "Traceback" not in answer.err
