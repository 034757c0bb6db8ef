"""Hessians, spectra and slices: prescribed matrices, quadratics, and small networks."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import landscape
from landscape.models.alternet import AlterNet
from landscape.models.resnet import ResNet
from landscape.models.vit import ViT
from landscape.numerics.broadening import density as broadened
from landscape.numerics.lanczos import lanczos
from landscape.numerics.quadrature import probe, slq
from landscape.selftest import check
from landscape.subject.objective import Objective, ravel, unravel

Batch = list[tuple[Tensor, Tensor]]
#: both signs, a pair, a cluster, zeros
SPECTRUM = torch.tensor([9.0, -7.0, 5.0, 5.0, 1.001, 1.0, 0.999, -0.5, 0.0, 0.0, 1e-3, 2.0])


def prescribed() -> tuple[Tensor, Tensor]:
    """A symmetric matrix and its eigenvalues."""
    values = SPECTRUM.double()
    turn = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64)).Q
    return turn @ torch.diag(values) @ turn.T, values


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of one output."""
    return (outputs[:, 0] - targets) ** 2


def least_squares() -> tuple[nn.Linear, Batch, Tensor]:
    """Least squares in six parameters, ragged batches, and its Hessian ``2 / n X' X``."""
    x = torch.randn(20, 6, dtype=torch.float64) * torch.arange(1.0, 7.0)
    y = torch.randn(20, dtype=torch.float64)
    net = nn.Linear(6, 1, bias=False).double()
    return net, [(x[:13], y[:13]), (x[13:], y[13:])], 2 / 20 * x.T @ x


