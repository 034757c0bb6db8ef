"""What decides an answer stands under the figure, and only if it is true of every result in it."""

import json

import numpy as np
import pytest
import xarray as xr

import landscape
from landscape.plots._conditions import common, conditions
from landscape.subject.penalty import L2, NormSum, matrices


def result(model="a", **changes):
    settings = {"weight_decay": 0.05, "batchnorm": "eval"} | changes.pop("settings", {})
    facts = {"augment": "deit", "batch_size": 16, "weights": "a@b-seed0.safetensors"} | changes
    values = np.arange(6.0).reshape(2, 3)
    return xr.Dataset(
        {
            "eigenvalue": (("batch", "rank"), values, {"long_name": "eigenvalue"}),
            "converged": (("batch", "rank"), values >= 0),
        },
        attrs={
            "analyzer": "hessian",
            "model": model,
            "settings": json.dumps(settings),
            "facts": json.dumps(facts),
        },
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {},
            "NLL + L2 (λ = 0.05 on all weights) · deit augmentation · BatchNorm eval · batch 16 · "
            "final weights",
        ),
        ({"augment": "none"}, "weights) · clean · BatchNorm eval · batch 16"),
        ({"settings": {"weight_decay": 0.0}}, "NLL · deit"),
        ({"settings": {"weight_decay": [0.1]}}, "NLL + L2 (λ = 0.1 on all weights) · deit"),
        ({"settings": {"weight_decay": "mine()"}}, "NLL + mine() · deit"),
        ({"settings": {"matrix": "ggn"}}, "GGN of NLL + L2"),
        ({"settings": {"matrix": "residual"}}, "H − GGN of NLL"),
        ({"settings": {"loss": "my.hinge"}}, "hinge + L2"),
        ({"settings": {"loss": "my.Scaled(scale=0.5)"}}, "Scaled + L2"),
        ({"settings": {"parameters": "head"}}, "parameters head · final"),
        ({"settings": {"parameters": None}}, "parameters all · final"),
        ({"settings": {"batchnorm": "batch"}}, "BatchNorm batch"),
        ({"settings": {"sizes": None}}, "BatchNorm eval · final"),
        ({"examples": 12, "split": "train"}, "12 train images · batch 12"),
        ({"examples": 64, "split": "test"}, "64 test images · batch 16"),
        ({"weights": "a@b-seed0-initial.safetensors"}, "initial weights"),
        ({"weights": "a@b-weak-seed3-warmup.safetensors"}, "warm-up weights (weak recipe, seed 3)"),
        ({"weights": "a@b:c-seed1.safetensors"}, "final weights (seed 1)"),
        ({"weights": "random"}, "random weights (untrained)"),
        ({"weights": "published"}, "published weights"),
        ({"weights": "my-warmup.pt"}, "weights my-warmup.pt"),
    ],
)
def test_conditions_say(changes, words):
    assert words in conditions(result(**changes))


@pytest.mark.parametrize(
    ("penalty", "words"),
    [
        (L2(0.05), "NLL + L2 (λ = 0.05 on all weights)"),
        (L2(0.05, matrices), "NLL + L2 (λ = 0.05 on matrices)"),
        (NormSum(1e-4), "NLL + Σ‖W‖ (λ = 0.0001 on all weights)"),
        ((L2(0.1), NormSum(0.2, matrices)), "on all weights) + Σ‖W‖ (λ = 0.2 on matrices)"),
        (L2(0.1, lambda name, value: "attn" in name), "L2 (λ = 0.1 on <lambda>)"),
    ],
)
def test_what_a_penalty_is_stored_as_is_read(network, batches, penalty, words):
    found = landscape.hessian(network, batches[:1], k=1, tol=0.5, weight_decay=penalty)
    assert words in conditions(found)


def texts(figure):
    found = [legend.get_title().get_text() for legend in figure.legends]
    told = " ".join([*found, figure.get_supxlabel()])
    assert "\n·" not in told
    return told.replace("\n", " ").replace("\xa0", " ")


def test_what_is_common_is_told_once_and_what_differs_of_each():
    one, other, third = result(), result("b", augment="none"), result("c", weights="random")
    assert common([one, one]) == conditions(one)
    assert common([one, other, third]) == (
        "NLL + L2 (λ = 0.05 on all weights) · deit augmentation (a, c) / clean (b) · "
        "BatchNorm eval · batch 16 · final weights (a, b) / random weights (untrained) (c)"
    )
    for results in ([one], [one, one], [one, other, third]):
        assert common(results) in texts(landscape.figure(results))


def test_what_one_does_not_say_is_unknown():
    bare = result("b")
    bare.attrs["facts"] = "{}"
    assert "deit augmentation (a) / augmentation unknown (b)" in common([result(), bare])
    assert common([bare, bare]) == "NLL + L2 (λ = 0.05 on all weights) · BatchNorm eval"
