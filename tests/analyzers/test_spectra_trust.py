"""Why to believe a spectrum: closed forms, dense Hessians by plain autograd, and peers."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

import landscape
from landscape.analyzers._curvature import operator
from landscape.analyzers._pyhessian import eigenvalues
from landscape.numerics.lanczos import lanczos
from landscape.subject.loss import cross_entropy
from landscape.subject.objective import Objective, ravel, unravel

DOUBLE = torch.float64
FAMILIES = ["conv", "hybrid", "msa", "plain"]
SPECTRA = {
    "pairs": [1.0, -1.0, 0.99, 0.5, -0.5],
    "cluster": [5.0, 4.999, 4.998, *torch.linspace(-1, 1, 37).tolist()],
    "multiple": [3.0, 3.0, 1.0, 1.0, 1.0],
    "rank deficient": [7.0, -4.0, 2.0, *[0.0] * 27],
    "negative definite": [-9.0, -5.0, -3.0, -1.0, -0.5],
    "one": [-2.0],
    "zero": [0.0] * 4,
}


def written_out(model, batches, loss=cross_entropy):
    """The Hessian, row by row by double backward through all examples in one pass: plain torch."""
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    leaves = [p for p in model.parameters() if p.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):
        first = torch.autograd.grad(loss(model(x), y).mean(), leaves, create_graph=True)
        flat = torch.cat([g.reshape(-1) for g in first])
        rows = [torch.autograd.grad(g, leaves, retain_graph=True) for g in flat]
    return torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])


@pytest.fixture
def dense(matrix_of, build, batches):
    """The dense Hessian of a network of each family over all batches."""
    return lambda name: matrix_of(build(name), batches)


def by_magnitude(matrix):
    values = torch.linalg.eigvalsh(matrix)
    return values[values.abs().argsort(descending=True)].numpy()


def extreme(risk, which, k=1, tol=1e-9):
    """Eigenvalues at an end, from the operator that analyzers use."""
    product, like = operator(risk)
    start = torch.randn(len(like), generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    found = lanczos(product, start.to(like), k=k, which=which, tol=tol, max_products=400)
    assert found.converged.all()
    return found.values


class Quadratic(nn.Module):
    """With the loss ``o' A o / 2`` its Hessian is ``A``, whatever the inputs."""

    def __init__(self, n):
        super().__init__()
        self.left = nn.Parameter(torch.linspace(-1, 1, n - n // 2, dtype=DOUBLE))
        self.right = nn.Parameter(torch.linspace(0, 1, n // 2, dtype=DOUBLE)) if n > 1 else None

    def forward(self, x):
        parts = [p for p in (self.left, self.right) if p is not None]
        return torch.cat(parts).expand(len(x), -1)


def quadratic(values, scale=1.0):
    values = torch.tensor(values, dtype=DOUBLE)
    n = len(values)
    generator = torch.Generator().manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=DOUBLE))
    a = scale * (q * values) @ q.T

    def loss(outputs, targets):
        return 0.5 * ((outputs @ a) * outputs).sum(1)

    return Quadratic(n), [(torch.zeros(3, 1, dtype=DOUBLE), torch.zeros(3))], loss


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("name", SPECTRA)
def test_a_prescribed_spectrum_comes_back_from_a_network(name, scale):
    values = torch.tensor(SPECTRA[name], dtype=DOUBLE)
    k = min(3, len(values))
    net, batches, loss = quadratic(SPECTRA[name], scale)
    found = landscape.hessian(net, batches, k=k, loss=loss, tol=1e-9)
    got = found.eigenvalue.values[0] / scale
    want = values.abs().sort(descending=True).values[:k]
    assert np.allclose(np.abs(got), want, rtol=1e-7, atol=1e-9)
    assert all(np.abs(values.numpy() - value).min() < 1e-7 for value in got)  # with its sign
    if name not in ("zero", "one"):
        risk = Objective(net, batches, loss)
        for which, true in (("LA", values.max()), ("SA", values.min())):
            assert torch.allclose(extreme(risk, which) / scale, true, rtol=1e-7)


def test_a_scaled_loss_has_a_scaled_spectrum_after_as_many_products(build, batches):
    net = build("conv")
    one = landscape.hessian(net, batches[:1], k=2)
    two = landscape.hessian(net, batches[:1], k=2, loss=lambda o, t: 2**-20 * cross_entropy(o, t))
    assert np.allclose(two.eigenvalue, 2**-20 * one.eigenvalue, rtol=1e-9)
    assert one.products.values.tolist() == two.products.values.tolist()


def test_softmax_regression_has_its_spectrum():
    """At weights of zero the Hessian is ``(1 - 11'/c) / c`` Kronecker ``X'X / n``."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 4, generator=generator, dtype=DOUBLE)
    net = nn.Linear(4, 3, bias=False).double()
    nn.init.zeros_(net.weight)
    y = torch.arange(9) % 3
    found = landscape.hessian(net, [(x[:5], y[:5]), (x[5:], y[5:])], k=10, tol=1e-9)
    inner = torch.linalg.eigvalsh(x.T @ x / 9).flip(0) / 3
    want = torch.cat([inner.repeat_interleave(2), torch.zeros(2, dtype=DOUBLE)])
    assert np.allclose(found.set_eigenvalue, want, rtol=1e-8, atol=1e-12)


def test_weight_decay_alone_is_a_multiple_of_the_identity(build, batches):
    found = landscape.hessian(
        build("plain"), batches[:1], k=2, weight_decay=0.3, loss=lambda o, t: 0 * o.sum(1)
    )
    assert np.allclose(found.eigenvalue, 0.3, rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_eigenvalues_are_those_of_the_dense_hessian(build, batches, dense, name):
    """At both ends too; neither the order of the examples nor their batches matter."""
    net, want = build(name), by_magnitude(dense(name))
    close = 1e-8 * abs(want[0])
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    singles = list(zip(x.split(1), y.split(1), strict=True))
    found = extreme(Objective(net, singles[::-1]), "LM", 3).numpy()
    assert np.abs(found - want[:3]).max() < close
    ends = extreme(Objective(net, [(x, y)]), "BE").numpy()
    assert np.abs(ends - [want.max(), want.min()]).max() < close


def test_batch_statistics_are_differentiated(build, batches):
    net, one = build("conv"), batches[:1]
    risk = Objective(net, one, batchnorm="batch")
    found = extreme(risk, "LM", 2)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.train()
    want = by_magnitude(written_out(net, one))
    assert np.abs(found.numpy() - want[:2]).max() < 1e-8 * abs(want[0])
    running = extreme(replace(risk, batchnorm="eval"), "LM", 2)
    assert (running - found).abs().max() > 1e-2 * found.abs().max()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", FAMILIES)
def test_forward_over_reverse_gives_the_same_product(build, batches, name):
    """Another mode of differentiation, and no Jacobian nested in it."""
    risk = Objective(build(name), batches)
    params = risk.parameters()
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))

    def value(some):
        return cross_entropy(functional_call(risk.model, some, (x,)), y).mean()

    generator = torch.Generator().manual_seed(3)
    flat = torch.randn(len(ravel(params)), generator=generator, dtype=DOUBLE)
    v = unravel(flat, params)
    with sdpa_kernel(SDPBackend.MATH):
        _, want = torch.func.jvp(torch.func.grad(value), (params,), (v,))
    got = ravel(risk.hvp(params, v))
    assert (got - ravel(want)).norm() < 1e-10 * got.norm()


def test_the_largest_magnitude_may_be_negative(build, batches, dense):
    """An untrained ViT: power iteration calls its most negative eigenvalue the top one."""
    values = by_magnitude(dense("msa"))
    assert values[0] < 0 < values.max() < -values[0]
    found = landscape.hessian(build("msa"), batches, k=1, tol=1e-8, ends=True)
    assert found.set_eigenvalue.item() == pytest.approx(values[0], rel=1e-8)
    ends = [values.max(), values[0]]
    assert np.allclose(found.end_eigenvalue.values.ravel(), ends, rtol=1e-8)


def test_a_long_run_has_no_ghosts(build, batches, dense):
    """A hundred products, most after the first values are there; copies would push others out."""
    want = by_magnitude(dense("msa"))[:8]
    assert (np.diff(np.abs(want)) < -1e-3).all()
    found = landscape.density(build("msa"), batches, probes=1, steps=100)
    assert int(found.products) == 100
    nodes = found.node.values[0]
    assert np.allclose(nodes[np.abs(nodes).argsort()[::-1][:8]], want, rtol=1e-8)


def test_rescaled_queries_and_keys_move_the_spectrum_as_predicted(build, batches):
    """``q -> a q, k -> k / a`` leaves the function: ``D H D`` with the inverse scales."""
    net, a, one = build("msa"), 3.0, batches[:1]
    before = written_out(net, one)
    scale = {n: torch.ones_like(p) for n, p in net.named_parameters()}
    for name in scale:
        if ".qkv." in name:
            width = len(scale[name]) // 3
            scale[name][:width] *= a
            scale[name][width : 2 * width] /= a
    outputs, d = net(one[0][0]).detach(), 1 / ravel(scale)
    for name, value in net.named_parameters():
        value.data.mul_(scale[name])
    assert torch.allclose(net(one[0][0]), outputs, rtol=1e-10)
    want, old = by_magnitude(d[:, None] * before * d), by_magnitude(before)
    found = landscape.hessian(net, one, k=3, tol=1e-9).eigenvalue[0].values
    assert np.allclose(found, want[:3], rtol=1e-8)
    assert np.abs(want[:3] - old[:3]).max() > 1e-2 * abs(old[0])  # or nothing is tested


@pytest.mark.parametrize("name", ["conv", "msa"])
def test_the_distribution_is_the_dense_one(build, batches, dense, name):
    """Area between the distribution functions, and their largest distance outside the spike at 0.

    Bounds are what these networks have (0.17 of the mean magnitude, 0.027), and a half more.
    """
    values = torch.linalg.eigvalsh(dense(name)).numpy()
    found = landscape.density(build(name), batches, probes=8, steps=40)
    nodes, weights = found.node.values.ravel(), found.weight.values.ravel() / 8
    size = np.abs(values).mean()
    assert wasserstein_distance(nodes, values, weights) < 0.26 * size
    assert wasserstein_distance(1.5 * nodes, values, weights) > 0.26 * size  # or nothing is tested
    reach = np.abs(values).max()
    points = values[np.abs(values) > 1e-2 * reach] + 1e-9 * reach
    seen = np.array([weights[nodes <= p].sum() for p in points])
    true = np.array([(values <= p).mean() for p in points])
    assert np.abs(seen - true).max() < 0.04


def test_more_probes_are_nearer(build, batches, dense):
    values = torch.linalg.eigvalsh(dense("plain")).numpy()
    found = landscape.density(build("plain"), batches, probes=16, steps=30)

    def area(rows):
        nodes, weights = found.node.values[rows].ravel(), found.weight.values[rows].ravel()
        return wasserstein_distance(nodes, values, weights)

    single = np.mean([area([i]) for i in range(16)])
    four = np.mean([area(range(i, i + 4)) for i in range(0, 16, 4)])
    assert area(range(16)) < 0.9 * four < 0.7 * single


def test_operators_do_not_see_each_other_and_keep_nothing(build, batches):
    net = build("plain").float()
    cast = [(x.float(), y) for x, y in batches]
    alone, like = operator(Objective(net, cast))
    want = alone(like)
    other, _ = operator(Objective(net, cast))
    assert torch.equal(other(like), want)
    assert torch.equal(alone(like), want)
    del alone, other

    def held():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    before = held()
    for _ in range(50):
        operator(Objective(net, cast))[0](like)
    assert held() <= before + 2


def test_a_loss_that_is_no_number_is_said(build, batches):
    net = build("conv")
    with pytest.raises(ValueError, match="not finite"):
        landscape.hessian(net, batches, k=1, loss=lambda o, t: (o.sum(1) * 0).log())


def trained(steps=40):
    """A small network without layer norm, smooth, off its initialisation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 3)
        ).double()
        x, y = torch.randn(16, 3, 8, 8, dtype=DOUBLE), torch.randint(3, (16,))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        cross_entropy(net(x), y).mean().backward()
        optimiser.step()
    return net, [(x, y)]


