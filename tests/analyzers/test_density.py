"""The density equals the dense spectrum's, and its parts add up."""

import json

import numpy as np
import pytest
import torch

import landscape
from landscape.subject.objective import Objective, ravel, unravel


def dense(model, batches, **options):
    """All eigenvalues from the matrix built row by row, float64."""
    objective = Objective(model, batches, **options)
    params = objective.parameters()
    product = objective.linearise(params)
    eye = torch.eye(ravel(params).numel(), dtype=torch.float64)
    matrix = torch.stack([ravel(product(unravel(row, params))) for row in eye])
    return torch.linalg.eigvalsh((matrix + matrix.T) / 2).numpy()


def test_trace_norm_and_distribution_are_those_of_the_dense_hessian(network, batches):
    values = dense(network, batches)
    found = landscape.density(network, batches, probes=16, steps=50)
    assert int(found.size) == len(values)
    for name, true in (("trace", values.sum()), ("frobenius", (values**2).sum())):
        assert abs(float(found[name]) - true) < 4 * float(found[f"{name}_se"]) + 1e-9
    true = -values[values < 0].sum() / np.abs(values).sum()
    assert abs(float(found.negative_mass) - true) < 4 * float(found.negative_mass_se)
    assert found.node.values.min() == pytest.approx(values.min(), rel=1e-6)
    assert found.node.values.max() == pytest.approx(values.max(), rel=1e-6)


def test_the_density_holds_all_the_mass(network, batches):
    found = landscape.density(network, batches, probes=4, steps=30)
    place = np.arcsinh(found.eigenvalue / (2 * found.threshold)) / np.log(10)
    total = np.trapezoid(found.density.values, place.values)
    assert total == pytest.approx(1, abs=1e-3)
    assert (found.density_se >= 0).all()


def test_gauss_newton_and_residual_add_up_to_the_hessian(network, batches):
    parts = {
        matrix: landscape.density(network, batches, probes=3, steps=10, matrix=matrix)
        for matrix in ("hessian", "ggn", "residual")
    }
    total = float(parts["ggn"].trace + parts["residual"].trace)
    assert total == pytest.approx(float(parts["hessian"].trace), rel=1e-9)
    assert float(parts["ggn"].negative_mass) < 1e-9
    assert float(parts["residual"].negative_mass) > 0.1


def test_weight_decay_shifts_every_node(network, batches):
    plain = landscape.density(network, batches, probes=2, steps=6)
    shifted = landscape.density(network, batches, probes=2, steps=6, weight_decay=0.5)
    assert np.allclose(shifted.node, plain.node + 0.5, atol=1e-8)
    assert np.allclose(shifted.weight, plain.weight, atol=1e-8)


def test_parameters_are_chosen_by_name(network, batches):
    name, chosen = list(network.named_parameters())[-1]
    found = landscape.density(network, batches, probes=2, steps=5, parameters=f"^{name}$")
    assert int(found.size) == chosen.numel()
    with pytest.raises(ValueError, match="no trainable parameter matches 'tail'"):
        landscape.density(network, batches, parameters="tail")
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        landscape.density(network, batches, parameters="(")


def test_the_selfcheck_is_stamped(network, batches):
    found = landscape.density(network, batches, probes=2, steps=3)
    errors = json.loads(found.attrs["selfcheck"])
    assert errors["symmetry"] < 1e-10
    assert errors["curvature"] < 1e-3


@pytest.mark.parametrize("settings", [{"probes": 0}, {"steps": 0}, {"threshold": -1.0}])
def test_bad_settings_are_refused(network, batches, settings):
    with pytest.raises(ValueError, match=r"at least 1|threshold must be positive"):
        landscape.density(network, batches, **({"probes": 2, "steps": 3} | settings))
