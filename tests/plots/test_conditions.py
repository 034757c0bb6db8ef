"""What decides an answer stands under the figure, and only if it is true of every result in it."""

import json

import numpy as np
import pytest
import xarray as xr

import landscape
from landscape.plots._conditions import common, conditions


def result(**changes):
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
            "model": "a",
            "settings": json.dumps(settings),
            "facts": json.dumps(facts),
        },
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "NLL + L2 (λ = 0.05) · deit augmentation · BatchNorm eval · batch 16"),
        ({"augment": "none"}, "NLL + L2 (λ = 0.05) · clean · BatchNorm eval · batch 16"),
        ({"settings": {"weight_decay": 0.0}}, "NLL · deit"),
        ({"settings": {"weight_decay": "NormSum(0.01)"}}, "NLL + NormSum(0.01) · deit"),
        ({"settings": {"matrix": "ggn"}}, "GGN of NLL + L2"),
        ({"settings": {"matrix": "residual"}}, "H − GGN of NLL"),
        ({"settings": {"loss": "my.hinge"}}, "hinge + L2"),
        ({"settings": {"parameters": "head"}}, "parameters head"),
        ({"weights": "a@b-weak-seed3-warmup.safetensors"}, "warm-up weights"),
        ({"weights": "random"}, "untrained"),
    ],
)
def test_conditions_say(changes, words):
    assert words in conditions(result(**changes))


def texts(figure):
    found = [legend.get_title().get_text() for legend in figure.legends]
    return " ".join([*found, figure.get_supxlabel()]).replace("\n", " ")


def test_they_stand_in_the_figure_if_they_are_common():
    one, other = result(), result(augment="none")
    assert common([one, one]) in texts(landscape.figure([one, one]))
    assert common([one, other]) == ""
    assert "NLL" not in texts(landscape.figure([one, other]))
