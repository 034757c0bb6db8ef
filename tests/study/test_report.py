"""The page of verdicts: complete, and alone."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from landscape.claims import Claim, Evidence, judge
from landscape.study.report import page, ranked, twin, verdicts

STRONG = [2.0, 2.1, 1.9]


def claim(title):
    return Claim(title, "It <is> so.", "a & b", "what", "dB", 0.5, "half", (), len, "beware")


def verdict(**evidence):
    return judge(Evidence(**evidence), smallest=0.5, units="dB")


@pytest.fixture(scope="module")
def judged():
    many = np.array([STRONG] * 3).T
    return {
        "b_refuted": (claim("No"), verdict(effect=[-1.0, -1.1, -0.9])),
        "a_supported": (
            claim("Yes <b>&"),
            verdict(
                effect=STRONG, controls={"untrained": [0.1, 0.0, 0.2]}, mended={"DC": STRONG},
                parts=many, n={"images": 2560},
            ),
        ),
        "c_missing": (claim("Unknown"), verdict(missing="there is no ViT")),
    }  # fmt: skip


class Parsed(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def made(judged, **more):
    options = {"networks": ["x", "y"], "data": "z", "files": {"b_refuted": ["m/a.nc"]}}
    options |= {"command": "landscape claims run"} | more
    result = verdicts(judged, options["networks"], options["data"])
    return page(judged, result, **options)


def test_the_best_come_first(judged):
    assert list(ranked(judged)) == ["a_supported", "b_refuted", "c_missing"]


def test_the_page_needs_no_network(judged):
    for tag, attributes in Parsed(made(judged)).found:
        assert tag not in ("script", "link", "iframe")
        assert (
            attributes.get("src", "data:").startswith("data:image/png;base64,iVBOR") or tag != "img"
        )
        assert not attributes.get("href", "").startswith(("http", "//"))


def test_every_claim_has_a_row_and_a_card_with_its_numbers(judged):
    parsed = Parsed(made(judged))
    ids = {a["id"] for _, a in parsed.found if "id" in a}
    links = {a["href"] for tag, a in parsed.found if tag == "a"}
    assert ids == set(judged)
    assert {f"#{name}" for name in judged} | {"m/a.nc"} == links
    text = " ".join(" ".join(parsed.text).split())
    for told in (
        "1 supported, 1 refuted, 1 not testable",
        "Yes <b>&",
        "It <is> so.",
        "2 [1.75, 2.25] dB",
        "untrained: 0.1 [-0.148, 0.348] dB",
        "DC: 2 [1.75, 2.25] dB",
        "of 3, 3 above 0 and 0 below",
        "2,560 images",
        "there is no ViT",
    ):
        assert told in text, told
    assert sum(tag == "img" for tag, _ in parsed.found) == 3  # all, and the two with an effect


def test_a_quick_page_says_so(judged):
    assert "no basis for a verdict" in made(judged, quick=True)
    assert "no basis for a verdict" not in made(judged)


def test_the_same_verdicts_give_the_same_page(judged):
    assert made(judged) == made(judged)


def test_without_any_effect_there_is_a_page_still(judged):
    alone = {"c_missing": judged["c_missing"]}
    assert "1 not testable" in made(alone)


def test_the_twin_holds_the_numbers(judged):
    found = json.loads(twin(judged))
    assert found["a_supported"]["effect"]["mean"] == 2.0
    assert found["a_supported"]["controls"]["untrained"]["low"] == pytest.approx(-0.148, abs=1e-3)
    assert found["a_supported"]["parts"] == [3, 0, 3]
    assert found["c_missing"]["effect"] is None
    assert found["c_missing"]["reason"] == "there is no ViT"
