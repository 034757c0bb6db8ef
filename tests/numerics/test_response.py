"""Responses against closed forms and dense matrices."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape.numerics import response as r

TWO = 2 * torch.pi


def test_box_blur_is_a_product_of_cosines():
    box = torch.full((1, 1, 2, 2), 0.25, dtype=torch.float64)
    y, x = (TWO * torch.fft.fftfreq(n, dtype=torch.float64) for n in (10, 7))
    want = torch.cos(y / 2)[:, None] * torch.cos(x / 2)[None]
    error = (r.kernel_power(box, 10, 7) - want**2).abs().max()
    assert float(error) < 1e-12


@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (2, 1), (4, 1), (1, 2)])
def test_kernel_power_is_what_the_convolution_does_to_waves(groups, dilation):
    torch.manual_seed(0)
    conv = nn.Conv2d(
        4, 4, 3, 1, dilation, dilation, groups, bias=False, padding_mode="circular"
    ).double()
    h, w = 6, 8
    power = torch.zeros(h, w, dtype=torch.float64)
    for ky in range(h):
        for kx in range(w):
            rows, columns = torch.arange(h)[:, None] * ky / h, torch.arange(w) * kx / w
            phase = TWO * (rows + columns).double()
            for channel in range(4):
                for wave in (phase.cos(), phase.sin()):
                    x = torch.zeros(1, 4, h, w, dtype=torch.float64)
                    x[0, channel] = wave
                    power[ky, kx] += conv(x).detach().square().sum() / (h * w)
    pairs = conv.weight.shape[0] * conv.weight.shape[1]
    torch.testing.assert_close(r.kernel_power(conv.weight, h, w, conv.dilation), power / pairs)


def test_rings_part_the_plane():
    for h, w, count in ((8, 8, 4), (7, 9, 8), (4, 4, 4), (2, 2, 4), (14, 14, 8), (1, 8, 4)):
        mask = r.rings(h, w, count)
        assert int(mask.sum()) == h * w - 1
        assert torch.equal(mask.sum(0) == 0, r.radius(h, w) == 0)
        assert mask[0].any()  # however coarse the grid, it has a lowest frequency


def test_low_and_high_are_the_quarters():
    true = r.radius(32, 32)
    mask = r.rings(32, 32, 8)
    assert torch.equal(mask[:2].any(0), (true > 0) & (true <= 0.25))
    assert torch.equal(mask[4:].any(0), true >= 0.5)
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        r.rings(8, 8, 6)


def test_a_strided_cosine_folds_where_theory_says():
    """cos(2 pi k y / n), every other sample: the frequency k or n/2 - k of n/2 samples."""
    n = 16
    for k in range(1, n // 2 + 1):
        wave = torch.cos(TWO * k * torch.arange(n).double() / n)[:, None].expand(n, n)[::2, ::2]
        spectrum = torch.fft.fft2(wave).abs()[: n // 4 + 1, 0]
        assert int(spectrum.argmax()) == min(k, n // 2 - k)
        assert bool(r.beyond(n, n, (2, 2))[k, 0]) == (k > n // 4)


@pytest.mark.parametrize("stride", [(2, 2), (4, 4), (2, 1)])
def test_alias_share_is_the_mean_over_white_inputs(stride):
    torch.manual_seed(0)
    h = w = 16
    conv = nn.Conv2d(1, 1, 3, stride, 1, bias=False, padding_mode="circular").double()
    power = r.kernel_power(conv.weight, h, w)
    mask = r.beyond(h, w, stride)
    x = torch.randn(4000, 1, h, w, dtype=torch.float64)
    parts = []
    for inside in (mask, ~mask & (r.radius(h, w) > 0)):
        part = torch.fft.ifft2(torch.fft.fft2(x) * inside).real
        parts.append(float(conv(part).detach().square().mean()))
    share = parts[0] / sum(parts)
    assert float(r.alias_share(power, stride)) == pytest.approx(share, rel=0.02)


def test_a_filter_that_stops_the_upper_half_does_not_alias():
    keep = (~r.beyond(32, 32, (2, 2))).double()
    assert float(r.alias_share(keep, (2, 2))) == 0
    assert float(r.alias_share(1 - keep, (2, 2))) == 1


def dense(matrix, h, w):
    """F A F* with unitary F in two dimensions, by plain matrix products."""
    one = [torch.fft.fft(torch.eye(n, dtype=torch.complex128), norm="ortho") for n in (h, w)]
    f = torch.kron(one[0], one[1])
    return f @ matrix.to(torch.complex128) @ f.conj().T


def stochastic(h, w):
    torch.manual_seed(0)
    return torch.randn(2, 3, h * w, h * w, dtype=torch.float64).softmax(-1)


@pytest.mark.parametrize(("h", "w"), [(4, 4), (3, 5), (8, 8)])
def test_attention_is_the_dense_transform(h, w):
    weights = stochastic(h, w)
    found = r.attention_response(weights, (h, w), (h, w))
    for b in range(2):
        for head in range(3):
            full = dense(weights[b, head], h, w).abs().square()
            gain = full[1:].sum(0).view(h, w)
            got = {k: v[b, head] for k, v in found.items()}
            torch.testing.assert_close(got["gain"], r.by_ring(gain), equal_nan=True)
            torch.testing.assert_close(got["dc"], full[0, 0])
            torch.testing.assert_close(got["leak"], full[1:, 0].sum(), atol=1e-15, rtol=1e-10)
            torch.testing.assert_close(got["diagonal"], full[1:, 1:].diagonal().sum())
            torch.testing.assert_close(got["total"], full[1:, 1:].sum())


def test_rows_that_sum_to_one_keep_dc_and_leak_nothing():
    found = r.attention_response(stochastic(6, 6), (6, 6), (6, 6))
    torch.testing.assert_close(found["dc"], torch.ones(2, 3, dtype=torch.float64))
    assert float(found["leak"].max()) < 1e-28


def test_uniform_attention_is_dc_only():
    found = r.attention_response(torch.full((64, 64), 1 / 64.0).double(), (8, 8), (8, 8))
    assert float(found["dc"]) == pytest.approx(1)
    assert float(found["gain"].abs().max()) < 1e-28


def test_permutations_pass_everything():
    torch.manual_seed(0)
    matrix = torch.eye(64, dtype=torch.float64)[torch.randperm(64)]
    found = r.attention_response(matrix, (8, 8), (8, 8))
    torch.testing.assert_close(10 * found["gain"].log10(), torch.zeros(5, dtype=torch.float64))
    assert float(found["diagonal"] / found["total"]) < 0.1  # but it is no filter
    shift = torch.eye(64, dtype=torch.float64).view(8, 8, 64).roll((2, 3), (0, 1)).view(64, 64)
    found = r.attention_response(shift, (8, 8), (8, 8))
    assert float(found["diagonal"] / found["total"]) == pytest.approx(1)


def test_a_sink_amplifies_and_leaks():
    """All look at one token: DC stays, and every wave becomes DC."""
    sink = torch.zeros(64, 64, dtype=torch.float64)
    sink[:, 9] = 1
    found = r.attention_response(sink, (8, 8), (8, 8))
    assert float(found["dc"]) == pytest.approx(1)
    assert float(found["gain"].max()) < 1e-25
    back = r.attention_response(sink.T, (8, 8), (8, 8))  # one query gets all: DC becomes a spike
    assert float(back["leak"]) == pytest.approx(63)


def test_queries_on_another_grid():
    """Every place looks at one in four: nearest-neighbour upsampling."""
    y, x = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    matrix = torch.eye(16, dtype=torch.float64)[(y // 2 * 4 + x // 2).flatten()]
    found = r.attention_response(matrix, (8, 8), (4, 4))
    assert np.allclose(found["gain"][[0, 2, 3, 4]], 1)
    assert found["diagonal"].isnan()
    with pytest.raises(ValueError, match="64x16 matrix is not from"):
        r.attention_response(matrix, (4, 4), (4, 4))


def test_noise_is_inside_its_band_and_of_power_one():
    generator = torch.Generator().manual_seed(0)
    mask = r.rings(8, 8)[2]
    noise = r.band_noise((5, 3, 8, 8), mask, generator)
    outside = torch.fft.fft2(noise).abs()[..., ~mask]
    assert float(outside.max()) < 1e-12
    torch.testing.assert_close(noise.square().sum(1).mean((1, 2)), torch.ones(5).double())


def test_waves_have_one_frequency():
    generator = torch.Generator().manual_seed(0)
    real, imaginary, rows, columns = r.plane_waves((6, 3, 8, 8), r.radius(8, 8) > 0, generator)
    spectrum = torch.fft.fft2(real + 1j * imaginary, norm="forward").abs().square().sum(1)
    want = torch.zeros(6, 8, 8, dtype=torch.float64)
    want[torch.arange(6), rows, columns] = 1
    torch.testing.assert_close(spectrum, want, atol=1e-12, rtol=1e-12)
