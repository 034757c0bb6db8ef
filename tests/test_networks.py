"""Every analyzer runs on every network that has a name, untrained, as the command line would."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

import landscape
from landscape.models.card import cards

LEAST = {
    "fourier": {},
    "variance": {},
    "surface": {"points": 3, "dims": 1},
    "hessian": {"k": 1, "max_products": 2, "whole": False},
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


def small(model, batches):
    """The images' middle, as small as the network takes it; one image for the derivatives."""
    (images, targets) = batches[0]
    side = images.shape[-1]
    for less in (64, 128):
        start = (side - less) // 2
        cut = images[..., start : start + less, start : start + less]
        with suppress(Exception), torch.no_grad():  # of any kind: position tables, windows, ...
            if less < side and model(cut).isfinite().all():
                images = cut
                break
    return [(images, targets)], [(images[:1], targets[:1])]


def each():
    """All cards; those of more than 50 million parameters only on request, ``-m heavy``."""
    for card in cards():
        heavy = (card.parameters or 0) > 50e6
        marks = pytest.mark.heavy if heavy else pytest.mark.slow
        yield pytest.param(card, id=f"{card.name}-{card.data or 'zoo'}", marks=marks)


def again(card):
    """Whether an earlier card is of the same architecture: one code, other weights and facts."""
    of = [
        other.name
        for other in cards()
        if other.spec
        and other.data == card.data
        and other.spec.partition(".")[0] == card.spec.partition(".")[0]
    ]
    return bool(card.spec) and of[0] != card.name


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
    for name, settings in LEAST.items():
        if name == "hessian" and again(card):
            continue  # untrained it is the same network
        # torch misreads the gradient of a normalisation where one image leaves as rows: LeViT
        single = name in ("hessian", "surface") and not card.name.startswith("levit")
        batches = one if single else two
        result = getattr(landscape, name)(case.model, batches, **settings)
        for variable in ("relative_log_amplitude", "variance", "nll", "eigenvalue", "residual"):
            if variable in result:
                values = result[variable].values
                values = values[~np.isnan(values)] if variable.endswith("amplitude") else values
                assert values.size, f"{name} has no {variable}"
                assert np.isfinite(values).all(), f"{name}: {variable}"
        if "tap" in result.dims:
            assert result.sizes["tap"] > 3
            assert (result.kind == "stem").sum() <= 2  # CrossViT has one for each of its branches
