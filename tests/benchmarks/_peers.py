"""Engines of the Hessian benchmark, each called as its own documentation calls it.

An engine that is not for all parts names its ``parts``.

``top``, ``spectrum`` and ``product`` take a network, one batch (``top``: several, one matrix each)
and a meter, whose ``wrap`` counts and times the engine's own matrix-vector product.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Batch = tuple[Tensor, Tensor]
Matvec = Callable[[Tensor], Tensor]
Quadrature = tuple[Any, Any]  # nodes and weights, both (probe, step)

TOP = 5
OUTLIERS = 10
TOL = 1e-3


class Landscape:
    """`landscape.hessian` and `landscape.density`, with the self-check that they begin with."""

    package, install = "vision-landscape", "-e ."

    def top(
        self, model: nn.Module, batches: list[Batch], decay: float, seed: int, meter: Any
    ) -> list:
        settings = {"k": TOP, "tol": TOL, "weight_decay": decay, "seed": seed, "whole": False}
        return self._call("hessian", meter, model, batches, **settings).eigenvalue.values.tolist()

    def spectrum(
        self, model: nn.Module, batch: Batch, probes: int, steps: int, seed: int, meter: Any
    ) -> Quadrature:
        settings = {"probes": probes, "steps": steps, "seed": seed}
        found = self._call("density", meter, model, [batch], **settings)
        return found.node.values, found.weight.values

    def product(self, model: nn.Module, batch: Batch) -> Matvec:
        from landscape.analyzers._curvature import operator
        from landscape.subject.objective import Objective

        return operator(Objective(model, [batch]))[0]

    def _call(self, name: str, meter: Any, *args: Any, **settings: Any) -> Any:
        module = import_module(f"landscape.analyzers.{name}")
        operator, checked = module.operator, meter.check(module.checked)

        def metered(*args: Any) -> tuple[Matvec, Tensor]:
            product, like = operator(*args)
            return meter.wrap(product), like

        with patch.object(module, "operator", metered), patch.object(module, "checked", checked):
            return getattr(module, name)(*args, **settings)


class Deflated(Landscape):
    """`landscape.density` with the outliers taken out, some 35 products, for one probe fewer."""

    parts = ("density",)

    def spectrum(
        self, model: nn.Module, batch: Batch, probes: int, steps: int, seed: int, meter: Any
    ) -> Quadrature:
        settings = {"probes": max(probes - 1, 1), "steps": steps, "seed": seed, "deflate": OUTLIERS}
        found = self._call("density", meter, model, [batch], **settings)
        return found.node.values, found.weight.values


class PyHessian:
    """Power iteration with its own defaults: at most 100 products an eigenvalue.

    `density` calls torch.eig, which is gone: it gets one that solves the same symmetric problem.
    """

    package, install = "pyhessian", "pyhessian==0.1"

    def top(
        self, model: nn.Module, batches: list[Batch], decay: float, seed: int, meter: Any
    ) -> list:
        torch.manual_seed(seed)
        rows = []
        with _helped(), self._metered(meter):
            for batch in batches:
                found = self._load(model, batch, decay)
                rows.append(found.eigenvalues(maxIter=100, tol=TOL, top_n=TOP)[0])
        return rows

    def spectrum(
        self, model: nn.Module, batch: Batch, probes: int, steps: int, seed: int, meter: Any
    ) -> Quadrature:
        def eig(matrix: Tensor, eigenvectors: bool) -> tuple[Tensor, Tensor]:
            values, vectors = torch.linalg.eigh(matrix)
            return torch.stack([values, torch.zeros_like(values)], 1), vectors

        torch.manual_seed(seed)
        with _helped(), self._metered(meter), patch.object(torch, "eig", eig, create=True):
            return self._load(model, batch, 0.0).density(iter=steps, n_v=probes)

    def product(self, model: nn.Module, batch: Batch) -> Matvec:
        peer = import_module("pyhessian.hessian")
        with _helped():
            found = self._load(model, batch, 0.0)

        def matvec(v: Tensor) -> Tensor:
            parts = v.split([p.numel() for p in found.params])
            shaped = [part.view_as(p) for part, p in zip(parts, found.params, strict=True)]
            out = peer.hessian_vector_product(found.gradsH, found.params, shaped)
            return torch.cat([part.reshape(-1) for part in out])

        return matvec

    def _load(self, model: nn.Module, batch: Batch, decay: float) -> Any:
        for parameter in model.parameters():
            parameter.grad = None  # or it adds the gradients of the batch before

        def criterion(outputs: Tensor, targets: Tensor) -> Tensor:
            return nn.functional.cross_entropy(outputs, targets) + _l2(model, decay)

        return import_module("pyhessian.hessian").hessian(model, criterion, data=batch, cuda=False)

    def _metered(self, meter: Any) -> Any:
        peer = import_module("pyhessian.hessian")
        return patch.object(peer, "hessian_vector_product", meter.wrap(peer.hessian_vector_product))


class Curvlinops:
    """`HessianLinearOperator` with ARPACK's `eigsh`; its check of determinism is off, for speed.

    It has no L2 term: the identity is added to its products. Its Lanczos runs orthogonalise once.
    """

    package, install = "curvlinops-for-pytorch", "curvlinops-for-pytorch==3.0.1"

    def top(
        self, model: nn.Module, batches: list[Batch], decay: float, seed: int, meter: Any
    ) -> list:
        from scipy.sparse.linalg import LinearOperator, eigsh

        draw, rows = np.random.default_rng(seed), []
        with _helped():
            for batch in batches:
                matrix = self._load(model, batch).to_scipy()
                n = matrix.shape[0]
                product = meter.wrap(lambda v, matrix=matrix: matrix @ v + decay * v)
                shifted = LinearOperator((n, n), product, dtype=matrix.dtype)
                start = draw.standard_normal(n)
                rows.append(eigsh(shifted, TOP, tol=TOL, v0=start, return_eigenvectors=False))
        return [row.tolist() for row in rows]

    def spectrum(
        self, model: nn.Module, batch: Batch, probes: int, steps: int, seed: int, meter: Any
    ) -> Quadrature:
        from curvlinops.papyan2020traces.spectrum import fast_lanczos

        torch.manual_seed(seed)
        with _helped():
            matrix = self._load(model, batch)
            matrix._matmat = meter.wrap(matrix._matmat)
            runs = [fast_lanczos(matrix, steps) for _ in range(probes)]
        return [x.numpy() for x, _ in runs], [v[0].square().numpy() for _, v in runs]

    def product(self, model: nn.Module, batch: Batch) -> Matvec:
        with _helped():
            matrix = self._load(model, batch)

        def matvec(v: Tensor) -> Tensor:
            with _helped():
                return matrix @ v

        return matvec

    def _load(self, model: nn.Module, batch: Batch) -> Any:
        from curvlinops import HessianLinearOperator

        params = [p for p in model.parameters() if p.requires_grad]
        loss = nn.CrossEntropyLoss()
        return HessianLinearOperator(model, loss, params, [batch], check_deterministic=False)


class Eigenthings:
    """Its `lanczos`, whose number of steps is given: 30, and anew with 20 more till it converges.

    All products count. Orthogonalisation, off by default beyond 50 steps, stays on.
    """

    package, install = "hessian-eigenthings", "hessian-eigenthings==1.0.0a5"

    def top(
        self, model: nn.Module, batches: list[Batch], decay: float, seed: int, meter: Any
    ) -> list:
        from hessian_eigenthings import lanczos

        rows = []
        for batch in batches:
            matrix = self._load(model, batch, decay, meter)
            settings: dict[str, Any] = {"k": TOP, "tol": TOL, "reorthogonalize": True, "seed": seed}
            for steps in range(30, 211, 20):
                with _helped():
                    found = lanczos(matrix, max_iter=steps, **settings)
                if found.converged.all():
                    break
            else:
                raise RuntimeError(f"not converged to {TOL:g} in {steps} steps")
            rows.append(found.eigenvalues.tolist())
        return rows

    def spectrum(
        self, model: nn.Module, batch: Batch, probes: int, steps: int, seed: int, meter: Any
    ) -> Quadrature:
        from hessian_eigenthings import spectral_density

        first = seed * 1_000_003  # then its probes are those of landscape
        settings = {"num_runs": probes, "lanczos_steps": steps, "seed": first}
        with _helped():
            found = spectral_density(self._load(model, batch, 0.0, meter), **settings)
        return found.raw_eigenvalues.numpy(), found.raw_weights.numpy()

    def product(self, model: nn.Module, batch: Batch) -> Matvec:
        matrix = self._load(model, batch, 0.0, None)

        def matvec(v: Tensor) -> Tensor:
            with _helped():
                return matrix.matvec(v)

        return matvec

    def _load(self, model: nn.Module, batch: Batch, decay: float, meter: Any) -> Any:
        from hessian_eigenthings import HessianOperator

        def loss(model: nn.Module, batch: Batch) -> Tensor:
            return nn.functional.cross_entropy(model(batch[0]), batch[1]) + _l2(model, decay)

        matrix = HessianOperator(model, [batch], loss)
        if meter is not None:
            matrix.matvec = meter.wrap(matrix.matvec)
        return matrix


ENGINES: dict[str, Any] = {
    "landscape": Landscape(),
    f"landscape, {OUTLIERS} taken out": Deflated(),
    "PyHessian": PyHessian(),
    "curvlinops": Curvlinops(),
    "hessian-eigenthings": Eigenthings(),
}


@contextmanager
def _helped() -> Iterator[None]:
    """What users of the peers must see to themselves: attention that has a second derivative."""
    with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Using backward\(\) with create_graph=True", UserWarning)
        yield


def _l2(model: nn.Module, decay: float) -> Tensor | float:
    if not decay:
        return 0.0
    return decay / 2 * sum(p.square().sum() for p in model.parameters() if p.requires_grad)
