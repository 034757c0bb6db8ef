"""The polyharmonic spline against brute force."""

import pytest
import torch

from landscape.numerics.scattered import Spline


def cloud(side, dims, seed=0):
    """One point in each cell of a grid, not too near to its walls, on a box of unequal sides."""
    draw = torch.Generator().manual_seed(seed)
    cells = torch.cartesian_prod(*[torch.arange(side).double()] * dims).view(-1, dims)
    place = cells + 0.2 + 0.6 * torch.rand(cells.shape, generator=draw, dtype=torch.float64)
    return place / side * torch.tensor([2.0, 6.0, 0.5])[:dims] - 0.4


SIDES = {1: 30, 2: 6, 3: 4}


def wave(x):
    return torch.sin(2 * x).prod(1) + x[:, 0] ** 2


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_it_passes_through_all_values_and_is_exact_for_quadratics(dims):
    x, between = cloud(SIDES[dims], dims), cloud(3, dims, seed=1)
    assert torch.allclose(Spline.of(x, wave(x))(x), wave(x), atol=1e-9)
    square = lambda p: 1 - p.sum(1) + 3 * p.sum(1) ** 2  # noqa: E731
    assert torch.allclose(Spline.of(x, square(x))(between), square(between), atol=1e-8)


@pytest.mark.parametrize("dims", [1, 2])
def test_what_is_missed_is_what_a_spline_without_the_node_misses(dims):
    x = cloud(SIDES[dims], dims)
    y = wave(x)
    missed = Spline.of(x, y).missed
    inner = ((x > x.amin(0)) & (x < x.amax(0))).all(1)  # without the others the box is another one
    assert inner.sum() > 25
    for i in inner.nonzero().flatten().tolist():
        rest = torch.arange(len(x)) != i
        want = y[i] - Spline.of(x[rest], y[rest])(x[[i]])[0]
        assert missed[i].item() == pytest.approx(want.item(), rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_derivatives_are_those_of_the_spline(dims):
    x, step = cloud(SIDES[dims], dims), 1e-4
    spline, place = Spline.of(x, wave(x)), cloud(2, dims, seed=2)[0]
    slope, bend = spline.derivatives(place)
    e = step * torch.eye(dims, dtype=torch.float64)
    at = lambda move: spline((place + move)[None]).item()  # noqa: E731
    for i in range(dims):
        assert slope[i].item() == pytest.approx((at(e[i]) - at(-e[i])) / (2 * step), rel=1e-5)
        for j in range(dims):
            mixed = at(e[i] + e[j]) - at(e[i] - e[j]) - at(e[j] - e[i]) + at(-e[i] - e[j])
            assert bend[i, j].item() == pytest.approx(mixed / (4 * step**2), rel=1e-4, abs=1e-4)


def test_the_error_falls_with_the_distance_of_the_nodes_and_so_does_its_estimate():
    probe = cloud(15, 2, seed=3)
    found = []
    for side in (8, 16, 32):
        axes = [torch.linspace(-0.4, end, side, dtype=torch.float64) for end in (1.6, 5.6)]
        x = torch.cartesian_prod(*axes)
        spline = Spline.of(x, wave(x))
        found.append(((spline(probe) - wave(probe)).abs().max(), spline.error(probe).max()))
    errors, told = zip(*found, strict=True)
    assert errors[2] < errors[1] / 8 < errors[0] / 64
    assert all(a < 2 * b for a, b in found)
    assert told[2] < told[1] < told[0]


def test_the_estimate_is_nothing_at_the_nodes_and_largest_at_a_kink():
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)[:, None]
    spline = Spline.of(x, (x[:, 0] - 0.3).abs())
    assert spline.error(x).max() == 0
    between = (x[1:] + x[:-1]) / 2
    inner = between[1:-1]  # at an end, what is left out would have to be extrapolated
    assert (inner[spline.error(inner).argmax()] - 0.3).abs() < 0.1


@pytest.mark.parametrize(
    ("nodes", "values", "message"),
    [
        (cloud(3, 2)[:6], torch.zeros(6), "more than 6 different nodes"),
        (cloud(3, 2)[[0, 1, 2, 3, 4, 5, 6, 7, 7]], torch.zeros(9), "different nodes"),
        (cloud(3, 2) * torch.tensor([1.0, 0.0]), torch.zeros(9), "fill a box"),
        (cloud(3, 2), torch.full((9,), torch.nan), "9 values are not finite"),
    ],
)
def test_bad_input_is_one_line(nodes, values, message):
    with pytest.raises(ValueError, match=message):
        Spline.of(nodes, values)
