import numpy as np
import pytest
import torch

from landscape.subject.slices import cosine
from landscape.subject.trajectory import principal, project


def random(seed, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    shapes = {"w": (6, 5), "b": (6,), "k": (2, 3, 2, 2)}
    return {n: torch.randn(s, generator=draw, dtype=dtype) for n, s in shapes.items()}


def flat(params):
    return np.concatenate([p.double().numpy().ravel() for p in params.values()])


def add(origin, *terms):
    return {n: p + sum(a * d[n] for a, d in terms) for n, p in origin.items()}


def test_components_are_those_of_a_singular_value_decomposition():
    points = [random(seed) for seed in range(8)]
    found = principal(points[-1], points, 3)
    table = np.stack([flat(p) for p in points])
    _, sizes, rows = np.linalg.svd(table - table.mean(0), full_matrices=False)
    for direction, row in zip(found.directions, rows, strict=False):
        assert abs(flat(direction) @ row) == pytest.approx(1, abs=1e-10)
    assert found.shares.numpy() == pytest.approx((sizes**2 / (sizes**2).sum())[:3], rel=1e-10)
    moves = table - table[-1]
    basis = np.stack([flat(d) for d in found.directions])
    assert np.allclose(found.coordinates, moves @ basis.T, atol=1e-10)
    rest = np.linalg.norm(moves - (moves @ basis.T) @ basis, axis=1)
    assert np.allclose(found.residuals, rest, atol=1e-10)
    assert found.coordinates[-1].abs().max() == 0  # the origin is the origin
    assert found.residuals[-1] == 0


@pytest.mark.parametrize(("dtype", "floor"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_a_planted_plane_is_found(dtype, floor):
    origin, first, second = (random(seed, dtype) for seed in range(3))
    steps = torch.tensor([[5.0, 0.0], [3.0, 2.0], [1.0, 2.5], [0.5, 1.0], [0.0, 0.0]])
    points = [add(origin, (a, first), (b, second)) for a, b in steps.tolist()]
    found = principal(origin, points)
    assert found.residuals.max() < floor
    assert found.shares.sum().item() == pytest.approx(1, abs=1e-9)
    assert cosine(*found.directions) == pytest.approx(0, abs=1e-6)
    assert {d["w"].dtype for d in found.directions} == {dtype}
    for point, step in zip(points, found.coordinates.tolist(), strict=True):
        back = add(origin, *zip(step, found.directions, strict=True))
        assert all(torch.allclose(back[n], point[n], atol=20 * floor) for n in origin)
    off = [*points, random(9, dtype)]
    assert principal(origin, off).residuals.max() > 0.1  # the null


def test_coordinates_are_least_squares_in_oblique_directions():
    origin, first, second = (random(seed) for seed in range(3))
    second = add(first, (0.1, second))  # nearly parallel, of other lengths
    first = {n: 3 * d for n, d in first.items()}
    points = [add(origin, (1.0, first), (-2.0, second)), random(5)]
    steps, residuals = project(origin, [first, second], points)
    assert steps[0].tolist() == pytest.approx([1, -2], rel=1e-10)
    assert residuals[0] < 1e-12
    basis = np.stack([flat(first), flat(second)], 1)
    want, rest, *_ = np.linalg.lstsq(basis, flat(points[1]) - flat(origin), rcond=None)
    assert steps[1].tolist() == pytest.approx(want.tolist(), rel=1e-8)
    assert residuals[1].item() == pytest.approx(rest[0] ** 0.5, rel=1e-10)


def test_what_spans_too_little_is_refused():
    origin, first = random(0), random(1)
    line = [add(origin, (a, first)) for a in (2.0, 1.0, 0.0)]
    with pytest.raises(
        ValueError, match="3 points span 1 directions, not 2: give more checkpoints"
    ):
        principal(origin, line)
    for points in ([], [origin], [origin, origin]):
        with pytest.raises(ValueError, match=f"{len(points)} points span 0 directions"):
            principal(origin, points, 1)
    with pytest.raises(ValueError, match="at least 1 direction, not 0"):
        principal(origin, line, 0)
    for pair in ([first, first], [first, {n: -2 * d for n, d in first.items()}]):
        with pytest.raises(ValueError, match="zero or parallel"):
            project(origin, pair, line)
    with pytest.raises(ValueError, match="zero or parallel"):
        project(origin, [{n: 0 * d for n, d in first.items()}], line)
