"""Sharpness of the loss at the weights: in random directions, and in the worst ones found."""

from typing import Any

import numpy as np
import xarray as xr
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._policy import policy
from landscape.analyzers._rescaled import rescaled
from landscape.analyzers._sharpness import (
    GEOMETRIES,
    NORMS,
    Probe,
    around,
    drawn,
    factor,
    flatness,
    mean,
    worst,
)
from landscape.journal import Place, opened
from landscape.result import Result
from landscape.subject.loss import Loss, cross_entropy
from landscape.subject.objective import Batches, Objective, ravel
from landscape.subject.plane import Gauge

_FEW = 8  # examples whose outputs must not change


@analyzer
def sharpness(
    model: nn.Module,
    batches: Batches,
    *,
    radii: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
    directions: int = 10,
    ball: float | None = None,
    rise: float = 0.1,
    fall: float = 0.05,
    m: int = 32,
    steps: int = 5,
    rho: tuple[float, float] = (0.05, 0.5),
    rescale: float = 4.0,
    batchnorm: str = "frozen",
    loss: Loss = cross_entropy,
    seed: int = 0,
    journal: Place = None,
    progress: Progress = silent,
) -> Result:
    r"""Measure how much the NLL rises around the weights, on average and at worst.

    All points see the same examples. Three geometries: in the ``ball`` steps are Gaussian with
    ``sigma = distance / sqrt(P)`` for ``P`` weights, so that at a minimum the increase is
    ``distance^2 tr(H) / 2P``; by ``filter``, each output filter moves by ``radius`` times its norm
    (Li et al. 2018); ``adaptive``, each weight by ``radius |w|`` times a normal number. At radius 1
    the network moves about as far as its weights are long.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``; frozen, read once.
    radii
        Radii of the averages, rising.
    directions
        Gaussian directions over which the averages are.
    ball
        Euclidean distance that is radius 1 of the ball; the norm of the weights unless given. 1
        makes radius and distance the same.
    rise, fall
        Increase of the NLL, nats, and share of accuracy lost: flatness is the radius at which the
        average reaches them.
    m
        Examples of a group: each has a worst direction of its own.
    steps
        Of ascent, each a gradient of the group. One is the step of SAM.
    rho
        Radius of the worst case, in Euclidean norm and in that of ``eps / |w|``; the defaults are
        those that SAM and ASAM were tuned to.
    rescale
        Factor of filters before a BatchNorm, of queries, and inverse one of keys.
    batchnorm
        ``"frozen"``, running statistics as they are, or ``"batch"``: averages by those of each
        batch, the worst case by those of each group, through which the gradient flows, as in a
        training with SAM.
    loss
        ``(outputs, targets)`` to one number per example.
    seed
        Of the directions.
    journal
        A folder that keeps finished directions and groups: a run that was stopped goes on there,
        and several processes share one.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``geometry`` and ``radius``: ``increase`` (nats) and ``drop`` (of accuracy), means over
        directions with ``_se``, and the root mean squared ``distance``. Over ``geometry``:
        ``flat_nll`` and ``flat_accuracy``, interpolated in the square of the radius, NaN if not
        reached, with the jackknife's ``_se`` over directions.

        Over ``norm``, of radius ``rho``: ``worst``, m-sharpness, and ``first``, the same after one
        step, means over groups with ``_se``. Ascent may miss the maximum, so both are lower bounds.
        Examples that fill no group are left out. ``reach`` is the radius of an average that is as
        far away as ``rho``.

        Over ``measure``: ``moved``, the factor by which each changes (averages at the middle
        radius, the ball's distance kept) if the network is rescaled and its outputs are not, with
        ``_se``. 1 for what is invariant; a flatness moves if its average does. NaN if nothing can
        be ``rescaled`` (number of layers). ``nll``, ``nll_se`` and ``accuracy`` at the weights.

    References
    ----------
    Foret et al. (2021), "Sharpness-Aware Minimization". Kwon et al. (2021), "ASAM". Andriushchenko
    & Flammarion (2022), "Towards Understanding Sharpness-Aware Minimization". Dinh et al. (2017),
    "Sharp Minima Can Generalize for Deep Nets".

    Examples
    --------
    Least squares at its minimum, with the eigenvalues 4 and 1, rises by at most ``rho^2 4 / 2``:

    >>> import landscape, torch
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(net.weight)
    >>> x, t = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> found = landscape.sharpness(
    ...     net, [(x, t)], loss=square, ball=1.0, m=2, steps=20, rho=(1.0, 1.0)
    ... )
    >>> found.worst.sel(norm="ball").item().__round__(2)
    2.0
    """
    count = sum(len(inputs) for inputs, _ in batches)
    _check(radii, directions, steps, m, count)
    if len(rho) != 2:
        raise ValueError(f"rho is two radii, Euclidean and adaptive, not {rho}")
    _positive(ball=ball, rise=rise, fall=fall, rescale=rescale, rho=min(rho))
    statistics, few = policy(batchnorm)
    if few:
        raise ValueError(
            f"batchnorm is frozen or batch, not {batchnorm!r}: ascent has no gradient through "
            "statistics of other examples than its own"
        )
    own = Objective(model, batches, loss).parameters()
    flat = ravel(own)
    length = float(flat.double().norm())
    unit = length if ball is None else ball
    probe = Probe(loss, directions, unit, m, steps, rho, seed, statistics)
    nll, nll_se, accuracy = Gauge(model, batches, loss, statistics).measure(own)
    if not np.isfinite(nll):
        raise ValueError("the loss is not finite at the weights of the network")
    book = opened(journal)
    rises, drops = around(probe, model, batches, radii, book, progress, "directions")
    climbs = worst(probe, model, batches, book, progress, "ascent")
    middle = len(radii) // 2
    samples = [*rises[:, :, middle], *climbs[:, :, -1]]
    inputs = next(iter(batches))[0][:_FEW].to(flat.device)
    twin, layers, change = rescaled(model, inputs, rescale, statistics)
    moved = np.full((len(samples), 2), np.nan)
    if layers:
        one = radii[middle : middle + 1]
        others, _ = around(probe, twin, batches, one, book, progress, "rescaled")
        again = worst(probe, twin, batches, book, progress, "rescaled, ascent")
        pairs = zip(samples, [*others[:, :, 0], *again[:, :, -1]], strict=True)
        moved = np.array([factor(*pair) for pair in pairs])
    by_filter = float(ravel(drawn(model, own, probe, 0)[1]).double().norm())
    field = ("geometry", "radius")
    data = _pair("increase", field, mean(rises), "increase of the NLL", "nats")
    data |= _pair("drop", field, mean(drops), "loss of accuracy")
    distance = np.outer([probe.unit, by_filter, length], radii)
    data["distance"] = (field, distance, _label("root mean squared distance from the weights"))
    for name, each, level, what in (
        ("flat_nll", rises, rise, f"NLL has risen by {rise:g} nats"),
        ("flat_accuracy", drops, fall, f"accuracy has fallen by {fall:g}"),
    ):
        found = np.array([flatness(radii, samples, level) for samples in each]).T
        data |= _pair(name, "geometry", found, f"radius at which the {what}")
    for name, step, when in (("worst", -1, ""), ("first", 0, " after one step of ascent")):
        steepest = [each[:, step] for each in mean(climbs)]
        data |= _pair(name, "norm", steepest, f"lower bound of the largest increase{when}", "nats")
    sizes = np.array([probe.unit, float(flat.count_nonzero()) ** 0.5])
    reach = np.divide(rho, sizes, out=np.full(2, np.nan), where=sizes > 0)
    data["reach"] = ("norm", reach, _label("radius of an average that is as far away as rho"))
    data |= _pair("moved", "measure", moved.T, "factor of a measure when the network is rescaled")
    data |= _pair("nll", (), (nll, nll_se), "negative log-likelihood", "nats")
    for name, value, about in (
        ("accuracy", accuracy, "accuracy"),
        ("groups", climbs.shape[1], "groups of examples"),
        ("rescaled", layers, "rescaled layers"),
        ("changed", change, "relative change of the outputs by that"),
    ):
        data[name] = ((), value, _label(about))
    return xr.Dataset(data, _coordinates(radii, rho, "1" if ball else "norms of the weights"))


