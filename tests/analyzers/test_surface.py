import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.subject.filters import draw, layout
from landscape.subject.objective import Objective


def brute(net, batches, d1, d2, a, b):
    """Copy the network, write the weights, loop over examples."""
    twin = copy.deepcopy(net).eval()
    with torch.no_grad():
        for name, p in twin.named_parameters():
            p.add_(a * d1[name] + b * d2[name])
        losses, hits = [], 0
        for x, y in batches:
            for i in range(len(x)):
                out = twin(x[i : i + 1])
                losses.append(nn.functional.cross_entropy(out, y[i : i + 1]).item())
                hits += int(out.argmax() == y[i])
    squares = sum((p.double() ** 2).sum().item() for p in twin.parameters())
    return (
        np.mean(losses),
        np.std(losses, ddof=1) / len(losses) ** 0.5,
        hits / len(losses),
        squares / 2,
    )


def test_every_point_equals_a_copied_network(network, batches):
    result = landscape.surface(network, batches, points=(3, 5), span=0.5, seed=4)
    params = Objective(network, batches).parameters()
    d1, d2 = (draw(params, layout(network), seed=4, index=i) for i in (0, 1))
    for i, a in enumerate(result.alpha.values):
        for j, b in enumerate(result.beta.values):
            want = brute(network, batches, d1, d2, a, b)
            for name, value in zip(("nll", "nll_se", "accuracy", "l2"), want, strict=True):
                assert result[name][i, j].item() == pytest.approx(value, rel=1e-10), name


def test_the_centre_is_the_risk(network, batches):
    result = landscape.surface(network, batches, points=3)
    objective = Objective(network, batches)
    centre = result.sel(alpha=0.0, beta=0.0)
    assert centre.nll.item() == pytest.approx(objective.value(objective.parameters()).item())


def test_filters_move_by_their_norm_and_vectors_stay(network, batches):
    params = Objective(network, batches).parameters()
    parts = layout(network)
    d = draw(params, parts)
    for name, value in params.items():
        if parts[name] is None:
            assert (d[name] == 0).all()
            assert value.ndim < 2 or value.shape[0] == 1
        else:
            flat, move = value.flatten(1), d[name].flatten(1)
            assert torch.allclose(flat.norm(dim=1), move.norm(dim=1), rtol=1e-12)


def test_a_linear_network_with_squared_loss_is_an_exact_quadratic(batches):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).double()
    loss = lambda o, t: (o**2).sum(1)  # noqa: E731
    result = landscape.surface(net, batches, points=7, loss=loss)
    a, b = np.meshgrid(result.alpha, result.beta, indexing="ij")
    basis = np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], -1).reshape(-1, 6)
    fit, *_ = np.linalg.lstsq(basis, result.nll.values.ravel(), rcond=None)
    assert np.allclose(basis @ fit, result.nll.values.ravel(), rtol=1e-11)
    assert fit[3] > 0


def test_rescaling_a_filter_under_batch_norm_changes_nothing():
    """Filter normalisation is invariant to the scale of a normalised filter (batch statistics)."""

    def values(scale):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4, eps=1e-14, track_running_stats=False)
        net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm, nn.Flatten(), nn.Linear(144, 3))
        net = net.double()
        net[0].weight.data[1] *= scale
        x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
        return landscape.surface(net, [(x, torch.arange(8) % 3)], points=3).nll.values

    assert np.allclose(values(1.0), values(7.0), rtol=1e-9)


def test_soft_targets_and_saturation():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    net[1].weight.data.fill_(1e30)
    net[1].weight.data[1] *= -1
    soft = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    result = landscape.surface(net, [(torch.ones(2, 4), soft)], points=3, span=10.0)
    assert result.nll.max() > 1e29  # finite because of log_softmax, and not clipped
    params = Objective(net, []).parameters()
    d1, d2 = (draw(params, layout(net), index=i)["1.weight"].double() for i in (0, 1))
    cosine = (d1 * d2).sum() / (d1.norm() * d2.norm())
    assert result.cosine.item() == pytest.approx(cosine.item(), rel=1e-6)


def test_overflow_stays_infinite():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    net[1].weight.data.fill_(3e38)
    net[1].weight.data[1] *= -1
    result = landscape.surface(net, [(torch.ones(2, 4), torch.tensor([0, 1]))], points=3, span=3.0)
    assert not np.isfinite(result.nll.values).all()


def test_bad_grids(build, batches):
    with pytest.raises(ValueError, match="points must be at least 1"):
        landscape.surface(build("msa"), batches, points=0)
    with pytest.raises(ValueError, match="no parameter has filters"):
        landscape.surface(nn.BatchNorm2d(3).double(), batches)
