"""Maps of mass around a place, shifted maps, and how much of a field is the same for all."""

from collections.abc import Sequence

import torch
from torch import Tensor


def distances(h: int, w: int, row: float, column: float) -> Tensor:
    """Distance of every pixel of an ``h x w`` image from a place, float64 ``(h, w)``.

    Examples
    --------
    >>> distances(1, 3, 0, 0)
    tensor([[0., 1., 2.]], dtype=torch.float64)
    """
    y = torch.arange(h, dtype=torch.float64) - row
    x = torch.arange(w, dtype=torch.float64) - column
    return torch.hypot(y[:, None], x[None, :])


def radii(mass: Tensor, distance: Tensor, shares: Sequence[float]) -> Tensor:
    """Radius of the smallest disc that holds a share of the mass: ``(b, h, w)`` to ``(b, shares)``.

    A pixel lies in a disc if its centre does. NaN for a map without mass.

    Examples
    --------
    >>> radii(torch.ones(1, 1, 4), distances(1, 4, 0, 0), (0.5, 0.75, 1.0))
    tensor([[1., 2., 3.]], dtype=torch.float64)
    """
    flat = mass.double().flatten(1)
    where = distance.flatten().to(flat.device)
    order = where.argsort(stable=True)
    held = flat[:, order].cumsum(1)
    total = held[:, -1:]
    want = total * torch.tensor(shares, dtype=torch.float64, device=flat.device) * (1 - 1e-12)
    found = where[order][torch.searchsorted(held, want.contiguous()).clamp_max(len(order) - 1)]
    return torch.where(total > 0, found, torch.nan)


def spread(mass: Tensor, distance: Tensor) -> Tensor:
    """Root mean squared distance of the mass, ``(b, h, w)`` to ``(b,)``; NaN without any.

    Examples
    --------
    >>> spread(torch.ones(1, 1, 2), distances(1, 2, 0, 0))
    tensor([0.7071], dtype=torch.float64)
    """
    mass = mass.double()
    total = mass.sum((1, 2))
    second = (mass * distance.to(mass.device) ** 2).sum((1, 2))
    return torch.where(total > 0, second / torch.where(total > 0, total, 1.0), torch.nan).sqrt()


def box(support: Tensor) -> tuple[int, int, bool]:
    """Height and width of what holds all that is true in ``(h, w)``; whether an edge cuts it.

    Examples
    --------
    >>> box(torch.tensor([[0, 0, 0], [0, 1, 1]]).bool())
    (1, 2, True)
    """
    rows, columns = support.any(1).nonzero().flatten(), support.any(0).nonzero().flatten()
    if not len(rows):
        return 0, 0, False
    h, w = support.shape
    ends = int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
    cut = ends[0] == 0 or ends[1] == h - 1 or ends[2] == 0 or ends[3] == w - 1
    return ends[1] - ends[0] + 1, ends[3] - ends[2] + 1, cut


def shifted(maps: Tensor, step: float, dim: int) -> Tensor:
    """Maps moved in a circle by ``step`` samples along a dimension.

    By a whole number they are rolled; by a part of a sample each frequency turns its phase, as if
    the map were band limited (the Nyquist frequency is scaled by the cosine).

    Examples
    --------
    >>> shifted(torch.tensor([1.0, 2.0, 3.0]), 1, 0)
    tensor([3., 1., 2.])
    >>> shifted(torch.tensor([1.0, 0.0, -1.0, 0.0]), 0.5, 0)
    tensor([ 0.7071,  0.7071, -0.7071, -0.7071])
    """
    if step == round(step):
        return maps.roll(round(step), dim)
    n = maps.shape[dim]
    turn = -2 * torch.pi * torch.fft.rfftfreq(n, dtype=torch.float64) * step
    factor = torch.polar(torch.ones_like(turn), turn)
    if n % 2 == 0:
        factor[-1] = turn[-1].cos()
    shape = [1] * maps.ndim
    shape[dim] = -1
    spectrum = torch.fft.rfft(maps.double(), dim=dim) * factor.view(shape).to(maps.device)
    return torch.fft.irfft(spectrum, n, dim=dim).to(maps.dtype)


def products(samples: Tensor) -> Tensor:
    """Mean squared norm of samples, and mean product of two different ones.

    Parameters
    ----------
    samples
        ``(m, ..., k)``, at least two; norms are over the last dimension.

    Returns
    -------
    Tensor
        float64 ``(2, ...)``. ``1 - second / first``, over enough samples, is the share of the
        power that is not the same for all, ``E|x - E x|^2 / E|x|^2``, without bias.

    Examples
    --------
    >>> products(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor([1., 0.], dtype=torch.float64)
    """
    samples = samples.double()
    m = len(samples)
    own = samples.square().sum(-1).mean(0)
    both = samples.sum(0).square().sum(-1)
    return torch.stack([own, (both - m * own) / (m * (m - 1))])


def specificity(groups: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the power that is not the same for all, from `products` of groups, and its error.

    Parameters
    ----------
    groups
        ``(groups, 2, ...)``.

    Returns
    -------
    value, standard error
        ``(...)``; the error is the jackknife's over groups, NaN for one. The value is NaN without
        power.

    Examples
    --------
    >>> specificity(torch.tensor([[[2.0], [1.0]], [[2.0], [1.0]]]))
    (tensor([0.5000]), tensor([0.]))
    """
    total = groups.sum(0)
    value = 1 - total[1] / total[0]
    n = len(groups)
    if n < 2:
        return value, torch.full_like(value, torch.nan)
    rest = total - groups
    without = 1 - rest[:, 1] / rest[:, 0]
    error = ((without - without.mean(0)) ** 2).sum(0).mul((n - 1) / n).sqrt()
    return value, error
