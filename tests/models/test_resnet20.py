from pathlib import Path

import pytest
import torch

from landscape.datasets import load, normalise
from landscape.models.card import find
from landscape.models.weights import fit, read

FILE = Path(__file__).parents[1] / "data_models" / "resnet20_cifar.py"
WEIGHTS = "weights/resnet20-12fca82f.th"


def test_a_published_checkpoint_fits_the_network_written_from_the_paper(shared):
    card = find(f"{FILE}:resnet20")
    state, facts = read(shared / WEIGHTS)
    model = fit(card.build(), state, WEIGHTS)
    assert facts["best_prec1"] == pytest.approx(91.78, abs=0.01)
    assert sum(p.numel() for p in model.parameters()) == 269_722
    assert torch.equal(model.get_parameter("linear.bias"), state["linear.bias"])


@pytest.mark.slow
def test_the_published_accuracy_comes_out_to_the_image(shared, cifar10):
    card = find(f"{FILE}:resnet20")
    state, _ = read(shared / WEIGHTS)
    model = fit(card.build(), state, WEIGHTS).eval()
    data = load(cifar10, split="test")
    with torch.no_grad():
        right = sum(
            int((model(normalise(x, card.mean, card.std)).argmax(1) == y).sum())
            for x, y in zip(data.images.split(250), data.targets.split(250), strict=True)
        )
    assert (right, len(data)) == (9173, 10_000)