def test_pyhessian_finds_the_same_eigenvalues():
    net, batches = trained()
    ours = landscape.hessian(net, batches, k=5, tol=1e-6).eigenvalue.values[0]
    theirs, products = eigenvalues(net, batches, cross_entropy, 5, 1e-7, 2500, 0)
    assert np.allclose(ours, theirs, rtol=1e-3)
    assert products <= 2500


def _curvlinops(net, batches, v):
    peer = pytest.importorskip("curvlinops", reason="the test extra has curvlinops-for-pytorch")
    params = [p for p in net.parameters() if p.requires_grad]
    matrix = peer.HessianLinearOperator(net, nn.CrossEntropyLoss(), params, batches)
    return matrix @ v


def _pair(net, batches):
    risk = Objective(net, batches)
    params = risk.parameters()
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(len(ravel(params)), generator=generator, dtype=DOUBLE)
    return risk, params, v, ravel(risk.hvp(params, unravel(v, params)))


@pytest.mark.filterwarnings("ignore")
def test_curvlinops_gives_the_same_products_without_layer_norm():
    net, batches = trained()
    _, _, v, ours = _pair(net, batches)
    theirs = _curvlinops(net, batches, v)
    assert (theirs - ours).norm() < 1e-10 * ours.norm()


@pytest.mark.filterwarnings("ignore")
def test_curvlinops_is_no_oracle_through_layer_norm():
    """Its product nests a Jacobian in a forward pass; finite differences decide who is right."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)).double()
    batches = [(torch.randn(5, 4, dtype=DOUBLE), torch.tensor([0, 1, 2, 0, 1]))]
    risk, params, v, ours = _pair(net, batches)
    step = 1e-5
    up, down = (
        ravel(risk.gradient(unravel(ravel(params) + s * step * v, params))) for s in (1, -1)
    )
    assert ((up - down) / (2 * step) - ours).norm() < 1e-8 * ours.norm()
    theirs = _curvlinops(net, batches, v)
    if torch.allclose(theirs, ours, rtol=1e-6, atol=1e-8):
        pytest.skip("curvlinops is right through LayerNorm with this version of torch")
    assert (theirs - ours).norm() > 1e-3 * ours.norm()
