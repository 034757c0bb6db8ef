"""Lines that lead away from a point, and what they and the curvature say about it together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.analyzers import Progress
from landscape.numerics.lanczos import lanczos
from landscape.subject.objective import Objective, unravel

Array = NDArray[np.float64]

SIDES = ("-g", "+v", "-v")
STEPS: Array = 10.0 ** (np.arange(21) / 4 - 5)  # relative: from 1e-5 to 1, four a decade

_BASIS_BYTES = 2 << 30  # beyond that much memory for basis vectors, restart
_TWINS = 8
_SAFETY = 3.0  # the largest of eight differences is two standard deviations; of 63 it is four
_MISS = 0.02  # as Lanczos has it: so many unseen eigenvalues may be expected at most


@dataclass(frozen=True)
class Curvature:
    """The largest and the smallest eigenvalue of the Hessian, each array in this order."""

    values: Array
    residuals: Array
    errors: Array
    missed: Array
    converged: NDArray[np.bool_]
    products: int


@dataclass(frozen=True)
class Lines:
    """Changes of the loss over side and step, and the level below which they are rounding."""

    risk: float
    floor: float
    change: Array
    noise: Array
    slope: Array
    step: Array


def ends(
    product: Callable[[Tensor], Tensor], like: Tensor, tol: float, max_products: int, seed: int
) -> tuple[Curvature, Tensor]:
    """Both ends of the spectrum to within ``tol`` of its size, and the Ritz vector of the lower.

    Lanczos' tolerance is relative to each value, and the lower may be zero: so a rough run gives
    the size, and a shift by twice that leaves no value near zero. Values and residuals are those
    of further products with the Ritz vectors, free of the shift's rounding.
    """
    generator = torch.Generator().manual_seed(seed + 1)  # Lanczos draws its own from seed 0
    start = torch.randn(like.numel(), generator=generator, dtype=torch.float64).to(like)
    rough = lanczos(product, start, k=1, tol=0.1, max_products=min(max_products, 20))
    shift = 2 * float(rough.values.abs())
    found = lanczos(
        lambda v: torch.add(product(v), v, alpha=shift),
        start,
        k=1,
        which="BE",
        tol=tol / 40,  # at tol / 4, 27 of 36 runs missed a lone eigenvalue below -tol; now none
        max_products=max_products,
        basis=max(int(_BASIS_BYTES // (like.element_size() * like.numel())), 11),
    )
    values, residuals = np.empty(2), np.empty(2)
    for i, vector in enumerate(found.vectors):
        wide = vector.double()
        wide = wide / wide.norm()
        image = product(wide.to(like)).double()
        values[i] = float(wide @ image)
        residuals[i] = float((image - values[i] * wide).norm())
    curved = Curvature(
        values,
        residuals,
        np.minimum(found.errors.numpy(), residuals),
        found.missed.numpy(),
        found.converged.numpy(),
        rough.products + found.products + len(values),
    )
    return curved, found.vectors[-1]


def walk(
    risk: Objective, origin: Tensor, gradient: Tensor, axis: Tensor, seed: int, progress: Progress
) -> Lines:
    """Evaluate the loss on the lines from ``origin`` along minus the gradient, plus, minus axis.

    The noise is measured: each point has a twin, all of its weights moved by two units in the last
    place, up or down at random, and the origin has eight. It is three times the largest difference
    between twins that has been seen up to there.
    """
    generator = torch.Generator().manual_seed(seed)
    eps = torch.finfo(origin.dtype).eps
    like = risk.parameters()

    def value(flat: Tensor) -> float:
        return float(risk.value(unravel(flat, like)))

    def twin(flat: Tensor) -> float:
        signs = torch.randint(0, 2, flat.shape, generator=generator, dtype=torch.int8) * 2 - 1
        return value(flat * (1 + 2 * eps * signs.to(flat)))

    here = value(origin)
    floor = max(*(abs(twin(origin) - here) for _ in range(_TWINS)), eps * abs(here))
    size = torch.linalg.vector_norm(gradient, dtype=torch.float64)
    downhill = (-gradient.double() / size if size else gradient).to(origin)
    ways = (downhill, axis, -axis)
    step = STEPS * length(origin)
    change, spread = np.zeros((2, len(SIDES), len(STEPS)))
    points = [(i, j) for i in range(len(SIDES)) for j in range(len(STEPS)) if i or size]
    for i, j in progress(points, len(points), "lines"):
        point = torch.add(origin, ways[i], alpha=step[j])
        there = value(point)
        change[i, j], spread[i, j] = there - here, abs(twin(point) - there)
    noise = _SAFETY * np.fmax.accumulate(np.fmax(spread, floor), axis=1)
    slope = np.array([float(gradient.double() @ way.double()) for way in ways])
    return Lines(here, _SAFETY * floor, change, noise, slope, step)


def length(origin: Tensor) -> float:
    """Norm of the weights, to which steps are relative; 1 where all of them are zero."""
    return float(torch.linalg.vector_norm(origin, dtype=torch.float64)) or 1.0


def falls(change: Array, noise: Array, step: Array, slope: float) -> tuple[float, float, float]:
    """Give the largest decreases along a line, up to where it first rises beyond the noise.

    In all; of that, what the slope at the start explains; and where the loss falls faster than
    linearly, which no convex function does: ``f(t) / t`` would have to rise.

    Examples
    --------
    >>> t = np.array([0.1, 0.2, 0.4])
    >>> falls(-t, 0 * t, t, -1.0), falls(t**2 - t**4, 0 * t, t, 0.0)
    ((0.4, 0.4, 0.0), (0.0, 0.0, 0.0))
    >>> falls(-(t**2), 0 * t, t, 0.0)[2].__round__(3)
    0.16
    """
    ahead = np.cumsum(~(change <= noise)) == 0
    lower = ahead & (change < -noise)
    drop = np.where(lower, -change, 0.0)
    secant = np.maximum.accumulate((change - noise) / step)
    bent = lower[1:] & ((change + noise)[1:] / step[1:] < secant[:-1])
    explained = np.minimum(drop, max(0.0, -slope) * step)
    beyond = np.max(drop[1:], where=bent, initial=0.0)
    return float(drop.max()), float(explained.max()), float(beyond)


def decide(
    lines: Lines, curved: Curvature, dropped: Array, tol: float, tol_curvature: float
) -> tuple[str, str]:
    """Give a verdict, and the reason with its numbers; ``dropped`` is `falls` for each side.

    A negative Rayleigh quotient proves negative curvature, whatever its residual; that there is
    none needs convergence, and that no eigenvalue was missed.
    """
    decrease, descent, escape = dropped.T
    top, low = curved.values
    scale = float(np.abs(curved.values).max())
    level, share = tol_curvature * scale, tol * abs(lines.risk)
    down, best = int(descent.argmax()), int(escape.argmax())
    about = f"λ_min = {low:.3g} ± {curved.residuals[1]:.1g}, λ_max = {top:.3g}"
    rounding = f"(rounding: {lines.floor:.1g})"
    away = f"along {SIDES[best]} the loss falls by {escape[best]:.2g} {rounding}"
    kept = (
        f"the lines looked at lower the loss by at most {decrease.max():.1g}, as slopes do"
        if decrease.any()
        else "no line looked at lowers the loss"
    ) + f" {rounding}"
    sure = curved.converged & (curved.missed <= _MISS)
    if descent[down] > share:
        return "not a critical point", (
            f"along {SIDES[down]} the slope lowers the loss by {descent[down]:.3g}, more than "
            f"{tol:g} of the risk {lines.risk:.3g}"
        )
    if escape.any():
        if sure[0] and top + curved.residuals[0] < -level:
            return "maximum", f"{about}: no curvature is above {-level:.1g}, and {away}"
        if low < -level:
            flat = f"; no positive curvature above {level:.1g} was found" if top <= level else ""
            return "saddle", f"{about}, and {away}{flat}"
        if low - curved.residuals[1] <= level:
            return "saddle", f"{about}, flat within {level:.1g}, but {away}, faster than linearly"
        return "undecided", f"{about}, not flat within {level:.1g}, but {away}"
    if low < -level:
        return "undecided", f"{about}, but {kept}"
    for doubtful, why in (
        (
            scale * lines.step[-1] ** 2 / 2 <= lines.floor,
            "the Hessian vanishes to rounding, so that second order says nothing",
        ),
        (
            decrease.max() > share or lines.floor > share > 0,
            f"rounding hides what {tol:g} of the risk {lines.risk:.3g} would be: raise tol, or use "
            "float64",
        ),
        (
            not curved.converged[1] or low - curved.residuals[1] < -level,
            f"λ_min is not known to within {level:.1g}: raise max_products",
        ),
        (
            not sure[1],
            f"{curved.missed[1]:.2g} eigenvalues below it are expected to be unseen: raise "
            "max_products",
        ),
    ):
        if doubtful:
            return "undecided", f"{about}: {why}; {kept}"
    flat = f"; directions flat within {level:.1g} remain" if low <= level else ""
    return "minimum", f"to second order, in the directions looked at: {about}, and {kept}{flat}"