def _coordinates(radii: tuple[float, ...], rho: tuple[float, float], units: str) -> dict[str, Any]:
    measures = [f"average, {name}" for name in GEOMETRIES] + [f"worst, {name}" for name in NORMS]
    return {
        "radius": ("radius", np.array(radii, float), _label("radius") | {"units": units}),
        "geometry": ("geometry", list(GEOMETRIES), _label("geometry of the directions")),
        "norm": ("norm", list(NORMS), _label("norm of the ball")),
        "rho": ("norm", np.array(rho, float), _label("radius of the ball")),
        "measure": ("measure", measures, _label("measure")),
    }


def _check(radii: tuple[float, ...], directions: int, steps: int, m: int, count: int) -> None:
    edges = np.array([0.0, *radii])
    if len(edges) < 2 or not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():
        raise ValueError(f"radii must be positive and rise, got {tuple(radii)}")
    for name, value in (("directions", directions), ("steps", steps)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 1 <= m <= count:
        raise ValueError(f"m must be between 1 and {count}, the number of examples, got {m}")


def _positive(**settings: float | None) -> None:
    for name, value in settings.items():
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name} must be a positive number, got {value}")


def _pair(name: str, dims: Any, pair: Any, about: str, units: str = "1") -> dict[str, Any]:
    """Make a variable and its standard error."""
    value, error = pair
    return {
        name: (dims, value, {"long_name": about, "units": units}),
        f"{name}_se": (
            dims,
            error,
            {"long_name": f"standard error of the {about}", "units": units},
        ),
    }


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
