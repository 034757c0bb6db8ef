"""Whether a network convolves, attends, does both or neither: read off its modules.

Attention is a module that projects to queries, keys or values. Convolution is a spatial kernel at
stride 1: at a larger stride it changes the resolution, as stems, patch embeddings and poolings do
in networks of any family. An attention that calls its projections by other names is not seen; a
`Card` states its family itself.
"""

import re
from collections.abc import Callable

import torch
from torch import nn

from landscape.models.card import Family

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
#: names of the projections, as whole words between underscores: qkv, to_qkv, q_proj, in_proj_weight
_PROJECTION = re.compile(r"(^|_)(qkvs?|qk|kv|q|wq|query|in_proj)(_|$)")
#: what stands before the first block or after the last one, whatever it is made of
_OUTSIDE = re.compile(r"stem|embed|pool|neck|head(?!s)", re.IGNORECASE)
#: a stem of whole blocks is a body of its own, as the ResNet in front of a hybrid ViT
_BLOCKS = re.compile(r"stages|blocks|layers")


def family(model: nn.Module) -> Family:
    """Family of a network: ``"conv"``, ``"msa"``, ``"hybrid"`` (both) or ``"mlp"`` (neither).

    Works on the meta device as well: only the module tree is read.

    Examples
    --------
    >>> family(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    'conv'
    >>> family(nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.TransformerEncoderLayer(8, 2)))
    'msa'
    """
    body = [module for name, module in model.named_modules() if not _outside(name)]
    if any(_attends(module) for module in body):
        return "hybrid" if any(_convolves(module) for module in body) else "msa"
    # without attention even a strided kernel is a convolution, unless it tiles the image
    loose = (m for m in model.modules() if isinstance(m, _CONVOLUTIONS))
    return "conv" if any(k > s for m in loose for k, s in _extent(m)) else "mlp"


def family_of(build: Callable[[], nn.Module]) -> Family:
    """Tell the family of what ``build`` makes, without memory for its weights if it allows that."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return family(build())
        except (NotImplementedError, RuntimeError):  # some compute their widths with tensors
            return family(build())


def _outside(name: str) -> bool:
    found = _OUTSIDE.search(name)
    return found is not None and not _BLOCKS.search(name, found.end())


def _attends(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    own = [name for name, _ in module.named_children()]
    own += [name for name, _ in module.named_parameters(recurse=False)]
    return any(_PROJECTION.search(name) for name in own)


def _convolves(module: nn.Module) -> bool:
    if not isinstance(module, _CONVOLUTIONS) or module.in_channels == 3:
        return False
    sides = _extent(module)
    return any(k > 1 for k, _ in sides) and all(s == 1 for _, s in sides)


def _extent(module: nn.Module) -> list[tuple[int, int]]:
    """Kernel and stride along each axis."""
    return list(zip(module.kernel_size, module.stride, strict=True))  # type: ignore[arg-type]
