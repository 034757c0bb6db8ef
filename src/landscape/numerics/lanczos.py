"""Extreme eigenvalues of a symmetric operator by the Lanczos method.

Full reorthogonalisation keeps the basis orthogonal to rounding, so no ghost copies of converged
eigenvalues appear; a thick restart (Wu & Simon 2000) bounds the memory; projections are float64
whatever the dtype of the vectors.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from landscape.numerics.basis import Basis, norm

Which = Literal["LM", "LA", "SA", "BE"]

_FRESH = 0x1A2C705  # seed of directions after an exhausted space; no start should come from it
_SAFETY = 30.0  # of residual^2 / gap: with 1 up to 40 % of runs claim too much, with 10 up to 12 %


@dataclass(frozen=True)
class Eigenpairs:
    """Some eigenvalues of a symmetric operator, with their doubt.

    Attributes
    ----------
    values
        float64 ``(k,)``; signed, ordered as asked. For ``"BE"`` ``(2 k,)``: the largest, falling,
        then the smallest, rising.
    residuals
        ``|A v - value v|`` for the unit Ritz vector ``v``. An eigenvalue of the operator lies
        within this distance of each value, always.
    errors
        Upper estimate of the distance to the true value, ``min(residual, 30 residual^2 / gap)``.
    missed
        How many eigenvalues beyond each value the run is expected not to have seen.
    converged
        bool; by the rule that stopped the run.
    products
        Operator-vector products used.
    vectors
        One Ritz vector a row.
    """

    values: Tensor
    residuals: Tensor
    errors: Tensor
    missed: Tensor
    converged: Tensor
    products: int
    vectors: Tensor


def lanczos(
    matvec: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    k: int,
    which: Which = "LM",
    tol: float = 1e-3,
    stop: Literal["residual", "error"] = "residual",
    miss: float = 0.02,
    max_products: int = 200,
    basis: int | None = None,
    store: torch.dtype | None = None,
    host: bool = False,
) -> Eigenpairs:
    r"""Find the ``k`` eigenvalues of largest magnitude (or at an end) of a symmetric operator.

    Parameters
    ----------
    matvec
        ``(n,)`` to ``(n,)``, symmetric.
    start
        ``(n,)``, not zero; its dtype and device are those of the vectors. Draw it at random:
        ``missed`` counts on that, and wanted vectors that it happens to lack stay hidden.
    k
        How many, at most ``n``.
    which
        ``"LM"`` largest magnitude, ``"LA"`` algebraically largest, ``"SA"`` smallest, ``"BE"``
        both ends, ``k`` at each.
    tol, stop, miss
        Stop when every wanted residual is at most ``tol * |value|``; or, by the rule ``"error"``,
        when every error is and at most ``miss`` wanted eigenvalues are expected to hide.
    max_products
        Give up after so many products; what has not converged is flagged.
    basis
        Vectors held at once, at least twice the wanted and two; restart when used up. Unbounded
        if None.
    store, host
        Keep the basis in this dtype, or in host memory (reorthogonalisation runs there). float16
        rows halve the memory and cost a value up to 1e-4 of its magnitude (measured: 3e-7 with
        spread eigenvectors), bfloat16 1e-3 (2e-5). Vectors are then only as good as the rows;
        residuals and errors are those of exact ones.

    Raises
    ------
    ValueError
        If ``k`` is not in ``1..n``, a rule is unknown, or the operator returns a number that is not
        finite.

    Notes
    -----
    The gap is to the nearest other Ritz value less that value's residual; near ones can count as
    one cluster with the root sum of squares of their residuals (Kato-Temple; Parlett 1980,
    chapter 11). No residual sees an eigenvalue whose vector the start hardly contains, and that is
    what goes wrong: the next basis vector is ``p(A) start`` with the Ritz values as the roots of
    ``p``, its norm is 1, so an eigenvalue ``x`` can hide only if the part of its vector in the
    start is below ``1 / |p(x)|``, which has the probability ``sqrt(2 n / pi) / |p(x)|`` for a
    random start (van Dorsselaer, Hochstenbach & van der Vorst 2000). Averaged over each gap
    between Ritz values as if one eigenvalue were to lie there, and summed beyond a value, it is
    ``missed``. Warm starts lose it: from the Ritz vectors of the mini-batch before, runs on a
    ResNet saved 2 of 18 products at best, and one of four missed an eigenvalue.

    Wrong runs (a value off by more than its claim or the tolerance) of 1,200 by each rule, over 12
    spectra (outliers, decays, pairs, clusters, heavy tails), and products on average:

    ====  =======  ===========  =======  ==============  =======
    k     tol      residual     prod.    error           prod.
    ====  =======  ===========  =======  ==============  =======
    1     1e-3     0.6 %        9.3      0.8 %           8.9
    1     1e-2     3.8 %        7.0      1.2 %           8.5
    5     1e-3     0            17.3     0               17.3
    5     1e-2     1.3 %        15.3     0               17.0
    ====  =======  ===========  =======  ==============  =======

    So at 1e-3 they agree, and a looser tolerance is kept by ``"error"`` only. The values are right
    some three products before either stops; a rule that stops there misses eigenvalues.

    A start has only one direction in each eigenspace, so a multiple eigenvalue shows once until
    the Krylov space is exhausted. When that happens (the next vector vanishes to rounding) the run
    goes on with a fresh random direction, and stops when a whole further block adds nothing to the
    wanted values.

    Examples
    --------
    >>> d = torch.tensor([3.0, -5.0, 1.0, 0.5], dtype=torch.float64)
    >>> lanczos(lambda v: d * v, torch.ones(4, dtype=torch.float64), k=2).values.round(decimals=6)
    tensor([-5.,  3.], dtype=torch.float64)
    """
    n = start.shape[-1]
    ends = 2 * k if which == "BE" else k
    if not 1 <= k <= n:
        raise ValueError(f"k must be between 1 and the {n} parameters, got {k}")
    if which not in get_args(Which) or stop not in ("residual", "error"):
        raise ValueError(
            f"which is one of {', '.join(get_args(Which))}, stop 'residual' or 'error'; "
            f"got {which!r} and {stop!r}"
        )
    if max_products < min(ends, n):
        raise ValueError(f"max_products must be at least {min(ends, n)}, got {max_products}")
    generator = torch.Generator().manual_seed(_FRESH)
    cap = min(n, max_products)
    if basis is not None:
        cap = min(cap, max(basis, 2 * ends + 2))
    rows = Basis(start, store=store, host=host)
    projected = torch.zeros(cap + 1, cap + 1, dtype=torch.float64)
    tiny = 100 * torch.finfo(start.dtype).eps

    vector = start / norm(start)
    kept, products, coupling = 0, 0, 0.0
    before: Tensor | None = None  # the vector that the last one was coupled to, alone
    origin, roots = 0, projected.new_empty(0)  # where the polynomial goes on since the restart
    chance = 0.5 * math.log(2 * n / math.pi)
    settled: Tensor | None = None  # wanted values at the last exhaustion of a Krylov space
    exhausted = False
    while True:
        rows.put(kept, vector)
        image = matvec(vector)
        products += 1
        if not torch.isfinite(image).all():
            raise ValueError("the Hessian-vector product is not finite: the loss or its curvature")
        own = float(torch.dot(vector.double(), image.double()))
        projected[kept, kept] = own
        image = image - own * vector
        if before is not None:
            image -= coupling * before
        kept += 1
        image = rows.orthogonalise(image, kept)
        length = norm(image)
        values, small = torch.linalg.eigh(projected[:kept, :kept])
        scale = float(values.abs().max())
        broke = length <= tiny * max(scale, float(torch.finfo(start.dtype).tiny))
        coupling = 0.0 if broke or kept == n else length
        exhausted |= broke
        chance += math.log(coupling) if coupling else 0.0
        wanted = _wanted(values, which, k)
        every = coupling * small[-1].abs()
        errors, residuals = _errors(values, every, wanted), every[wanted]
        done = (residuals if stop == "residual" else errors) <= tol * values[wanted].abs()
        full = kept >= min(ends, n)
        last = kept == n or products >= max_products
        missed = torch.zeros(len(wanted), dtype=torch.float64)
        if coupling and not exhausted and ((full and bool(done.all())) or last):
            block = torch.cat([roots, torch.linalg.eigvalsh(projected[origin:kept, origin:kept])])
            missed = _missed(values, values[wanted], which, block, chance)
            if stop == "error":
                done &= missed <= miss
        if exhausted:  # multiplicities may hide: only a block that adds nothing settles it
            same = settled is not None and _close(settled, values[wanted])
            finished = broke and same and full
            if broke:
                settled = values[wanted].clone()
        else:
            finished = full and bool(done.all())
        if finished or last:
            break
        before = vector
        if kept == cap:
            block = projected[origin:kept, origin:kept]
            roots = torch.cat([roots, torch.linalg.eigvalsh(block)])
            kept = origin = _restart(rows, projected, values, small, which, ends, coupling)
            before = None
        elif coupling:
            projected[kept, kept - 1] = projected[kept - 1, kept] = coupling
        if coupling:
            vector = image / length
        else:
            before = None
            fresh = torch.randn(n, generator=generator, dtype=torch.float64).to(start)
            vector = rows.orthogonalise(fresh / norm(fresh), kept)
            vector = vector / norm(vector)
    vectors = rows.combine(small[:, wanted].T)
    return Eigenpairs(values[wanted], residuals, errors, missed, done, products, vectors)


def _restart(
    rows: Basis,
    projected: Tensor,
    values: Tensor,
    small: Tensor,
    which: Which,
    ends: int,
    coupling: float,
) -> int:
    """Shrink the basis to the best Ritz vectors; the next vector couples to all of them."""
    keep = min(ends + (len(values) - ends) // 2, len(values) - 2)
    keep -= keep % 2 if which == "BE" else 0
    best = _wanted(values, which, keep // 2 if which == "BE" else keep)
    rows.rotate(small[:, best].T)
    projected.zero_()
    projected[:keep, :keep] = torch.diag(values[best])
    projected[keep, :keep] = projected[:keep, keep] = coupling * small[-1, best]
    return keep


def _wanted(values: Tensor, which: Which, k: int) -> Tensor:
    if which == "BE":
        return torch.cat([_wanted(values, "LA", k), _wanted(values, "SA", k)])
    key = {"LM": values.abs(), "LA": values, "SA": -values}[which]
    return torch.argsort(key, descending=True, stable=True)[:k]


def _errors(values: Tensor, residuals: Tensor, wanted: Tensor) -> Tensor:
    """Estimate of each wanted error, over clusters of the 1, 2, ... Ritz values next to it."""
    distance, order = (values - values[wanted, None]).abs().sort(dim=1)
    near = residuals[order]
    cluster = near.square().cumsum(1)[:, :-1]
    outside = (distance - near).flip(1).cummin(1).values.flip(1)[:, 1:]
    second = torch.where(outside > 0, _SAFETY * cluster / outside, torch.inf)
    return torch.cat([residuals[wanted, None], second], dim=1).amin(1)


def _missed(values: Tensor, wanted: Tensor, which: Which, roots: Tensor, chance: float) -> Tensor:
    """Eigenvalues expected to hide beyond each wanted value, if each gap may hold one."""
    span = values.abs().max()
    low = torch.minimum(values[0] - span / 2, -1.5 * span)
    high = torch.maximum(values[-1] + span / 2, 1.5 * span)
    even = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    close = 0.02 ** (1 - even)  # outside, the nearer the likelier: the end may be a cluster
    outer = torch.stack(
        [values[0] + (low - values[0]) * close, values[-1] + (high - values[-1]) * close]
    )
    grid = torch.cat([values[:-1, None] + values.diff()[:, None] * even, outer])
    polynomial = (grid[..., None] - roots).abs().log().sum(-1)
    hidden = (chance - polynomial).exp().clamp(max=1.0)
    ends = {"LA": 1, "SA": -1}
    signs = torch.full_like(wanted, ends.get(which, 1))
    if which == "BE":
        signs[len(wanted) // 2 :] = -1
    place = grid.abs() if which == "LM" else grid
    level = wanted.abs() if which == "LM" else wanted
    beyond = (place - level[:, None, None]) * signs[:, None, None] > 0
    return (hidden * beyond).mean(-1).sum(-1)


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a - b).abs() <= 1e-6 * b.abs().max()).all())
