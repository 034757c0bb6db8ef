"""The largest increase of the loss that normalised gradient ascent finds in a ball."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landscape.numerics.directions import gaussian
from landscape.subject.objective import Objective, ravel, unravel
from landscape.subject.plane import Gauge


def climb(
    risk: Objective, scale: Tensor, radius: float, steps: int, seed: int
) -> NDArray[np.float64]:
    """Increase of the risk, the largest found after each step, in ``|u| <= radius``.

    Weights are ``w + scale * u``. The first step goes to the edge along the gradient, as that of
    SAM; each later one adds ``pace`` times the unit gradient to the unit vector of ``u``, and goes
    to the edge again. That is the power method at a minimum, shifted so that what bends downwards
    does not win. The pace doubles where the risk rises; else the step is undone and the pace falls.

    Parameters
    ----------
    risk
        Of the examples of a group.
    scale
        Flat, as long as the weights: ones, or ``|w|``.
    seed
        Of the way to go where the gradient is zero.

    Returns
    -------
    ndarray
        ``(steps,)``, never falling, from at least 0: the centre is in the ball.
    """
    params = risk.parameters()
    origin = ravel(params)
    scale = scale.to(origin)
    gauge = Gauge(risk.model, risk.batches, risk.loss, risk.batchnorm)
    base = gauge.measure(params)[0]

    def slope(point: Tensor, step: int) -> Tensor:
        along = scale * ravel(risk.gradient(unravel(point, params)))
        return _unit(along, scale, seed + step)

    held, height, pace, best, found = None, -np.inf, 1.0, 0.0, []
    ahead = slope(origin, 0)
    for step in range(steps):
        way = ahead if held is None else _unit(held + pace * ahead, scale, seed + step)
        point = origin + radius * scale * way
        value = gauge.measure(unravel(point, params))[0] - base
        best = float(np.maximum(best, value))  # keeps NaN
        found.append(best)
        if value <= height:
            pace /= 4
        elif step + 1 < steps:
            held, height, pace = way, value, pace if held is None else 2 * pace
            ahead = slope(point, step + 1)
    return np.array(found)


def _unit(vector: Tensor, scale: Tensor, seed: int) -> Tensor:
    """Of length 1; a random one, where something can move, if there is none."""
    if not vector.any():
        vector = gaussian("ascent", vector, seed) * (scale != 0)
    size = torch.linalg.vector_norm(vector, dtype=torch.float64)
    return vector if size == 0 else vector / size.to(vector)
