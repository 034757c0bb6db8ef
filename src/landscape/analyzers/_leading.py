"""The leading eigenvalues of an operator, with bounded memory for the basis."""

from collections.abc import Callable

from torch import Tensor

from landscape.numerics.lanczos import Eigenpairs, Which, lanczos
from landscape.numerics.quadrature import probe

BASIS = 2 << 30  # bytes for basis vectors, beyond which Lanczos restarts


def leading(
    product: Callable[[Tensor], Tensor],
    like: Tensor,
    *,
    k: int,
    which: Which = "LM",
    tol: float,
    max_products: int,
    seed: int,
) -> Eigenpairs:
    """Run Lanczos from a random start, for as many eigenvalues as there are, at most ``k``."""
    start = probe(like.numel(), seed, -1, "gaussian").to(like)
    fits = int(BASIS // (like.element_size() * like.numel()))
    return lanczos(
        product,
        start,
        k=min(k, like.numel()),
        which=which,
        tol=tol,
        max_products=max(k, max_products),
        basis=max(fits, 3 * k + 5),
    )
