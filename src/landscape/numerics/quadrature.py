"""The spectrum of a symmetric operator by stochastic Lanczos quadrature.

A Lanczos run from a random unit vector gives the Gauss quadrature of that vector's spectral
measure: nodes (Ritz values) and weights (squared first components). The average over vectors is
the distribution of the eigenvalues (Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from landscape.numerics.basis import Basis, norm


class Estimate(NamedTuple):
    """A value and its standard error over the probes (NaN for one probe)."""

    value: Tensor
    error: Tensor


def mean(rows: Tensor) -> Estimate:
    """Mean over the first dimension, with its standard error."""
    error = rows.std(0) / len(rows) ** 0.5 if len(rows) > 1 else torch.full_like(rows[0], torch.nan)
    return Estimate(rows.mean(0), error)


@dataclass(frozen=True)
class Quadrature:
    """Gauss quadratures of the spectral measures of some probes.

    Two with different probes add up to one with all of them.

    Attributes
    ----------
    nodes, weights
        float64 ``(probe, step)``; nodes rise, weights of a probe sum to 1. After an early end of
        the Krylov space the last node is repeated with weight 0.
    size
        ``n``, the number of eigenvalues.
    products
        Operator-vector products used.
    """

    nodes: Tensor
    weights: Tensor
    size: int
    products: int

    def __add__(self, other: "Quadrature") -> "Quadrature":
        if self.size != other.size:
            raise ValueError(f"operators of sizes {self.size} and {other.size} do not add up")
        parts = [_widen(q, max(self.nodes.shape[1], other.nodes.shape[1])) for q in (self, other)]
        nodes, weights = (torch.cat(pair) for pair in zip(*parts, strict=True))
        return Quadrature(nodes, weights, self.size, self.products + other.products)


@dataclass(frozen=True)
class Known:
    """Eigenpairs of an operator that are known.

    Attributes
    ----------
    values
        ``(q,)``.
    vectors
        ``(q, n)``, orthonormal rows.
    """

    values: Tensor
    vectors: Tensor

    def project(self, vector: Tensor) -> Tensor:
        """The part that is orthogonal to all of them."""
        for _ in range(2):  # once leaves a part as large as the rounding of what it takes out
            vector = vector - self.vectors.T @ (self.vectors @ vector)
        return vector


def slq(
    matvec: Callable[[Tensor], Tensor],
    n: int,
    *,
    probes: int = 10,
    steps: int = 80,
    first: int = 0,
    seed: int = 0,
    kind: Literal["rademacher", "gaussian"] = "rademacher",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    store: torch.dtype | None = None,
    host: bool = False,
    deflate: Known | None = None,
    progress: Callable[[Iterable[int], int, str], Iterator[Any]] | None = None,
) -> Quadrature:
    r"""Run Lanczos from random unit vectors, with full reorthogonalisation.

    Parameters
    ----------
    matvec
        ``(n,)`` to ``(n,)``, symmetric; vectors have this ``dtype`` on this ``device``.
    probes, first, seed
        Probes ``first`` to ``first + probes - 1`` of this seed. A probe depends on its number
        alone, not on the device or how many there are: a run can be taken up or extended.
    steps
        Products a probe, fewer when its Krylov space ends.
    kind
        Entries +-1 (their trace has no variance for a diagonal operator), or normal.
    store, host
        As for ``lanczos``: where and in which dtype the ``steps`` basis vectors are held.
    deflate
        Eigenpairs that are known: they stand in every probe with their exact weight ``1 / n``, and
        the probes sample the rest of the space, so outliers add no variance. Traces stay unbiased
        where the pairs have not converged, if each value is the Rayleigh quotient of its vector;
        of ``q`` of them with residuals ``r`` the sum of squares lacks ``2 sum r^2``.
    progress
        ``progress(items, total, label)`` yields the items, as analyzers have it.

    Examples
    --------
    >>> d = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
    >>> found = slq(lambda v: d * v, 3, probes=2, dtype=torch.float64)
    >>> trace(found).value.round(decimals=9), found.products
    (tensor(9., dtype=torch.float64), 6)

    With the largest known, two steps tell the rest:

    >>> known = Known(d[2:], torch.eye(3, dtype=torch.float64)[2:])
    >>> found = slq(lambda v: d * v, 3, probes=2, dtype=torch.float64, deflate=known)
    >>> found.nodes[0].round(decimals=9).tolist(), found.products
    ([1.0, 2.0, 6.0], 4)
    """
    if n < 1 or probes < 1 or steps < 1:
        raise ValueError(f"n, probes, steps must be at least 1, got {n}, {probes}, {steps}")
    like = torch.empty(n, dtype=dtype, device=device)
    rows = Basis(like, store=store, host=host)
    numbers = range(first, first + probes)
    exact = like.new_empty(0).double() if deflate is None else deflate.values.double()
    project = deflate.project if deflate is not None else _same
    left = n - len(exact)
    quadratures = []
    for number in progress(numbers, probes, "probes") if progress else numbers:
        nodes = weights = exact.new_empty(0)
        if left:
            vector = project(probe(n, seed, number, kind).to(like))
            vector = vector / norm(vector)
            nodes, weights = _gauss(matvec, vector, min(steps, left), rows, project)
        every, order = torch.cat([nodes, exact.to(nodes)]).sort()
        share = torch.cat([weights * (left / n), torch.full_like(exact, 1 / n).to(nodes)])[order]
        quadratures.append(Quadrature(every[None], share[None], n, len(nodes)))
    width = max(q.nodes.shape[1] for q in quadratures)
    parts = [_widen(q, width) for q in quadratures]
    nodes, weights = (torch.cat(pair) for pair in zip(*parts, strict=True))
    return Quadrature(nodes, weights, n, sum(q.products for q in quadratures))


def probe(n: int, seed: int, number: int, kind: str = "rademacher") -> Tensor:
    """Random vector on the CPU, the same wherever and in whatever order it is drawn.

    Examples
    --------
    >>> probe(4, seed=0, number=0).abs()
    tensor([1., 1., 1., 1.], dtype=torch.float64)
    """
    if kind not in ("rademacher", "gaussian"):
        raise ValueError(f"probes are 'rademacher' or 'gaussian', got {kind!r}")
    generator = torch.Generator().manual_seed((seed * 1_000_003 + number) % (1 << 63))
    if kind == "gaussian":
        return torch.randn(n, generator=generator, dtype=torch.float64)
    return torch.randint(0, 2, (n,), generator=generator, dtype=torch.int8).double() * 2 - 1


def average(q: Quadrature, function: Callable[[Tensor], Tensor]) -> Estimate:
    """Mean of a function over the eigenvalues, ``tr f(A) / n``.

    Exact a probe for polynomials of degree up to ``2 steps - 1``.
    """
    return mean((q.weights * function(q.nodes)).sum(1))


def trace(q: Quadrature) -> Estimate:
    """Sum of the eigenvalues."""
    value, error = average(q, lambda x: x)
    return Estimate(value * q.size, error * q.size)


def frobenius(q: Quadrature) -> Estimate:
    """Sum of the squared eigenvalues, the squared Frobenius norm."""
    value, error = average(q, torch.square)
    return Estimate(value * q.size, error * q.size)


def cdf(q: Quadrature, points: Tensor) -> Estimate:
    """Share of the eigenvalues up to each point.

    At a node half its weight counts. Between two nodes a probe's true value may differ by the
    weight of either (Chebyshev, Markov, Stieltjes); that is resolution and not in the error.
    """
    gap = points[:, None, None].double() - q.nodes
    return mean((q.weights * (gap.sign() + 1) / 2).sum(-1).T)


def mass(q: Quadrature, *, below: float = 0.0) -> Estimate:
    """Share of the eigenvalues below a threshold.

    Where many eigenvalues are 0, rounding decides the sign of a node there: use a threshold a
    little below 0, or ``jackknife`` a ratio weighted by the magnitude.
    """
    return average(q, lambda x: (x < below).double())


def quantile(q: Quadrature, share: float) -> Estimate:
    """Eigenvalue below which a share of the spectrum lies.

    Its error is half the distance of the quantiles one standard error of the distribution function
    to either side (Woodruff 1952); a jackknife of a quantile would be inconsistent.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    nodes, order = q.nodes.flatten().sort()
    total = q.weights.flatten()[order].cumsum(0) / len(q.nodes)

    def at(level: Tensor) -> Tensor:
        return nodes[torch.searchsorted(total, level).clamp(max=len(nodes) - 1)]

    level = nodes.new_tensor(share)
    error = cdf(q, at(level)[None]).error[0]
    if error.isnan():
        return Estimate(at(level), error)
    return Estimate(at(level), (at(level + error) - at((level - error).clamp(min=0.0))) / 2)


