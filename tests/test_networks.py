"""Every analyzer runs on every network that has a name, untrained, as the command line would."""

from contextlib import suppress
from copy import deepcopy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import landscape
from landscape.models.card import cards

LEAST = {
    "fourier": {},
    "variance": {},
    "surface": {"points": 3, "dims": 1},
    # the biases alone: through every layer, but vectors are short
    "hessian": {"k": 1, "max_products": 2, "whole": False, "parameters": "bias"},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Two images as ImageNet's are read: the file name starts with the class."""
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for label in (3, 7):
        rough = Image.fromarray(draw.integers(0, 256, (16, 20, 3), dtype=np.uint8))
        rough.resize((320, 256), Image.Resampling.BICUBIC).save(folder / f"{label:04d}_a.png")
    return f"imagenet:{folder}"


def runs(model, inputs):
    with suppress(Exception), torch.no_grad():  # of any kind: position tables, windows, ...
        return bool(model(inputs).isfinite().all())
    return False


def small(model, batches):
    """The images' middle, as small as the network takes it; one image for the derivatives."""
    (images, targets) = batches[0]
    side = images.shape[-1]
    for less in (64, 128):
        start = (side - less) // 2
        cut = images[..., start : start + less, start : start + less]
        if less < side and runs(model, cut):
            images = cut
            break
    return [(images, targets)], [(images[:1], targets[:1])]


def each():
    """All cards; those of more than 50 million parameters only on request, ``-m heavy``."""
    for card in cards():
        heavy = (card.parameters or 0) > 50e6
        marks = pytest.mark.heavy if heavy else pytest.mark.slow
        yield pytest.param(card, id=f"{card.name}-{card.data or 'zoo'}", marks=marks)


def shallow(model, inputs):
    """The network with two blocks of each row of alike ones, where it still runs: quicker."""
    less = deepcopy(model)
    for row in list(less.modules()):
        if isinstance(row, nn.Sequential | nn.ModuleList) and len({type(m) for m in row}) == 1:
            rest = list(row)[2:]
            del row[2:]
            if rest and not runs(less, inputs):
                row.extend(rest)
    return less


@pytest.mark.parametrize("card", list(each()))
def test_all_analyzers_run_on(card, photographs):
    data = photographs if card.data else "deadleaves"
    try:
        case = landscape.prepare(
            card.name, data, weights="random", limit=2, batch_size=2, trust=True
        )
    except OSError as error:
        pytest.skip(f"the code of {card.spec} is not here and could not be fetched: {error}")
    assert case.card.family == card.family
    two, one = small(case.model, case.batches)
    part = shallow(case.model, one[0][0])
    for name, settings in LEAST.items():
        loss = name in ("hessian", "surface")
        # torch misreads the gradient of a normalisation where one image leaves as rows: LeViT
        batches = one if loss and not card.name.startswith("levit") else two
        result = getattr(landscape, name)(part if loss else case.model, batches, **settings)
        for variable in ("relative_log_amplitude", "variance", "nll", "eigenvalue", "residual"):
            if variable in result:
                values = result[variable].values
                values = values[~np.isnan(values)] if variable.endswith("amplitude") else values
                assert values.size, f"{name} has no {variable}"
                assert np.isfinite(values).all(), f"{name}: {variable}"
        if "tap" in result.dims:
            assert result.sizes["tap"] > 3
            assert (result.kind == "stem").sum() <= 2  # CrossViT has one for each of its branches
