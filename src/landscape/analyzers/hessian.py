"""Hessian eigenvalues of the loss."""

from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.numerics.lanczos import Eigenpairs, lanczos
from landscape.result import Result
from landscape.subject.objective import Batches, Loss, Objective, cross_entropy, ravel, unravel
from landscape.subject.penalty import Penalty

_BASIS_BYTES = 2 << 30  # beyond that much memory for basis vectors, restart
_GRAPH_BYTES = 3 << 30  # hold the graphs of a whole set up to that much memory


@analyzer
def hessian(
    model: nn.Module,
    batches: Batches,
    *,
    k: int = 5,
    weight_decay: float | Penalty | tuple[Penalty, ...] = 0.0,
    loss: Loss = cross_entropy,
    tol: float = 1e-3,
    max_products: int = 200,
    whole: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Compute the Hessian eigenvalues of largest magnitude, per mini-batch and for all of them.

    The loss of a set is the mean over its examples plus the weight-decay term; its Hessian is over
    all trainable parameters. BatchNorm is in eval mode. Lanczos with full reorthogonalisation;
    products by double backward.

    Parameters
    ----------
    model
        Any classifier.
    batches
        Re-iterable ``(inputs, targets)``; targets int64 ``(n,)`` or soft ``(n, classes)``.
    k
        How many eigenvalues.
    weight_decay
        ``lambda`` of ``lambda / 2 * sum w^2`` over all trainable parameters (the L2 term; it shifts
        every eigenvalue by ``lambda``), or a penalty such as ``landscape.L2`` with a mask.
    loss
        ``(outputs, targets)`` to one number per example.
    tol
        An eigenvalue has converged when its residual is at most ``tol * |eigenvalue|``.
    max_products
        Hessian-vector products after which a run gives up; what has not converged is flagged.
    whole
        Also the spectrum of the whole set (all batches as one). With one batch it is that one.
    seed
        Of the start vectors.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``batch``, ``rank``: ``eigenvalue`` (signed, ordered by magnitude), ``residual``
        (``|H v - eigenvalue v|``; an eigenvalue of H lies within it), ``converged``; over
        ``batch``: ``products``, ``examples``; for the whole set the same names with ``set_``.

    Raises
    ------
    ValueError
        For bad data, ``k`` out of range, a loss that is not finite, or an operation without a
        second derivative.

    References
    ----------
    Park & Kim (2022), "How Do Vision Transformers Work?", figure 4: top-5 of each mini-batch.

    Examples
    --------
    Least squares has the Hessian ``2 / n X' X``:

    >>> import landscape, torch
    >>> net = torch.nn.Linear(2, 1, bias=False)
    >>> x, t = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2)
    >>> square = lambda outputs, targets: (outputs[:, 0] - targets) ** 2
    >>> landscape.hessian(net, [(x, t)], k=2, loss=square).eigenvalue.values.round(4)
    array([[4., 1.]])
    """
    items = list(batches)
    whole_too = whole and len(items) > 1
    rows: list[Eigenpairs] = []
    jobs: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[item] for item in items] + (
        [items] if whole_too else []
    )
    objectives = [Objective(model, job, loss, weight_decay) for job in jobs]
    for index, objective in enumerate(progress(objectives, len(jobs), "Hessian")):
        retain = index < len(items) or _graph_bytes(objectives[0]) * len(items) <= _GRAPH_BYTES
        rows.append(_top(objective, k, tol, max_products, seed, retain))
    total = rows.pop() if whole_too else (rows[0] if whole and len(items) == 1 else None)

    def stack(name: str) -> np.ndarray:
        return np.stack([getattr(row, name).numpy() for row in rows])

    about = f"the {k} of largest magnitude"
    data = {
        "eigenvalue": (("batch", "rank"), stack("values"), _label("Hessian eigenvalue")),
        "residual": (("batch", "rank"), stack("residuals"), _label("residual |Hv - λv|")),
        "converged": (("batch", "rank"), stack("converged"), _label("residual below tolerance")),
        "products": ("batch", [r.products for r in rows], _label("Hessian-vector products")),
        "examples": ("batch", [len(x) for x, _ in items], _label("examples in the batch")),
    }
    if total is not None:
        data |= {
            "set_eigenvalue": (
                "rank",
                total.values.numpy(),
                _label("Hessian eigenvalue, whole set"),
            ),
            "set_residual": ("rank", total.residuals.numpy(), _label("residual, whole set")),
            "set_converged": ("rank", total.converged.numpy(), _label("converged, whole set")),
            "set_products": ((), total.products, _label("Hessian-vector products, whole set")),
        }
    coords = {
        "batch": ("batch", np.arange(len(rows)), _label("mini-batch")),
        "rank": ("rank", np.arange(1, k + 1), _label(f"rank among {about}")),
    }
    return xr.Dataset(data, coords)


def _top(
    objective: Objective, k: int, tol: float, max_products: int, seed: int, retain: bool
) -> Eigenpairs:
    params = objective.parameters()
    like = ravel(params)
    if not torch.isfinite(objective.value(params)):
        raise ValueError("the loss is not finite at the weights of the network")
    product = objective.linearise(params) if retain else partial(objective.hvp, params)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(like.numel(), generator=generator, dtype=torch.float64).to(like)
    fits = int(_BASIS_BYTES // (like.element_size() * like.numel()))
    return lanczos(
        lambda v: ravel(product(unravel(v, params))),
        start,
        k=k,
        tol=tol,
        max_products=max(k, max_products),
        basis=max(fits, 3 * k + 5),
    )


def _graph_bytes(objective: Objective) -> int:
    """Memory that the graph of a linearised objective holds, each storage once."""
    sizes: dict[int, int] = {}

    def pack(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        objective.linearise(objective.parameters())
    return sum(sizes.values())


def _label(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
