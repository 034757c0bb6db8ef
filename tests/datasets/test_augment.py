import random

import numpy as np
import pytest
import torch

from landscape.datasets import load, normalise
from landscape.datasets.augment import SMOOTHING, augment

STATISTICS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)}


@pytest.fixture(scope="module")
def batch():
    data = load("deadleaves", limit=64)
    return data.images, data.targets


def run(batch, policy, seed=0, n=64):
    images, targets = batch
    return augment(images[:n], targets[:n], policy, classes=10, seed=seed, **STATISTICS)


def test_none_is_plain_normalisation(batch):
    pixels, targets = run(batch, "none")
    assert torch.equal(pixels, normalise(batch[0], **STATISTICS))
    expected = (batch[0][5, 1].double() / 255 - 0.4) / 0.25
    assert torch.allclose(pixels[5, 1].double(), expected, atol=1e-6)
    assert torch.equal(targets, batch[1])


@pytest.mark.parametrize("policy", ["basic", "deit"])
def test_the_seed_alone_decides(batch, policy):
    torch.manual_seed(1)
    first = run(batch, policy, seed=7)
    torch.manual_seed(2)
    again, other = run(batch, policy, seed=7), run(batch, policy, seed=8)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("policy", ["none", "basic", "deit"])
def test_inputs_and_global_generators_are_left_alone(batch, policy):
    images, targets = batch[0].clone(), batch[1].clone()
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    run(batch, policy)
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[1][2:] == after[1][2:]
    assert before[2] == after[2]
    assert torch.equal(images, batch[0])
    assert torch.equal(targets, batch[1])


def test_generators_are_put_back_when_it_fails(batch):
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    with pytest.raises(RuntimeError):  # a target beyond the classes
        augment(batch[0], batch[1] + 50, "deit", classes=10, seed=0, **STATISTICS)
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[2] == after[2]


def test_basic_shifts_and_flips_but_keeps_the_colours(batch):
    pixels, targets = run(batch, "basic")
    assert pixels.shape == (64, 3, 32, 32)
    assert torch.equal(targets, batch[1])
    flat = torch.full((8, 3, 32, 32), 128, dtype=torch.uint8)
    inside = augment(flat, torch.zeros(8).long(), "basic", classes=10, seed=0, **STATISTICS)[0]
    assert torch.equal(inside[:, :, 8:24, 8:24], normalise(flat, **STATISTICS)[:, :, 8:24, 8:24])


def test_soft_targets_mix_two_labels_by_a_lambda_of_their_own(batch):
    pixels, soft = run(batch, "deit")
    assert pixels.dtype == soft.dtype == torch.float32
    assert soft.shape == (64, 10)
    assert torch.allclose(soft.sum(1), torch.ones(64), atol=1e-6)
    low = SMOOTHING / 10
    assert soft.min() >= low - 1e-6
    # the weight of the sample's own label, where its mirror in the batch has another one
    own = (soft.gather(1, batch[1][:, None])[:, 0] - low) / (1 - SMOOTHING)
    mixed = batch[1] != batch[1].flip(0)
    assert ((own[mixed] > -1e-6) & (own[mixed] < 1 + 1e-6)).all()
    pure = own[mixed] > 1 - 1e-6
    assert 0.2 < pure.float().mean() < 0.8  # every second sample is mixed
    assert len(own[mixed][~pure].unique()) > 10  # not one lambda for the whole batch


@pytest.mark.parametrize("n", [1, 7])
def test_odd_batches_keep_their_size(batch, n):
    for seed in range(4):
        pixels, soft = run(batch, "deit", seed=seed, n=n)
        assert pixels.shape == (n, 3, 32, 32)
        assert soft.shape == (n, 10)
        assert torch.allclose(soft.sum(1), torch.ones(n), atol=1e-6)


def test_large_images_are_erased_in_part(batch):
    images = load("deadleaves", limit=12, size=96).images
    flat = torch.full_like(images, 128)
    plain = normalise(flat, **STATISTICS)
    pixels, _ = augment(flat, torch.zeros(12).long(), "basic", classes=10, seed=0, **STATISTICS)
    assert torch.equal(pixels, plain)
    pixels, _ = augment(flat, torch.zeros(12).long(), "deit", classes=10, seed=0, **STATISTICS)
    assert pixels.shape == plain.shape
    noisy = pixels.std((2, 3)).amax(1) > 0.3  # noise of unit variance
    assert 0 < noisy.sum() < 12


def test_an_unknown_policy_is_refused(batch):
    with pytest.raises(ValueError, match="unknown augmentation 'heavy'; choose none, basic, deit"):
        run(batch, "heavy")