def networks() -> list[tuple[nn.Module, Batch]]:
    """Convolutions, self-attention and a hybrid, small and in float64, with images."""
    x, y = torch.randn(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    made = [
        ResNet(blocks=(1, 1), widths=(3, 4), classes=3),
        ViT(size=8, patch=4, dim=8, depth=2, heads=2, classes=3),
        AlterNet((1, 2), (0, 1), (3, 4), (2, 2), head_dim=2, window=2, classes=3),
    ]
    return [(net.double().eval(), [(x, y)]) for net in made]


def smooth() -> tuple[nn.Module, Batch]:
    """A small classifier without kinks."""
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    return net, [(torch.randn(7, 4, dtype=torch.float64), torch.arange(7) % 3)]


def dense(net: nn.Module, batches: Batch) -> Tensor:
    """Hessian of the mean cross entropy row by row, by torch's own double backward."""
    params = list(net.parameters())
    losses = torch.cat([cross_entropy(net(x), y, reduction="none") for x, y in batches])
    parts = torch.autograd.grad(losses.mean(), params, create_graph=True)
    first = torch.cat([g.flatten() for g in parts])
    rows = [torch.autograd.grad(g, params, retain_graph=True) for g in first]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def gauss_newton(net: nn.Module, batches: Batch) -> Tensor:
    """``J' H_out J`` with the softmax's own ``diag(p) - p p'``, written out."""
    params = list(net.parameters())
    total, count = torch.zeros((), dtype=torch.float64), 0
    for x, _ in batches:
        for outputs in net(x):
            rows = [torch.autograd.grad(o, params, retain_graph=True) for o in outputs]
            jacobian = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
            p = outputs.detach().softmax(0)
            total = total + jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
            count += 1
    return total / count


def built(objective: Objective) -> Tensor:
    """The matrix whose products an objective computes, column by column."""
    params = objective.parameters()
    product = objective.linearise(params)
    eye = torch.eye(ravel(params).numel(), dtype=torch.float64)
    return torch.stack([ravel(product(unravel(row, params))) for row in eye])


@check(1e-8)
def prescribed_spectrum() -> ArrayLike:
    """Lanczos finds the eigenvalues that a matrix was made of, at both ends, also the pairs."""
    matrix, values = prescribed()
    start = torch.randn(len(values), dtype=torch.float64)
    found = lanczos(lambda v: matrix @ v, start, k=4, which="BE", tol=1e-10)
    rising = values.sort().values
    return found.values - torch.cat([rising.flip(0)[:4], rising[:4]])


@check(1e-8)
def quadrature() -> ArrayLike:
    """With a step for each eigenvalue, Lanczos quadrature is the spectral measure of its probes."""
    n, count = 24, 5
    matrix = torch.randn(n, n, dtype=torch.float64)
    matrix = matrix + matrix.T
    values, vectors = torch.linalg.eigh(matrix)
    found = slq(lambda v: matrix @ v, n, probes=count, steps=n, dtype=torch.float64)
    grid = torch.linspace(float(values[0]) - 1, float(values[-1]) + 1, 50, dtype=torch.float64)
    kernel = (-0.5 * ((grid[:, None] - values) / 0.7) ** 2).exp() / (0.7 * math.sqrt(2 * math.pi))
    probes = torch.stack([probe(n, 0, number) for number in range(count)])
    weights = ((probes @ vectors) ** 2 / n).mean(0)
    curve = broadened(found, grid, width=0.7).value - kernel @ weights
    return torch.cat([curve, (found.nodes - values).flatten()])


@check(1e-8)
def density_of_a_network() -> ArrayLike:
    """The nodes of a density have the moments v' H^k v of the dense Hessian, up to k = 2 m - 1."""
    net, batches = smooth()
    matrix, steps = dense(net, batches), 6
    matrix = matrix / torch.linalg.matrix_norm(matrix, 2)
    found = landscape.density(net, batches, probes=3, steps=steps)
    scale = float(torch.linalg.matrix_norm(dense(net, batches), 2))
    off = []
    for number, (nodes, weights) in enumerate(
        zip(found.node.values / scale, found.weight.values, strict=True)
    ):
        v = probe(len(matrix), 0, number) / len(matrix) ** 0.5
        power = v
        for k in range(2 * steps):
            off.append(float(v @ power) - float((weights * nodes**k).sum()))
            power = matrix @ power
    return off


@check(1e-9)
def quadratic() -> ArrayLike:
    """The Hessian of least squares is 2 / n X' X, whatever the batches."""
    net, batches, matrix = least_squares()
    found = landscape.hessian(net, batches, k=6, loss=squared, tol=1e-10)
    want = torch.linalg.eigvalsh(matrix).flip(0)
    return found.set_eigenvalue.values / want.numpy() - 1


@check(1e-9)
def decay_shift() -> ArrayLike:
    """An L2 term of lambda adds lambda to every eigenvalue (H + lambda I)."""
    net, batches, _ = least_squares()
    plain, decayed = (
        landscape.hessian(net, batches, k=6, loss=squared, tol=1e-10, weight_decay=decay)
        for decay in (0.0, 0.75)
    )
    return decayed.set_eigenvalue.values - plain.set_eigenvalue.values - 0.75


@check(1e-10)
def dense_hessian() -> ArrayLike:
    """Products are those of the Hessian built row by row with torch's own double backward."""
    net, batches = smooth()
    return built(Objective(net, batches)) - dense(net, batches)


@check(1e-10)
def parts() -> ArrayLike:
    """H is the Gauss-Newton matrix J' (diag p - p p') J plus what is called the residual."""
    net, batches = smooth()
    whole, ggn, rest = (
        built(Objective(net, batches, matrix=name)) for name in ("hessian", "ggn", "residual")
    )
    written = gauss_newton(net, batches)
    return torch.stack([whole - ggn - rest, ggn - written, rest - (dense(net, batches) - written)])


@check(1e-6)
def gradients() -> ArrayLike:
    """Hv is the derivative of the gradient along v: convolutions, attention, both, in eval mode."""
    off = []
    for net, batches in networks():
        objective = Objective(net, batches)
        params = objective.parameters()
        origin = ravel(params)
        v = torch.randn(len(origin), dtype=torch.float64)
        v *= float(origin.norm()) / float(v.norm())
        step = 1e-6
        ahead, behind = (
            ravel(objective.gradient(unravel(origin + way * v, params))) for way in (step, -step)
        )
        product = ravel(objective.hvp(params, unravel(v, params)))
        off.append(((ahead - behind) / (2 * step) - product) / product.norm())
    return torch.cat(off)


@check(1e-10)
def quadratic_surface() -> ArrayLike:
    """On a slice of least squares the loss is a paraboloid: all points follow from 2 / n X' X."""
    net, batches, matrix = least_squares()
    one, two = torch.randn(2, 6, dtype=torch.float64)
    ways = [{"weight": way[None]} for way in (one, two)]
    found = landscape.surface(net, batches, points=5, loss=squared, directions=ways)
    weight = net.weight.detach()[0]
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    gradient = 2 / len(x) * x.T @ (x @ weight - y)
    centre = ((x @ weight - y) ** 2).mean()
    off = []
    for i, alpha in enumerate(found.alpha.values):
        for j, beta in enumerate(found.beta.values):
            d = alpha * one + beta * two
            off.append(float(centre + gradient @ d + d @ matrix @ d / 2) - float(found.nll[i, j]))
    return np.array(off) / float(centre)