def jackknife(q: Quadrature, statistic: Callable[[Tensor, Tensor], Tensor]) -> Estimate:
    """A function of (nodes, weights) of all probes, with the error from leaving out one at a time.

    Examples
    --------
    Share of the negative eigenvalues in the sum of all magnitudes:

    >>> d = torch.tensor([3.0, -1.0], dtype=torch.float64)
    >>> found = slq(lambda v: d * v, 2, probes=4, dtype=torch.float64)
    >>> share = lambda x, w: (w * x.clamp(max=0)).sum() / -(w * x.abs()).sum()
    >>> jackknife(found, share).value.round(decimals=9)
    tensor(0.2500, dtype=torch.float64)
    """
    value, count = statistic(q.nodes, q.weights), len(q.nodes)
    if count < 2:
        return Estimate(value, torch.full_like(value, torch.nan))
    rest = [torch.arange(count) != i for i in range(count)]
    left = torch.stack([statistic(q.nodes[keep], q.weights[keep]) for keep in rest])
    return Estimate(value, ((left - left.mean(0)).square().sum(0) * (count - 1) / count).sqrt())


def _same(vector: Tensor) -> Tensor:
    return vector


def _gauss(
    matvec: Callable[[Tensor], Tensor],
    vector: Tensor,
    steps: int,
    rows: Basis,
    project: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Nodes and weights of one probe; their number is that of the products."""
    small = torch.zeros(steps, steps, dtype=torch.float64)
    scale, before, coupling = 0.0, None, 0.0
    for j in range(steps):
        rows.put(j, vector)
        image = matvec(vector)
        if not torch.isfinite(image).all():
            raise ValueError("the Hessian-vector product is not finite: the loss or its curvature")
        own = float(torch.dot(vector.double(), image.double()))
        scale = max(scale, norm(image))  # grows to the largest eigenvalue that counts
        small[j, j] = own
        if j == steps - 1:
            break
        image = image - own * vector
        if before is not None:
            image -= coupling * before
        image = project(rows.orthogonalise(image, j + 1))
        coupling, before = norm(image), vector
        if coupling <= 100 * torch.finfo(vector.dtype).eps * scale:
            small = small[: j + 1, : j + 1]
            break
        small[j, j + 1] = small[j + 1, j] = coupling
        vector = image / coupling
    nodes, vectors = torch.linalg.eigh(small)
    return nodes, vectors[0].square()


def _widen(q: Quadrature, steps: int) -> tuple[Tensor, Tensor]:
    extra = steps - q.nodes.shape[1]
    nodes = torch.cat([q.nodes, q.nodes[:, -1:].expand(-1, extra)], 1)
    return nodes, torch.cat([q.weights, q.weights.new_zeros(len(nodes), extra)], 1)
