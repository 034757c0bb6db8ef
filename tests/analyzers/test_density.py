"""The density equals the dense spectrum's, and its parts add up."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

import landscape
from landscape.result import save

PARTS = ("ggn", "residual")


@pytest.fixture
def dense(matrix_of):
    """All eigenvalues of the dense matrix."""
    return lambda *args, **options: torch.linalg.eigvalsh(matrix_of(*args, **options)).numpy()


def test_trace_norm_and_distribution_are_those_of_the_dense_hessian(network, batches, dense):
    values = dense(network, batches)
    found = landscape.density(network, batches, probes=8, steps=50)
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


def traces(found, part=None):
    """Trace of each probe from nodes and weights: the quadrature is exact for it."""
    of = found if part is None else found.sel(part=part)
    nodes, weights = (of[name if part is None else f"part_{name}"] for name in ("node", "weight"))
    return float(found["size"]) * (nodes * weights).sum("step").values


def test_parts_add_up_to_the_hessian_probe_by_probe(network, batches):
    found = landscape.density(network, batches, probes=4, steps=12, parts=True)
    whole, ggn, residual = traces(found), traces(found, "ggn"), traces(found, "residual")
    assert np.abs(residual).max() > 1e-3  # or nothing would be tested
    np.testing.assert_allclose(ggn + residual, whole, rtol=1e-10, atol=1e-10 * np.abs(ggn).max())
    np.testing.assert_allclose(found.part_trace.sum(), found.trace, rtol=1e-10)
    for part in ("ggn", "residual"):
        assert float(found.part_trace.sel(part=part)) == pytest.approx(traces(found, part).mean())


def test_parts_are_what_their_matrices_give_alone(network, batches):
    few = {"probes": 3, "steps": 10, "threshold": 0.1}
    found = landscape.density(network, batches, parts=True, **few)
    alone = {m: landscape.density(network, batches, matrix=m, **few) for m in PARTS}
    plain = landscape.density(network, batches, **few)
    for name in ("node", "weight", "trace", "trace_se", "negative_mass", "negative_mass_se"):
        xr.testing.assert_equal(found[name].variable, plain[name].variable)
        for part, other in alone.items():
            mine = found[f"part_{name}"].sel(part=part)
            np.testing.assert_array_equal(mine.values, other[name].values)
    assert not [name for name in plain.variables if name.startswith("part")]
    assert int(found.products) == int(plain.products) + sum(int(r.products) for r in alone.values())
    coarsest = max(float(r.resolution) for r in (plain, *alone.values()))
    assert float(found.resolution) == coarsest


def test_densities_and_negative_masses_are_those_of_dense_matrices(dense):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3))
    batches = [(torch.randn(9, 4).double(), torch.randint(3, (9,)))]
    found = landscape.density(net.double(), batches, probes=24, steps=43, parts=True)
    start, width = float(found.threshold), float(found.resolution)

    def place(values):
        return np.arcsinh(values / (2 * start)) / np.log(10)

    for matrix in ("hessian", *PARTS):
        of = found if matrix == "hessian" else found.sel(part=matrix)
        head = "" if matrix == "hessian" else "part_"
        values = dense(net, batches, matrix=matrix)
        apart = (place(found.eigenvalue.values)[:, None] - place(values)) / width
        true = np.exp(-(apart**2) / 2).mean(1) / (width * np.sqrt(2 * np.pi))
        apart = np.abs(of[f"{head}density"].values - true)
        assert np.mean(apart < 3 * of[f"{head}density_se"].values + 1e-9) > 0.9
        assert np.trapezoid(apart, place(found.eigenvalue.values)) < 0.2  # of 1, by 24 probes
        true = -values[values < 0].sum() / np.abs(values).sum()
        gap = abs(float(of[f"{head}negative_mass"]) - true)
        assert gap < 4 * float(of[f"{head}negative_mass_se"]) + 1e-9


def test_the_residual_alone_makes_the_negatives(network, batches):
    found = landscape.density(network, batches, probes=4, steps=30, parts=True)
    mass = dict(zip(PARTS, found.part_negative_mass.values, strict=True))
    assert mass["ggn"] < 1e-9
    assert mass["residual"] > 0.1
    assert float(found.negative_mass) > 0.01


def test_a_linear_network_has_no_residual(batches):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)).double()
    found = landscape.density(net, batches, probes=3, steps=20, parts=True)
    assert traces(found, "residual").tolist() == [0, 0, 0]
    assert float(found.part_negative_mass.sel(part="residual")) == 0
    np.testing.assert_allclose(found.part_density.sel(part="ggn"), found.density, atol=1e-9)
    assert float(found.negative_mass) < 1e-9


def test_decay_belongs_to_the_gauss_newton_part(network, batches):
    few = {"probes": 2, "steps": 6, "parts": True}
    plain, decayed = (
        landscape.density(network, batches, weight_decay=w, **few) for w in (0.0, 0.5)
    )
    shift = (decayed.part_trace - plain.part_trace).values
    np.testing.assert_allclose(shift, [0.5 * float(plain["size"]), 0], atol=1e-8)


def test_every_part_is_checked_and_parts_are_of_the_hessian(network, batches):
    found = landscape.density(network, batches, probes=2, steps=3, parts=True)
    errors = json.loads(found.attrs["part_selfcheck"])
    assert [errors[part]["symmetry"] < 1e-10 for part in PARTS] == [True, True]
    with pytest.raises(ValueError, match="parts are of the Hessian: matrix='hessian', not 'ggn'"):
        landscape.density(network, batches, matrix="ggn", parts=True)


def test_outliers_stand_in_every_probe_with_their_exact_weight(build, batches):
    network = build("msa")
    found = landscape.density(network, batches, probes=3, steps=5, deflate=4)
    outliers = landscape.hessian(network, batches, k=4, tol=1e-6).set_eigenvalue.values
    assert found.node.shape == (3, 9)
    assert np.allclose(found.weight.sum("step"), 1)
    for node, weight in zip(found.node.values, found.weight.values, strict=True):
        exact = node[np.isclose(weight, 1 / int(found.size), rtol=1e-12)]
        assert np.allclose(np.sort(exact), np.sort(outliers), rtol=1e-5)


def test_deflation_takes_the_error_of_outliers_away(build, batches):
    network = build("conv")
    plain = landscape.density(network, batches, probes=6, steps=20)
    found = landscape.density(network, batches, probes=6, steps=20, deflate=8)
    assert float(found.frobenius_se) < float(plain.frobenius_se) / 2
    assert int(found.products) > int(plain.products)


def test_all_eigenvalues_can_be_taken_out(build, batches):
    network = build("conv").eval()
    name, bias = list(network.named_parameters())[-1]  # of the logits, so H = mean(diag p - p p')
    found = landscape.density(
        network, batches, probes=2, steps=3, deflate=bias.numel(), parameters=f"^{name}$"
    )
    with torch.no_grad():
        p = torch.cat([network(x).softmax(1) for x, _ in batches])
    assert float(found.trace) == pytest.approx(float((1 - (p**2).sum(1)).mean()), rel=1e-9)
    assert float(found.trace_se) == pytest.approx(0, abs=1e-9)


def test_a_stopped_deflated_run_goes_on_to_the_same_bytes(build, batches, tmp_path):
    network = build("msa")
    options = {"probes": 3, "steps": 6, "deflate": 2}
    whole = save(landscape.density(network, batches, **options), tmp_path / "a.nc").read_bytes()

    def stop(items, total, label):
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    place = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt):
        landscape.density(network, batches, journal=place, progress=stop, **options)
    found = landscape.density(network, batches, journal=place, **options)
    assert save(found, tmp_path / "b.nc").read_bytes() == whole


def test_fewer_than_no_eigenvalues_cannot_be_taken_out(build, batches):
    network = build("conv")
    with pytest.raises(ValueError, match="deflate must be 0 or more eigenvalues, got -1"):
        landscape.density(network, batches, deflate=-1)
