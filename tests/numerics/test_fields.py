"""Radii by brute force, shifts of band-limited maps, shares without bias."""

import math

import numpy as np
import pytest
import torch

from landscape.numerics.fields import (
    box,
    distances,
    products,
    radii,
    shifted,
    specificity,
    spread,
)


def test_radii_equal_growing_a_disc():
    mass = torch.rand(5, 9, 12, dtype=torch.float64)
    where = distances(9, 12, 3.5, 6.0)
    found = radii(mass, where, (0.1, 0.5, 0.9, 1.0))
    for i in range(5):
        for j, share in enumerate((0.1, 0.5, 0.9, 1.0)):
            radius = min(
                r
                for r in where.flatten().tolist()
                if mass[i][where <= r].sum() >= share * mass[i].sum() * (1 - 1e-9)
            )
            assert found[i, j].item() == radius


def test_a_box_has_its_closed_form():
    """Second moment of k x k equal pixels: (k^2 - 1) / 6."""
    for k in (1, 3, 5, 7):
        mass = torch.zeros(1, 11, 11)
        low = 5 - k // 2
        mass[0, low : low + k, low : low + k] = 2.0
        where = distances(11, 11, 5, 5)
        assert spread(mass, where).item() == pytest.approx(math.sqrt((k * k - 1) / 6))
        assert radii(mass, where, (1.0,)).item() == pytest.approx(k // 2 * math.sqrt(2))


def test_a_map_without_mass_has_no_radius():
    mass, where = torch.zeros(2, 3, 3), distances(3, 3, 1, 1)
    mass[1, 1, 1] = 1
    assert radii(mass, where, (0.9,)).flatten().tolist()[1] == 0
    assert math.isnan(radii(mass, where, (0.9,))[0, 0])
    assert math.isnan(spread(mass, where)[0])


def test_the_box_around_what_is_seen():
    seen = torch.zeros(6, 7).bool()
    assert box(seen) == (0, 0, False)
    seen[2, 3] = seen[4, 1] = True
    assert box(seen) == (3, 3, False)
    seen[5, 2] = True
    assert box(seen) == (4, 3, True)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("step", [0.25, -0.5, 3.125])
def test_part_of_a_sample_is_exact_for_what_is_band_limited(n, step):
    at = torch.arange(n, dtype=torch.float64)

    def wave(x):
        turn = 2 * torch.pi * x / n
        return 1 + torch.cos(turn + 0.3) + 0.5 * torch.sin(3 * turn)

    moved = shifted(wave(at)[None, :, None].expand(2, n, 3), step, 1)
    assert torch.allclose(moved, wave(at - step)[None, :, None].expand(2, n, 3), atol=1e-12)


def test_whole_samples_are_rolled_to_the_bit():
    maps = torch.randn(2, 3, 4, 5)
    assert torch.equal(shifted(maps, 2.0, 3), maps.roll(2, 3))


def test_products_by_hand():
    x = torch.randn(5, 2, 7, dtype=torch.float64)
    pairs = [(x[i] * x[j]).sum(-1) for i in range(5) for j in range(5) if i != j]
    own, both = products(x)
    assert torch.allclose(own, x.square().sum(-1).mean(0))
    assert torch.allclose(both, torch.stack(pairs).mean(0))


def test_a_known_share_is_found_within_its_error():
    """x = c + noise with |c|^2 = 3 E|noise|^2: a quarter is not the same for all."""
    draw = torch.Generator().manual_seed(0)
    c = torch.ones(50, dtype=torch.float64) * math.sqrt(3)
    x = c + torch.randn(200, 4, 50, generator=draw, dtype=torch.float64)
    value, error = specificity(torch.stack([products(group) for group in x]))
    assert abs(value - 0.25) < 3 * error
    assert 0 < error < 0.01
    repeats = []
    for _ in range(200):
        x = c + torch.randn(10, 4, 50, generator=draw, dtype=torch.float64)
        repeats.append(specificity(torch.stack([products(g) for g in x])))
    values, errors = np.array(repeats).T
    assert values.std() == pytest.approx(np.sqrt((errors**2).mean()), rel=0.2)


def test_the_same_for_all_is_zero_and_one_group_has_no_error():
    same = torch.randn(7, dtype=torch.float64).expand(4, 7)
    value, error = specificity(products(same)[None])
    assert abs(value) < 1e-14
    assert math.isnan(error)
