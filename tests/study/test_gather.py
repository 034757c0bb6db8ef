"""Results that claims need: found, made once, and made anew if something else was asked for."""

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest

from landscape import claims, load
from landscape.claims import Analysis
from landscape.result import label, save
from landscape.study.gather import beside, gather, jobs, missing

SMALL = Analysis("small", "variance", images=4, batch_size=4)


def steps():
    """A progress that notes what it was shown."""
    seen = []

    @contextmanager
    def shown(name):
        seen.append(name)
        yield lambda items, total, label: iter(items)

    return seen, shown


def test_each_result_is_wanted_once_for_every_seed(tmp_path):
    both = [SMALL, SMALL, replace(SMALL, name="other", families=("msa",))]
    found = jobs(both, ["resnet_s", "vit_s"], "deadleaves", tmp_path, seeds=2)
    where = [str(job.path.relative_to(tmp_path)) for job in found]
    assert where == [
        "resnet_s@deadleaves/small.nc",
        "resnet_s@deadleaves-seed1/small.nc",
        "vit_s@deadleaves/small.nc",
        "vit_s@deadleaves-seed1/small.nc",
        "vit_s@deadleaves/other.nc",
        "vit_s@deadleaves-seed1/other.nc",
    ]
    assert len({job.asked for job in found}) == 6


def test_checkpoints_and_recipes_have_their_own_places(tmp_path):
    warm, weak = (replace(SMALL, name=role, weights=role) for role in ("warmup", "weak"))
    found = jobs([warm, weak], ["resnet_s"], "cifar10", tmp_path, seeds=1)
    assert [job.weights for job in found] == ["seed0-warmup", "weak-seed0"]
    assert found[0].path.parent.name == "resnet_s@cifar10-seed0-warmup"


def test_networks_beside_are_those_trained_on_the_data_and_not_compared_anyway(tmp_path):
    claim = replace(claims.find(claims.names()[0]), beside=("resnet_s", "blurnet_s"))
    on = {
        (data, *models): {job.model for job in beside(claim, models, data, tmp_path)}
        for data in ("cifar10", "deadleaves")
        for models in ((), ("resnet_s",))
    }
    assert on == {
        ("cifar10",): {"resnet_s", "blurnet_s"},
        ("cifar10", "resnet_s"): {"blurnet_s"},
        ("deadleaves",): {"resnet_s"},
        ("deadleaves", "resnet_s"): set(),
    }


def test_a_network_of_no_zoo_has_one_seed_and_no_checkpoints(tmp_path):
    analyses = (SMALL, replace(SMALL, name="warm", weights="warmup"))
    found = jobs([*analyses], ["timm:resnet10t"], "folder:x", tmp_path)
    assert [(job.seed, job.weights, job.analysis.name) for job in found] == [(0, None, "small")]


def test_a_result_is_made_once_and_then_read(tmp_path):
    wanted = jobs([SMALL], ["resnet_s"], "deadleaves", tmp_path, seeds=1)
    assert missing(wanted) == wanted
    assert list(gather(wanted, None)) == []
    seen, shown = steps()
    (made,) = gather(wanted, shown)
    assert seen == ["resnet_s@deadleaves small"]
    assert (made.analysis, made.model, made.family, made.seed) == ("small", "resnet_s", "conv", 0)
    assert made.result.attrs["analyzer"] == "variance"
    assert json.loads(made.result.attrs["facts"])["examples"] == 4
    before = wanted[0].path.read_bytes()
    (read,) = gather(wanted, shown)
    assert len(seen) == 1
    assert read.result.identical(made.result)
    assert wanted[0].path.read_bytes() == before


def test_what_else_the_images_show_goes_to_an_analyzer_that_asks(tmp_path):
    asked = Analysis("cues", "cues", images=8)
    wanted = jobs([asked], ["vit_s"], "deadleaves:conflict", tmp_path, seeds=1)
    _, shown = steps()
    (made,) = gather(wanted, shown)
    assert "shape/texture" in made.result.conflict
    assert made.result.outside.notnull()  # the mean and deviation of the pixels are known


@pytest.mark.parametrize("change", [{"images": 8}, {"augment": "basic"}, {"settings": {"seed": 1}}])
def test_what_was_asked_for_otherwise_is_made_anew(tmp_path, change):
    (before,) = jobs([SMALL], ["resnet_s"], "deadleaves", tmp_path, seeds=1)
    (after,) = jobs([replace(SMALL, **change)], ["resnet_s"], "deadleaves", tmp_path, seeds=1)
    _, shown = steps()
    list(gather([before], shown))
    assert before.path == after.path
    assert missing([before, after]) == [after]
    list(gather([after], shown))
    assert missing([before, after]) == [before]


def test_a_result_of_a_single_analyzer_is_not_taken_for_one(tmp_path):
    (job,) = jobs([SMALL], ["resnet_s"], "deadleaves", tmp_path, seeds=1)
    _, shown = steps()
    (made,) = gather([job], shown)
    facts = json.loads(made.result.attrs["facts"]) | {"asked": None}
    save(label(made.result, model="resnet_s", **facts), job.path)
    assert missing([job]) == [job]


def test_quick_is_less_of_everything(tmp_path):
    every = [a for name in claims.names() for a in claims.find(name).analyses]
    whole = jobs(every, ["resnet_s"], "deadleaves", tmp_path, seeds=1)
    quick = jobs(every, ["resnet_s"], "deadleaves", tmp_path, seeds=1, quick=True)
    assert [job.path for job in whole] == [job.path for job in quick]
    assert all(job.analysis.images <= 32 for job in quick)
    for much, little in zip(whole, quick, strict=True):  # what is small already is one result
        assert much.asked != little.asked or much.analysis.images <= 32
    assert len({job.asked for job in whole} & {job.asked for job in quick}) < len(whole) / 4


def test_a_damaged_result_is_told_and_left(tmp_path):
    (job,) = jobs([SMALL], ["resnet_s"], "deadleaves", tmp_path, seeds=1)
    job.path.parent.mkdir()
    job.path.write_bytes(b"no result")
    with pytest.raises(ValueError, match=r"small\.nc is not a landscape result"):
        missing([job])
    assert job.path.read_bytes() == b"no result"
    with pytest.raises(ValueError, match="not a landscape result"):
        load(job.path)
