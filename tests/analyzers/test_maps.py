"""fourier and variance: closed forms, a plain collect-everything reference, controls."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.numerics.spectrum2d import log_amplitude
from landscape.subject.probe import capture, discover


def collected(network, batches):
    """All maps of all images at every tap, then transformed: the plain way."""
    taps = discover(network, batches[0][0])
    maps = {tap: [] for tap in taps}
    with torch.no_grad():
        for x, _ in batches:
            with capture(network, taps) as heard:
                network(x)
            for tap in taps:
                maps[tap].append(heard[tap])
    return {tap: torch.cat(parts) for tap, parts in maps.items()}


def test_variance_equals_collecting_everything(network, batches):
    result = landscape.variance(network, batches)
    for tap, maps in collected(network, batches).items():
        raw = maps.var(dim=(2, 3)).mean(1)
        scaled = raw / (maps**2).mean(dim=(2, 3)).mean(1)
        row = result.sel(tap=str(tap))
        assert row.variance.item() == pytest.approx(raw.mean().item(), rel=1e-10)
        assert row.variance_se.item() == pytest.approx(raw.std().item() / 7**0.5, rel=1e-8)
        assert row.normalised_variance.item() == pytest.approx(scaled.mean().item(), rel=1e-10)


@pytest.mark.parametrize("axis", ["radial", "diagonal"])
def test_fourier_equals_collecting_everything(network, batches, axis):
    result = landscape.fourier(network, batches, axis=axis)
    for tap, maps in collected(network, batches).items():
        level = log_amplitude(maps, axis)
        row = result.sel(tap=str(tap))
        n = level.shape[1]
        assert np.allclose(row.log_amplitude[:n], level.mean(0), rtol=1e-9)
        relative = level - level[:, :1]
        assert np.allclose(row.relative_log_amplitude[:n], relative.mean(0), atol=1e-9)
        assert np.allclose(row.relative_log_amplitude_se[:n], relative.std(0) / 7**0.5, atol=1e-9)
        assert np.isnan(row.log_amplitude[n:]).all()
        assert np.isnan(row.frequency[n:]).all()
        assert not np.isnan(row.frequency[:n]).any()


def test_constant_maps_have_variance_zero_and_only_dc():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1)).double()
    data = [(torch.ones(3, 1, 8, 8, dtype=torch.float64), torch.zeros(3))]
    assert np.allclose(landscape.variance(net, data).variance, 0, atol=1e-28)
    level = landscape.fourier(net, data, axis="diagonal").log_amplitude
    assert np.allclose(level[:, 1:], math.log(1e-6), atol=1e-3)


def test_a_planted_low_pass_is_found_and_the_identity_is_not():
    """Positive control and null of the statistic, on white noise."""
    blur = nn.Conv2d(2, 2, 2, padding=0, groups=2, bias=False)
    nn.init.constant_(blur.weight, 0.25)

    class Circular(nn.Module):
        def __init__(self, op):
            super().__init__()
            self.op = op

        def forward(self, x):
            return self.op(nn.functional.pad(x, (0, 1, 0, 1), mode="circular"))

    same = nn.Conv2d(2, 2, 1, bias=False)
    same.weight.data = torch.eye(2)[:, :, None, None]
    net = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), same, Circular(blur), same).double()
    net[0].weight.data = torch.eye(2, dtype=torch.float64)[:, :, None, None]
    taps = [landscape.Tap("0"), landscape.Tap("2.op")]
    x = torch.randn(64, 2, 16, 16, dtype=torch.float64) + 1
    result = landscape.fourier(net, [(x, torch.zeros(64))], taps=taps, axis="diagonal")
    drop = result.relative_log_amplitude[1] - result.relative_log_amplitude[0]
    gain = np.log(np.cos(result.frequency[0, :-1] * np.pi / 2) ** 2)
    assert np.allclose(drop[:-1], gain, atol=1e-3)  # |H| = cos(w_x / 2) cos(w_y / 2)
    twice = [landscape.Tap("0"), landscape.Tap("0", kind="mlp")]
    null = landscape.fourier(net, [(x, torch.zeros(64))], taps=twice).relative_log_amplitude
    assert np.array_equal(null[0], null[1], equal_nan=True)


def test_tokens_are_read_on_their_grid(build):
    """A sinusoid over the patches of a ViT's embedding lies in its bin, class token dropped."""
    net = build("msa")
    taps = discover(net, torch.zeros(2, 3, 8, 8, dtype=torch.float64))
    assert taps[0].prefix == 1
    assert taps[0].grid == (2, 2)
    wide = torch.zeros(1, 5, 4, dtype=torch.float64)
    wide[0, 0] = 100.0
    wide[0, 1:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    maps = taps[0].read(wide)
    assert maps[0, 0].tolist() == [[1.0, -1.0], [1.0, -1.0]]


def test_images_of_two_sizes_are_refused(build):
    data = [(torch.zeros(1, 3, s, s, dtype=torch.float64), torch.zeros(1)) for s in (8, 16)]
    with pytest.raises(ValueError, match="one size"):
        landscape.variance(build("conv"), data)


def test_no_taps():
    with pytest.raises(ValueError, match="no feature maps"):
        landscape.fourier(nn.Linear(2, 2), [(torch.zeros(1, 2), torch.zeros(1))])
    with pytest.raises(ValueError, match="no module 'x'"):
        landscape.variance(
            nn.Conv2d(3, 3, 1),
            [(torch.zeros(1, 3, 2, 2), torch.zeros(1))],
            taps=[landscape.Tap("x")],
        )
