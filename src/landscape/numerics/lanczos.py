"""Extreme eigenvalues of a symmetric operator by the Lanczos method.

Full reorthogonalisation (twice) keeps the basis orthogonal to rounding, so no ghost copies of
converged eigenvalues appear; a thick restart (Wu & Simon 2000) bounds the memory; projections are
float64 whatever the dtype of the vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Which = Literal["LM", "LA", "SA"]


@dataclass(frozen=True)
class Eigenpairs:
    """Some eigenvalues of a symmetric operator, with their doubt.

    Attributes
    ----------
    values
        float64 ``(k,)``; signed, ordered as asked.
    residuals
        float64 ``(k,)``; ``|A v - value v|`` for the unit Ritz vector ``v``. An eigenvalue of the
        operator lies within this distance of each value.
    converged
        bool ``(k,)``; ``residual <= tol * |value|``.
    products
        Operator-vector products used.
    vectors
        ``(k, n)``, one Ritz vector a row.
    """

    values: Tensor
    residuals: Tensor
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
    max_products: int = 200,
    basis: int | None = None,
) -> Eigenpairs:
    """Find the ``k`` eigenvalues of largest magnitude (or at one end) of a symmetric operator.

    Parameters
    ----------
    matvec
        ``(n,)`` to ``(n,)``, symmetric.
    start
        ``(n,)``, not zero; its dtype and device are those of the vectors. Draw it at random.
    k
        How many, at most ``n``.
    which
        ``"LM"`` largest magnitude, ``"LA"`` algebraically largest, ``"SA"`` smallest.
    tol
        Stop when every wanted residual is at most ``tol * |value|``.
    max_products
        Give up after so many products; what has not converged is flagged.
    basis
        Vectors held at once, at least ``2 k + 2``; restart when used up. Unbounded if None.

    Returns
    -------
    Eigenpairs

    Raises
    ------
    ValueError
        If ``k`` is not in ``1..n``, or the operator returns a number that is not finite.

    Notes
    -----
    A random start vector has a part in every eigenspace but only one in each, so a multiple
    eigenvalue shows once until the Krylov space is exhausted. When that happens (the next vector
    vanishes to rounding) the run goes on with a fresh random direction, and stops when a whole
    further block adds nothing to the wanted values.

    Examples
    --------
    >>> d = torch.tensor([3.0, -5.0, 1.0, 0.5], dtype=torch.float64)
    >>> lanczos(lambda v: d * v, torch.ones(4, dtype=torch.float64), k=2).values.round(decimals=6)
    tensor([-5.,  3.], dtype=torch.float64)
    """
    n = start.numel()
    if not 1 <= k <= n:
        raise ValueError(f"k must be between 1 and the {n} parameters, got {k}")
    if max_products < k:
        raise ValueError(f"max_products must be at least k = {k}, got {max_products}")
    cap = min(n, max_products if basis is None else max(basis, 2 * k + 2))
    rows = torch.empty(0, n, dtype=start.dtype, device=start.device)
    projected = torch.zeros(cap + 1, cap + 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    tiny = 4 * torch.finfo(start.dtype).eps

    vector = start / torch.linalg.vector_norm(start)
    kept, products, coupling = 0, 0, 0.0
    settled: Tensor | None = None  # wanted values at the last exhaustion of a Krylov space
    exhausted = False
    while True:
        j = kept
        rows = _room(rows, j + 1, cap)
        rows[j] = vector
        image = matvec(vector)
        products += 1
        if not torch.isfinite(image).all():
            raise ValueError("the Hessian-vector product is not finite: the loss or its curvature")
        projected[j, j] = torch.dot(vector.double(), image.double())
        image = _orthogonalise(image, rows[: j + 1])
        length = float(torch.linalg.vector_norm(image, dtype=torch.float64))
        kept = j + 1
        values, small = torch.linalg.eigh(projected[:kept, :kept])
        scale = float(values.abs().max())
        broke = length <= tiny * max(scale, float(torch.finfo(start.dtype).tiny)) * n**0.5
        coupling = 0.0 if broke or kept == n else length
        exhausted |= broke
        wanted = _order(values, which)[:k]
        residuals = coupling * small[-1, wanted].abs()
        done = residuals <= tol * values[wanted].abs()
        if exhausted:  # multiplicities may hide: only a block that adds nothing settles it
            same = settled is not None and len(settled) == k and _close(settled, values[wanted])
            finished = broke and same
            if broke:
                settled = values[wanted].clone()
        else:
            finished = len(wanted) == k and bool(done.all())
        if finished or kept == n or products >= max_products:
            break
        if kept == cap:
            kept = _restart(rows, projected, values, small, which, k, coupling)
        elif coupling:
            projected[kept, kept - 1] = projected[kept - 1, kept] = coupling
        if coupling:
            vector = image / length
        else:
            fresh = torch.randn(n, generator=generator, dtype=torch.float64).to(start)
            vector = _orthogonalise(fresh / torch.linalg.vector_norm(fresh), rows[:kept])
            vector = vector / torch.linalg.vector_norm(vector)
    vectors = small[:, wanted].T.to(rows) @ rows[: len(small)]
    return Eigenpairs(values[wanted], residuals, done, products, vectors)


def _restart(
    rows: Tensor,
    projected: Tensor,
    values: Tensor,
    small: Tensor,
    which: Which,
    k: int,
    coupling: float,
) -> int:
    """Shrink the basis to the best Ritz vectors; the next vector couples to all of them."""
    keep = min(k + (len(values) - k) // 2, len(values) - 2)
    best = _order(values, which)[:keep]
    rows[:keep] = small[:, best].T.to(rows) @ rows[: len(values)]
    projected.zero_()
    projected[:keep, :keep] = torch.diag(values[best])
    projected[keep, :keep] = projected[:keep, keep] = coupling * small[-1, best]
    return keep


def _order(values: Tensor, which: Which) -> Tensor:
    key = {"LM": values.abs(), "LA": values, "SA": -values}[which]
    return torch.argsort(key, descending=True, stable=True)


def _close(a: Tensor, b: Tensor) -> bool:
    return bool(((a - b).abs() <= 1e-6 * b.abs().max()).all())


def _orthogonalise(vector: Tensor, rows: Tensor) -> Tensor:
    for _ in range(2):  # "twice is enough" (Kahan; Parlett 1980, section 6.9)
        vector = vector - rows.T @ (rows @ vector)
    return vector


def _room(rows: Tensor, need: int, cap: int) -> Tensor:
    """Grow the basis by doubling, so that an early stop never touches the memory of a late one."""
    if need <= len(rows):
        return rows
    grown = rows.new_empty(min(max(16, 2 * len(rows)), cap), rows.shape[1])
    grown[: len(rows)] = rows
    return grown
