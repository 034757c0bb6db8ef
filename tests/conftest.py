"""Small networks of each family, small data, and a watch on open figures."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# networks are tiny and a test process runs on every core: threads would wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")  # also in commands and notebooks that tests start

import matplotlib
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

matplotlib.use("agg")
torch.set_num_threads(1)

from landscape.models.alternet import AlterNet  # noqa: E402
from landscape.models.resnet import ResNet  # noqa: E402
from landscape.models.vit import ViT  # noqa: E402

SHARED = Path(os.environ.get("LANDSCAPE_SHARED", Path(__file__).parents[2] / "shared"))


def conv() -> nn.Module:
    return ResNet(blocks=(1, 1), widths=(3, 4), classes=3)


def msa() -> nn.Module:
    return ViT(size=8, patch=4, dim=4, depth=2, heads=2, classes=3)


def hybrid() -> nn.Module:
    return AlterNet((1, 2), (0, 1), (3, 4), (2, 2), head_dim=2, window=2, classes=3)


def plain() -> nn.Module:
    """Group norm and tied weights, no skip, no BatchNorm."""
    first = nn.Conv2d(3, 4, 3, padding=1)
    again = nn.Conv2d(4, 4, 3, padding=1)
    net = nn.Sequential(
        first, nn.GroupNorm(2, 4), nn.GELU(), again, nn.SiLU(), again, nn.AvgPool2d(2), nn.Flatten()
    )
    net.append(nn.Linear(64, 3))
    return net


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "conv": conv,
    "msa": msa,
    "hybrid": hybrid,
    "plain": plain,
}


@pytest.fixture(params=sorted(NETWORKS))
def network(request: pytest.FixtureRequest) -> nn.Module:
    """One small network of each family, float64, eval mode, weights away from zero."""
    return make(request.param)


def make(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NETWORKS[name]().double().eval()
        for value in net.parameters():
            value.data.add_(0.1 * torch.randn_like(value))
    return net


@pytest.fixture
def build() -> Callable[[str], nn.Module]:
    return make


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    """Ragged: five examples and two, hard targets."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 3, 8, 8, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (7,), generator=generator)
    return [(x[:5], y[:5]), (x[5:], y[5:])]


@pytest.fixture
def shared() -> Path:
    """Real weights and photographs, which are not part of the product."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"the folder of real data is not here: {folder}")
    return folder


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    import matplotlib.pyplot as plt

    assert not plt.get_fignums(), "a figure was left open"


def written_out(
    model: nn.Module,
    batches: list,
    weight_decay: Any = 0.0,
    names: Any = None,
    each: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
) -> Tensor:
    """The Hessian of a mean loss plus decay: double backward in plain torch."""
    leaves = {n: p for n, p in model.named_parameters() if names is None or n in names}
    x, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with sdpa_kernel(SDPBackend.MATH):
        loss = each(model(x), y).mean()
        if isinstance(weight_decay, float):
            loss = loss + weight_decay / 2 * sum(p.square().sum() for p in leaves.values())
        else:
            loss = loss + weight_decay.value(leaves)
        every = list(leaves.values())
        first = torch.autograd.grad(loss, every, create_graph=True)
        flat = torch.cat([part.reshape(-1) for part in first])
        how: dict[str, Any] = {"retain_graph": True, "is_grads_batched": True}
        rows = []
        for unit in torch.eye(len(flat), dtype=flat.dtype).split(64):
            parts = torch.autograd.grad(flat, every, unit, materialize_grads=True, **how)
            rows.append(torch.cat([part.reshape(len(unit), -1) for part in parts], 1))
    return torch.cat(rows)


def gauss_newton(model: nn.Module, batches: list) -> Tensor:
    """``J' D J`` of the mean cross-entropy, ``D`` the covariance of the predicted classes."""
    x = torch.cat([inputs for inputs, _ in batches])
    outputs = model(x)
    leaves, flat = list(model.parameters()), outputs.reshape(-1)
    parts = torch.autograd.grad(
        flat, leaves, torch.eye(len(flat), dtype=flat.dtype), is_grads_batched=True
    )
    rows = torch.cat([part.reshape(len(flat), -1) for part in parts], 1)
    rows = rows.view(*outputs.shape, -1)
    p = outputs.detach().softmax(1)
    covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    return torch.einsum("nij,njk,nil->kl", covariance, rows, rows) / len(x)


@pytest.fixture(scope="session")
def matrix_of() -> Callable[..., Tensor]:
    """The Hessian of a loss, or its parts, float64, symmetric; each is made once."""
    known: dict[str, Tensor] = {}

    def parts(model: nn.Module, batches: list, matrix: str = "hessian", **options: Any) -> Tensor:
        if matrix == "hessian":
            return written_out(model, batches, **options)
        part = gauss_newton(model, batches, **options)
        return part if matrix == "ggn" else find(model, batches) - part

    def find(model: nn.Module, batches: list, **options: Any) -> Tensor:
        options = {k: v for k, v in options.items() if v not in (0.0, None, "hessian")}
        said = hashlib.sha256(repr(options).encode())
        for value in (*model.state_dict().values(), *(part for batch in batches for part in batch)):
            said.update(repr(value.dtype).encode() + value.numpy().tobytes())
        key = f"{type(model)} {said.hexdigest()}"
        if key not in known:
            rows = parts(model, batches, **options)
            assert (rows - rows.T).norm() < 1e-11 * rows.norm()
            known[key] = (rows + rows.T) / 2
        return known[key]

    return find
