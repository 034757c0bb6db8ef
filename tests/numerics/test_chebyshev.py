import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BarycentricInterpolator

from landscape.numerics.chebyshev import (
    coefficients,
    derivatives,
    interpolate,
    interpolation,
    lobatto,
    tail,
)

X = torch.linspace(-1, 1, 2001, dtype=torch.float64)


def error(function, count):
    """Largest error of the interpolant on [-1, 1]."""
    nodes = lobatto(count)
    return (interpolate(function(nodes), [nodes], [X]) - function(X)).abs().max().item()


@pytest.mark.parametrize(
    "ends", [(-1.0, 1.0), (-0.3, 0.3), (-0.25, 1.25), (0.1, 0.7), (-3.0, -1.1)]
)
def test_nodes_are_nested_bit_for_bit(ends):
    for last in (2, 3, 4, 6, 8, 12, 16, 24, 48, 64):
        coarse, fine = lobatto(last + 1, *ends), lobatto(2 * last + 1, *ends)
        assert torch.equal(fine[::2], coarse)
        assert (fine.diff() > 0).all()
        assert (coarse[0].item(), coarse[-1].item()) == ends


@pytest.mark.parametrize("span", [1.0, 0.1, 0.7, math.pi])
def test_symmetric_nodes_have_an_exact_middle(span):
    for count in (3, 7, 9, 13, 25, 33, 49):
        nodes = lobatto(count, -span, span)
        assert nodes[count // 2].item() == 0.0
        assert torch.equal(nodes, -nodes.flip(0))


def test_nodes_are_those_of_the_cosine():
    want = -np.cos(np.pi * np.arange(17) / 16)
    assert np.allclose(lobatto(17).numpy(), want, atol=4e-16, rtol=0)


def test_the_matrix_is_the_identity_at_the_nodes():
    nodes = lobatto(17, -0.3, 1.1)
    assert torch.equal(interpolation(nodes, nodes), torch.eye(17, dtype=torch.float64))
    fine = interpolation(nodes, lobatto(33, -0.3, 1.1))
    assert torch.equal(fine[::2], torch.eye(17, dtype=torch.float64))
    assert torch.allclose(fine.sum(1), torch.ones(33, dtype=torch.float64), atol=1e-14)


@pytest.mark.parametrize("count", [3, 5, 9, 17, 33])
def test_polynomials_are_exact(count):
    generator = torch.Generator().manual_seed(count)
    nodes = lobatto(count, -0.5, 1.5)
    points = torch.linspace(-0.5, 1.5, 301, dtype=torch.float64)
    factors = torch.randn(count, generator=generator, dtype=torch.float64)

    def polynomial(x):
        return torch.tensor(np.polynomial.chebyshev.chebval(x.numpy() - 0.5, factors.numpy()))

    values = polynomial(nodes)
    assert torch.allclose(interpolate(values, [nodes], [points]), polynomial(points), atol=1e-12)
    assert torch.allclose(coefficients(values), factors, atol=1e-12)


def test_one_degree_more_is_not_exact():
    assert error(lambda x: x**8, 9) < 1e-12
    assert error(lambda x: x**9, 9) > 1e-3


def test_a_polynomial_of_two_variables_is_exact_on_a_box_of_unequal_sides():
    x, y = lobatto(9, -0.3, 1.0), lobatto(5, 2.0, 5.0)
    a, b = (torch.linspace(*ends, 7, dtype=torch.float64) for ends in ((-0.3, 1.0), (2.0, 5.0)))

    def function(x, y):
        return (x[:, None] ** 8 - 3 * x[:, None] ** 2 + 1) * (y**4 - 2 * y)

    grid = interpolate(function(x, y), (x, y), (a, b[:4]))
    assert grid.shape == (7, 4)
    assert torch.allclose(grid, function(a, b[:4]), rtol=1e-12, atol=1e-10)
    assert (function(a, b[:4]).T.shape) != grid.shape  # the axes are not confounded


def test_runge_converges_at_the_known_rate():
    """Poles at +-i/5: the error falls by 1/5 + sqrt(26)/5 a node, though equispaced diverges."""
    errors = [error(lambda x: 1 / (1 + 25 * x**2), n + 1) for n in (32, 64, 128)]
    rates = [(a / b) ** (1 / n) for a, b, n in zip(errors, errors[1:], (32, 64), strict=False)]
    assert rates == pytest.approx([(1 + 26**0.5) / 5] * 2, rel=0.01)
    equal = np.linspace(-1, 1, 33)
    runge = 1 / (1 + 25 * equal**2)
    fit = BarycentricInterpolator(equal, runge)
    assert abs(fit(0.98) - 1 / (1 + 25 * 0.98**2)) > 1


def test_the_tail_falls_with_the_error_of_a_smooth_function():
    def runge(x):
        return 1 / (1 + 25 * x**2)

    for count in (17, 33, 65, 129):
        assert error(runge, count) <= tail(runge(lobatto(count))).item() < 30 * error(runge, count)


def test_a_kink_has_a_slow_tail():
    for count in (9, 17, 33, 65):
        nodes = lobatto(count)
        assert tail(nodes.abs()).item() > 0.5 / count
    assert tail(torch.exp(lobatto(17))).item() < 1e-12


def test_each_axis_has_its_own_tail():
    x, y = lobatto(9)[:, None], lobatto(17)
    smooth, rough = tail(x.exp() * (y - 0.05).abs())
    assert rough > 1000 * smooth
    turned = tail((y[:, None] - 0.05).abs() * x.T.exp())
    assert torch.allclose(turned, torch.stack([rough, smooth]), rtol=1e-9)
    values = (x + y.cos() + 3).log()
    assert torch.allclose(tail(values).flip(0), tail(values.T), rtol=1e-12)


def smooth(kind, seed, dims):
    """A random smooth function of ``dims`` variables."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    terms = 1 + seed % 4
    rays = torch.randn(terms, dims, generator=generator, dtype=torch.float64)
    heights = torch.randn(terms, generator=generator, dtype=torch.float64)
    phases, centres, widths = 6.3 * uniform(terms), 2 * uniform(terms, dims) - 1, uniform(terms)

    def function(*axes):
        at = torch.stack(torch.broadcast_tensors(*axes), -1)
        if kind == "cosines":
            return (heights * torch.cos(2.5 * at @ rays.T + phases)).sum(-1)
        if kind == "gaussians":
            square = (at[..., None, :] - centres).square().sum(-1)
            return (heights * torch.exp(-square / (0.5 + widths) ** 2)).sum(-1)
        steep = (1 + 5 * widths) * (at @ rays.T - centres[:, 0])
        return (heights * torch.nn.functional.softplus(steep)).sum(-1)

    return function


@pytest.mark.parametrize(("dims", "count"), [(1, 9), (1, 17), (2, 9), (2, 17)])
def test_the_tail_bounds_the_error_of_held_out_smooth_functions(dims, count):
    nodes = [lobatto(count).reshape([-1] + [1] * (dims - 1 - d)) for d in range(dims)]
    line = torch.linspace(-1, 1, 501 if dims == 1 else 41, dtype=torch.float64)
    points = [line.reshape([-1] + [1] * (dims - 1 - d)) for d in range(dims)]
    held, ratios = [], []
    for kind in ("cosines", "gaussians", "softplus"):
        for seed in range(70):
            function = smooth(kind, seed, dims)
            values = function(*nodes)
            flat = [n.flatten() for n in nodes]
            found = interpolate(values, flat, [p.flatten() for p in points])
            worst = (found - function(*points)).abs().max().item()
            floor = 1e-13 * values.abs().max().item()
            held.append(worst <= tail(values).sum().item() + floor)
            ratios.append(tail(values).sum().item() / (worst + floor))
    assert np.mean(held) >= 0.95
    assert np.median(ratios) < 60  # and says something


def test_coefficients_are_those_of_scipy():
    fft = pytest.importorskip("scipy.fft")
    values = torch.randn(9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    want = fft.dctn(values.numpy()[::-1, ::-1], type=1) / (8 * 4)
    want[[0, -1]] /= 2
    want[:, [0, -1]] /= 2
    assert np.allclose(coefficients(values).numpy(), want, atol=1e-14)


def test_derivatives_are_those_of_the_function():
    x, y = lobatto(33, -0.5, 1.5), lobatto(17, -0.2, 0.4)
    values = torch.exp(x[:, None]) * torch.sin(2 * y + 1)
    for a, b in ((0.0, 0.0), (-0.5, 0.4), (1.5, -0.2), (0.37, 0.11)):
        value, gradient, hessian = derivatives(values, (x, y), (a, b))
        e, s, c = math.exp(a), math.sin(2 * b + 1), math.cos(2 * b + 1)
        assert value.item() == pytest.approx(e * s, rel=1e-12)
        assert gradient.tolist() == pytest.approx([e * s, 2 * e * c], rel=1e-10)
        assert hessian.flatten().tolist() == pytest.approx(
            [e * s, 2 * e * c, 2 * e * c, -4 * e * s], rel=1e-8
        )
    line = derivatives(x**3, [x], [0.5])
    assert [t.shape for t in line] == [(), (1,), (1, 1)]
    assert line[2].item() == pytest.approx(3.0, rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(bad):
    x, y = lobatto(9), lobatto(5)
    values = torch.zeros(9, 5, dtype=torch.float64)
    values[3, 4] = bad
    at = torch.zeros(1)
    for call in (
        lambda: interpolate(values, (x, y), (at, at)),
        lambda: coefficients(values),
        lambda: tail(values),
        lambda: derivatives(values, (x, y), (0.0, 0.0)),
    ):
        with pytest.raises(ValueError, match=rf"1 of 45 values.*{bad:g} at node \(3, 4\)"):
            call()


def test_bad_input_is_one_line():
    x = lobatto(5)
    for count in (0, 1, -1):
        with pytest.raises(ValueError, match=f"at least 2 nodes, its ends, not {count}"):
            lobatto(count)
    for ends in ((1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="an interval runs"):
            lobatto(5, *ends)
    for point in (1.1, -1.0000001, math.nan):
        with pytest.raises(ValueError, match=r"is not within \[-1, 1\]"):
            interpolation(x, torch.tensor([0.0, point], dtype=torch.float64))
        with pytest.raises(ValueError, match=r"is not within \[-1, 1\]"):
            derivatives(x, [x], [point])
    with pytest.raises(ValueError, match=r"\(5,\) values do not fit 9 nodes"):
        interpolate(x, [lobatto(9)], [x])
    with pytest.raises(ValueError, match="5 nodes along each axis"):
        tail(torch.zeros(9, 3))
