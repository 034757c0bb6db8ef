"""The page of surfaces loads nothing, holds the result to the last bit and tells its conditions."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import landscape
from landscape.plots import page

LOADS = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background", "cite"}


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts and of what is read."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.styles, self.words = [], [], [], []
        self._where = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._where = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._where = None

    def handle_data(self, data):
        if self._where == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._where == "style":
            self.styles.append(data)
        elif data.strip():
            self.words.append(data.strip())

    @property
    def data(self):
        (text,) = [text for attrs, text in self.scripts if attrs.get("id") == "data"]
        return json.loads(text)


@pytest.fixture(scope="module")
def stored(plane):
    def make(model="resnet_s", family="conv", **changes):
        result = plane(model, family, **changes)
        facts = {"augment": "deit", "examples": 256, "split": "train", "batch_size": 128}
        facts |= {"weights": "resnet_s@deadleaves-seed0.safetensors", "weights_sha256": "ab" * 32}
        settings = {"weight_decay": 0.05, "batchnorm": "frozen", "points": 11, "seed": 3}
        settings |= {"directions": "filter", "loss": "landscape.subject.loss.cross_entropy"}
        error = 0.02 * result["accuracy"]
        result["accuracy_se"] = error.assign_attrs(long_name="standard error", units="1")
        attrs = {"facts": json.dumps(facts), "settings": json.dumps(settings)}
        return result.assign_attrs(attrs)

    return make


@pytest.fixture(scope="module")
def results(stored):
    return [
        stored(),
        stored("vit_s", "msa", rise=20.0),
        stored("alternet_s", "hybrid", size=(9, 5)),
    ]


@pytest.fixture(scope="module")
def parsed(results):
    return Page(page(results))


def test_nothing_is_loaded(parsed):
    for tag, attrs in parsed.tags:
        assert not LOADS & attrs.keys(), (tag, attrs)
        assert tag not in {"link", "iframe", "img", "object", "embed", "base"}
    assert not any("url(" in style or "@import" in style for style in parsed.styles)
    (policy,) = [
        a["content"] for t, a in parsed.tags if a.get("http-equiv", "").startswith("Content-")
    ]
    assert policy.startswith("default-src 'none'")  # the browser sees to it
    assert "http" not in policy
    assert "connect-src" not in policy


def test_the_library_is_inside(parsed):
    assert any("plotly.js v" in text for _, text in parsed.scripts)
    assert len(parsed.scripts) == 3


def test_names_of_places_are_fixed_and_bytes_repeat(results, parsed):
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert page(results) == page([result.copy(deep=True) for result in results])


def test_data_equals_the_result(results, parsed):
    data = parsed.data
    keys = [q["key"] for q in data["quantities"]]
    assert keys == ["nll", "decay", "loss", "accuracy"]
    assert [q["se"] for q in data["quantities"]] == ["nll_se", None, "nll_se", "accuracy_se"]
    assert [n["name"] for n in data["networks"]] == ["resnet_s", "vit_s", "alternet_s"]
    for network, result in zip(data["networks"], results, strict=True):
        assert network["alpha"] == result["alpha"].values.tolist()
        assert network["beta"] == result["beta"].values.tolist()
        (one,) = network["planes"]
        made = {
            "nll": result["nll"],
            "nll_se": result["nll_se"],
            "decay": 0.05 * result["l2"],
            "loss": result["nll"] + 0.05 * result["l2"],
            "accuracy": result["accuracy"],
            "accuracy_se": result["accuracy_se"],
        }
        for key, values in made.items():
            assert one[key] == values.transpose("beta", "alpha").values.tolist(), key
    assert data["spans"] == [[-1, 1], [-1, 1]]
    assert data["alpha"] == "first direction [filter norms]"


def test_scales_begin_as_the_values_need_them(stored, parsed):
    assert {q["key"]: q["log"] for q in parsed.data["quantities"]} == {
        "nll": True,  # 0.8 to 20
        "decay": False,
        "loss": False,
        "accuracy": False,
    }
    assert not Page(page(stored())).data["log"]


def test_what_is_not_finite_keeps_its_name(stored):
    result = stored()
    result["nll"][0, 10] = np.inf
    result["nll"][3, 4] = np.nan
    result["nll"][5, 6] = -np.inf
    (one,) = Page(page(result)).data["networks"][0]["planes"]
    assert (one["nll"][10][0], one["nll"][4][3], one["nll"][6][5]) == ("inf", "nan", "-inf")
    assert one["loss"][10][0] == "inf"


def test_conditions_can_be_read(parsed):
    words = " ".join(parsed.words)
    for condition in (
        "NLL + L2 (λ = 0.05 on all weights)",
        "deadleaves",
        "deit",
        "frozen",
        "256 train",
        "final weights, sha256 abababababab",
        "random directions by filter, seed 3",
        "11 × 11 points (resnet_s, vit_s) / 9 × 5 points (alternet_s)",
        "each output filter has moved by its own norm",
    ):
        assert condition in words, condition
    assert "{{" not in words
    assert "{unit}" not in words
    assert next(text for text in parsed.words) == "Loss surfaces: resnet_s, vit_s, alternet_s"


def test_names_cannot_break_out(stored):
    evil = "</script><b onload=alert(1)>&"
    found = Page(page(stored(evil)))
    assert found.data["networks"][0]["name"] == evil
    assert not any(tag == "b" for tag, _ in found.tags)
    assert len(found.scripts) == 3


def test_without_a_decay_there_is_the_norm(stored):
    plain = stored()
    plain.attrs["settings"] = json.dumps({"weight_decay": 0.0, "points": 11})
    data = Page(page([plain, stored("vit_s")])).data
    assert [q["key"] for q in data["quantities"]] == ["nll", "l2", "accuracy"]
    assert data["networks"][0]["planes"][0]["l2"] == plain["l2"].values.T.tolist()


def test_of_several_planes_each_is_there_and_what_is_interpolated_says_so(stored):
    several = xr.concat([stored(), stored(rise=2.0)], "plane", data_vars="all")
    first, second = Page(page(several)).data["networks"][0]["planes"]
    assert first["nll"] == several["nll"].values[0].T.tolist()
    assert second["nll"] == several["nll"].values[1].T.tolist()
    smooth = stored().drop_vars(["accuracy", "accuracy_se", "nll_se"])
    smooth["node_alpha"] = ("node", np.zeros(49))
    smooth["node_accuracy"] = ("node", np.zeros(49))
    smooth["bound"] = ((), 0.031)
    data = Page(page(smooth)).data
    assert [q["key"] for q in data["quantities"]] == ["nll", "decay", "loss"]
    (one,) = data["networks"][0]["planes"]
    assert "nll_se" not in one
    assert one["note"] == "NLL interpolated from 49 nodes, error ≲ 0.031 nats."


def test_the_share_of_the_decay_is_told(stored):
    label = {"long_name": "share", "units": "1"}
    result = stored().assign(relief_share=((), 0.384, label))
    (one,) = Page(page(result)).data["networks"][0]["planes"]
    assert one["note"] == "Decay makes 38% of the relief (largest minus smallest)."
    result = result.assign(rise_share=("radius", [0.9, 0.5], label))
    result = result.assign_coords(radius=("radius", [0.2, 0.4], label))
    (one,) = Page(page(result)).data["networks"][0]["planes"]
    assert one["note"].endswith("smallest), 90% of the rise at radius 0.2.")


def test_the_view_to_begin_with(stored):
    assert Page(page(stored())).data["view"] == "3d"
    assert Page(page(stored(), view="contour")).data["view"] == "contour"
    with pytest.raises(ValueError, match=r"unknown view 'flat'\. Choices: contour, 3d"):
        page(stored(), view="flat")


def test_the_quantity_to_begin_with(stored):
    data = Page(page(stored(), quantity="loss", relief=True)).data
    assert (data["quantity"], data["relief"]) == ("loss", True)
    assert (Page(page(stored())).data["quantity"]) == "nll"
    steep = stored("vit_s", "msa", rise=20.0)
    assert [Page(page(steep, relief=relief)).data["log"] for relief in (False, True)] == [1, 0]
    with pytest.raises(ValueError, match="no 'l2' in common; choose nll, decay, loss, accuracy"):
        page(stored(), quantity="l2")


def test_without_plotly_there_is_no_page_but_all_else(stored, monkeypatch):
    for name in ("plotly", "plotly.offline"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=r"a page needs plotly.*pip install plotly"):
        page(stored())
    landscape.figure(stored()).draw_without_rendering()
    code = (
        "import sys; sys.modules['plotly'] = None\n"
        "import landscape.plots.surface, landscape_cli.main\n"
        "print([m for m in sys.modules if m.startswith('plotly.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_what_has_no_page(stored):
    with pytest.raises(ValueError, match="resnet_s is a line"):
        page(stored().isel(beta=5, drop=True))
    with pytest.raises(ValueError, match="results of variance have no page"):
        page(stored().assign_attrs(analyzer="variance"))
    with pytest.raises(ValueError, match="no results"):
        page([])


def test_the_script_is_javascript(parsed, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node to read the script")
    path = tmp_path / "page.js"
    path.write_text(parsed.scripts[-1][1], "utf-8")
    subprocess.run([node, "--check", path], check=True)
