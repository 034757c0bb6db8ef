"""What a network loses without the image in its attention, and without far places in it."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from landscape.analyzers import Progress, analyzer, silent
from landscape.analyzers._attention import frozen, narrowed, of_places
from landscape.analyzers._labelled import averaged, label
from landscape.analyzers._noise import score, size
from landscape.result import Result
from landscape.subject.attention import Read, attending
from landscape.subject.objective import Batches
from landscape.subject.site import Site
from landscape.subject.sites import sites

_Piece = tuple[NDArray[np.int64], Tensor, Tensor]  # numbers of images, inputs, targets


@analyzer
def ablation(
    model: nn.Module,
    batches: Batches,
    *,
    windows: tuple[int, ...] = (3, 5),
    seed: int = 0,
    progress: Progress = silent,
) -> Result:
    r"""Measure accuracy and NLL with attention frozen, and with attention narrowed.

    *Frozen*: at every attention each head has the mean of its weights over images, ``E A``, and no
    longer depends on the image at hand. The images are cut in two halves by ``seed``, and each half
    gets the mean of the other one, so that no image is in its own mean. *Places frozen*: the same,
    but a class token attends as before, as it does under narrowing.

    *Narrowed*: each query keeps the keys in a square of ``k x k`` places around it, and their
    weights are scaled to the sum that all had, or are alike if nothing is left of them. They still
    depend on the image. A class token stands for no place: it is seen, and sees all.

    Both at all layers at once; later layers see what the earlier ones made of it. The network is
    not trained again: this is what it rests on, not what such networks could do.

    Parameters
    ----------
    model
        Any classifier of images with attention.
    batches
        Re-iterable ``(inputs, targets)``, inputs ``(b, c, h, w)`` of one size, two or more.
    windows
        Sides ``k`` of the squares, odd numbers of places of the map that is attended on.
    seed
        Of the halves.
    progress
        Shows how far it got.

    Returns
    -------
    xarray.Dataset
        Over ``condition``, ``"whole"``, ``"frozen"``, ``"places frozen"`` and ``"3x3"``, ``"5x5"``,
        ...: ``accuracy``, ``nll``; ``accuracy_drop`` and ``nll_increase`` against the whole
        network, paired image by image; ``moved``, the share of the attention that is somewhere else
        than the network would have put it there, ``sum |A - A'| / 2``, mean over queries, heads and
        layers.
        Standard errors ``_se`` are over images. Also over ``image``: ``right``, ``image_nll``.
        ``attentions``, how many there are.

    Raises
    ------
    ValueError
        If the network has no attention, or there is one image.

    Examples
    --------
    Attention that is the same for all images loses nothing when it is frozen:

    >>> import landscape, torch
    >>> layer = torch.nn.TransformerEncoderLayer(16, 2, 8, batch_first=True)
    >>> layer.self_attn.in_proj_weight.data[:16] = 0  # no queries: every weight is 1 / 5
    >>> net = torch.nn.Sequential(torch.nn.Flatten(2), layer, torch.nn.Flatten()).double()
    >>> images = torch.randn(6, 5, 4, 4, dtype=torch.float64)
    >>> result = landscape.ablation(net, [(images, torch.arange(6))])
    >>> result.nll_increase.sel(condition="frozen").round(12).item() + 0.0
    0.0
    """
    sides = list(windows)
    if not sides or not all(k > 0 and k % 2 for k in sides) or sorted(set(sides)) != sides:
        raise ValueError(f"windows must be odd numbers of places that rise, got {tuple(windows)}")
    items = list(batches)
    size(items)
    count = sum(len(inputs) for inputs, _ in items)
    if count < 2:
        raise ValueError("attention is frozen to its mean over other images, there is only one")
    where = sites(model, items[0][0].to(next(model.parameters()).device))
    if not where:
        raise ValueError("ablation changes attention, and the network has none")
    side = np.random.default_rng(seed).permutation(count) % 2
    every, one, two = (_part(items, chosen) for chosen in (side >= 0, side == 0, side == 1))
    halves = [
        (cache(partial(frozen, model, _batches(other), where)), own)
        for own, other in ((one, two), (two, one))
    ]
    plan: list[tuple[str, Callable[[], Read | None], list[_Piece]]] = [
        ("whole", lambda: None, every),
        *(("frozen", read, part) for read, part in halves),
        *(("places frozen", cache(partial(_places, read)), part) for read, part in halves),
        *((f"{k}x{k}", cache(partial(narrowed, k)), every) for k in sides),
    ]
    names = list(dict.fromkeys(name for name, _, _ in plan))
    steps = [(name, read, piece) for name, read, part in plan for piece in part]
    found = np.empty((len(names), count, 3))
    for name, read, (at, inputs, targets) in progress(steps, len(steps), "Ablation"):
        found[names.index(name), at] = _scored(model, inputs, targets, read(), where)
    data = _variables(found) | {"attentions": ((), len(where), label("attentions"))}
    return xr.Dataset(
        data,
        {
            "condition": ("condition", names, label("attention")),
            "image": ("image", np.arange(count), label("image")),
        },
    )


def _part(items: Sequence[tuple[Tensor, Tensor]], chosen: NDArray[np.bool_]) -> list[_Piece]:
    """Chosen images of each batch, with their numbers; no batch is empty."""
    found = []
    first = 0
    for inputs, targets in items:
        at = np.flatnonzero(chosen[first : first + len(inputs)])
        if len(at):
            found.append((first + at, inputs[at], targets[at]))
        first += len(inputs)
    return found


def _places(read: Callable[[], Read]) -> Read:
    return of_places(read())


def _batches(part: list[_Piece]) -> list[tuple[Tensor, Tensor]]:
    return [(inputs, targets) for _, inputs, targets in part]


def _scored(
    model: nn.Module, inputs: Tensor, targets: Tensor, read: Read | None, where: list[Site]
) -> NDArray[np.float64]:
    """Whether each image is right, its NLL, and how much of its attention was moved."""
    device = next(model.parameters()).device
    inputs, targets = inputs.to(device), targets.to(device)
    if read is None:
        return np.pad(score(model, inputs, targets).numpy(), ((0, 0), (0, 1)))
    moved: list[Tensor] = []

    def change(site: Site, weights: Tensor) -> Tensor | None:
        other = read(site, weights)
        assert other is not None
        gap = (weights - other).double().abs().sum(-1) / 2
        moved.append(gap.unflatten(0, (-1, site.windows)).mean((1, 2, 3)).cpu())
        return other

    with attending(model, inputs, change, where):
        scores = score(model, inputs, targets)
    return torch.cat([scores, torch.stack(moved).mean(0)[:, None]], 1).numpy()


def _variables(found: NDArray[np.float64]) -> dict[str, Any]:
    right, nll, moved = np.moveaxis(found, -1, 0)
    of = "condition"
    data = averaged("accuracy", of, right, "accuracy")
    data |= averaged("accuracy_drop", of, right[0] - right, "loss of accuracy")
    data |= averaged("nll", of, nll, "negative log-likelihood", "nats")
    data |= averaged("nll_increase", of, nll - nll[0], "increase of the NLL", "nats")
    data |= averaged("moved", of, moved, "share of attention that was moved")
    dims = (of, "image")
    data["right"] = (dims, right.astype(np.int8), label("whether an image is right"))
    data["image_nll"] = (dims, nll, label("NLL of an image", "nats"))
    return data
