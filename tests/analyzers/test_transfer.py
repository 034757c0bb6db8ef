"""Planted filters are found at their level, and what filters nothing is 0 dB."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from torch.autograd.functional import jacobian

import landscape
from landscape.numerics.response import kernel_power, radius, rings


def data(b=8, size=8, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(b, channels, size, size, generator=generator, dtype=torch.float64)
    return [(x[: b - 3], torch.zeros(b - 3)), (x[b - 3 :], torch.zeros(3))]


class Residual(nn.Module):
    """``x + f(x)``."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


def circular(weight):
    """A depthwise convolution that closes at the edges, odd kernels."""
    weight = torch.as_tensor(weight, dtype=torch.float64)
    k = weight.shape[-1]
    conv = nn.Conv2d(4, 4, k, 1, k // 2, 1, 4, bias=False, padding_mode="circular").double()
    conv.weight.data = weight.expand(4, 1, k, k).clone()
    return conv


def network(body):
    """A skip around an operation; the absolute value makes it no shortcut, and changes nothing."""
    stem = nn.Conv2d(3, 4, 1).double()
    return nn.Sequential(stem, Residual(nn.Sequential(body, Once())))


class Once(nn.Module):
    """Slope one at every number, but not a linear operation to look at."""

    def forward(self, x):
        return torch.nn.functional.leaky_relu(x, 1.0)


BLUR = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
SHARP = 2 * torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]) - BLUR


def expected(kernel, beside, grid=(8, 8)):
    """HLR of a kernel in closed form, with an identity beside it or not."""
    kernel = kernel.clone().double()
    kernel[1, 1] += beside
    power = kernel_power(kernel[None, None], *grid)
    true = radius(*grid)
    low, high = (true > 0) & (true <= 0.25), true >= 0.5
    return float(10 * torch.log10(power[high].mean() / power[low].mean()))


@pytest.mark.parametrize(("kernel", "sign"), [(BLUR, -1), (SHARP, 1)])
def test_planted_filters_are_found_in_the_kernel_the_branch_and_the_sum(kernel, sign):
    result = landscape.transfer(network(circular(kernel)), data(), probes=40)
    want = expected(kernel, 0), expected(kernel, 1)
    assert want[0] * sign > 2
    assert result.kernel_hlr.values[-1] == pytest.approx(want[0], abs=1e-9)
    op = result.sel(op="1:dwconv")
    for level, value in zip(("branch", "skip", "block"), (want[0], want[1], want[1]), strict=True):
        error = abs(float(op.hlr.sel(level=level)) - value)
        assert error < 4 * float(op.hlr_se.sel(level=level)) + 1e-9
        assert float(op.hlr_se.sel(level=level)) < 0.5
        assert float(op.shift_invariant.sel(level=level)) == pytest.approx(1)
    assert np.isnan(op.alias_share).all()


def test_what_filters_nothing_is_an_all_pass():
    """The null: a channel mixing alone; every level and band, to rounding; and no leak."""
    result = landscape.transfer(network(nn.Conv2d(4, 4, 1, bias=False).double()), data())
    orthogonal = nn.Conv2d(4, 4, 1, bias=False).double()
    nn.init.orthogonal_(orthogonal.weight.data.view(4, 4))
    result = landscape.transfer(network(orthogonal), data(), parts=("branch",))
    branch = result.sel(op="1:mlp", level="branch")
    np.testing.assert_allclose(branch.gain, 0, atol=1e-10)
    assert float(branch.hlr) == pytest.approx(0, abs=1e-10)
    assert float(branch.dc) == pytest.approx(0, abs=1e-10)
    assert "kernel_hlr" not in result
    assert "head_hlr" not in result


def test_gains_are_the_dense_jacobian(build):
    """One image many times, each with waves of its own: the mean of ``|J e|^2`` over all waves."""
    net = build("hybrid")
    (x, _), _ = data(4)
    many = [(x.repeat(400, 1, 1, 1), torch.zeros(400))]
    result = landscape.transfer(net, many, parts=("branch",))
    block = net.stages[0][0]
    into = net.stem(x).detach()

    def branch(t):
        t = nn.functional.relu(block.bn1(t))
        return block.conv2(nn.functional.relu(block.bn2(block.conv1(t))))

    dense = jacobian(branch, into)[0, :, :, :, 0].flatten(0, 2)  # (c h w, c, h, w)
    c, h, w = into.shape[1:]
    waves = torch.fft.fft2(dense).abs().square().sum(0).sum(0)  # of e^{iwx}, over channels
    gain = waves / (h * w) / c  # power per position out of power 1 per position
    op = result.sel(op="stages.0.0:conv", level="branch")
    for band, mask in enumerate(rings(h, w)):
        want = float(10 * torch.log10(gain[mask].mean()))
        assert float(op.gain[band]) == pytest.approx(want, abs=0.15)
    assert float(op.dc) == pytest.approx(float(10 * torch.log10(gain[0, 0])), abs=0.15)
    low, high = gain[rings(h, w)[0]].mean(), gain[radius(h, w) >= 0.5].mean()
    assert float(op.hlr) == pytest.approx(float(10 * torch.log10(high / low)), abs=0.15)


def test_standard_errors_are_those_of_the_mean_over_images(build):
    """The same network, other images: estimates scatter as their errors say."""
    net = build("msa")
    runs = [landscape.transfer(net, data(12, seed=s), seed=s, parts=("branch",)) for s in range(12)]
    for level in ("branch", "skip"):
        values = np.array([r.hlr.sel(op="blocks.0:msa", level=level) for r in runs])
        errors = np.array([r.hlr_se.sel(op="blocks.0:msa", level=level) for r in runs])
        assert 0.5 < values.std(ddof=1) / np.sqrt((errors**2).mean()) < 2


class Looking(nn.Module):
    """Attention with fixed logits over the pixels, one head."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits.double())

    def forward(self, x):
        b, c, h, w = x.shape
        v = x.flatten(2).transpose(1, 2)[:, None]
        q = v * 1e-9
        out = nn.functional.scaled_dot_product_attention(q, v, v, attn_mask=self.logits)
        return out[:, 0].transpose(1, 2).reshape(b, c, h, w)


def test_uniform_heads_keep_nothing_but_dc_and_permutations_all():
    places = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    flat = landscape.transfer(network(Looking(torch.zeros(64, 64))), data(), parts=("head",))
    assert flat.head_dc.item() == pytest.approx(1)
    assert flat.head_leak.item() == pytest.approx(0, abs=1e-12)
    assert float(flat.head_gain.max()) < -100
    permuted = network(Looking(torch.eye(64)[places] * 100))
    sharp = landscape.transfer(permuted, data(), parts=("head", "branch"))
    np.testing.assert_allclose(sharp.head_gain, 0, atol=1e-6)
    assert sharp.head_hlr.item() == pytest.approx(0, abs=1e-6)
    assert sharp.head_shift_invariant.item() < 0.1
    branch = sharp.sel(op="1:msa", level="branch")
    np.testing.assert_allclose(branch.gain, 0, atol=1e-5)
    assert float(branch.shift_invariant) < 0.2
    assert sharp.attention_depth.values == sharp.depth.sel(op="1:msa").values


def test_strides_alias():
    """Subsampling alone keeps white power: of 8x8 waves all but those up to the new Nyquist."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1, 2, groups=3, bias=False).double(), Once())
    nn.init.ones_(net[0].weight)
    result = landscape.transfer(net, data(), probes=30)
    beyond = 64 - 25  # |k| <= 2 along both axes are not above it
    assert result.kernel_alias_share.item() == pytest.approx(beyond / 63)
    op = result.isel(op=0).sel(level="branch")
    assert float(op.alias_share) == pytest.approx(beyond / 63, abs=4 * float(op.alias_share_se))
    assert np.isnan(op.shift_invariant)
    blurred = nn.Sequential(circular_blur(), net)
    assert float(landscape.transfer(blurred, data()).kernel_alias_share[0]) == 0


def circular_blur():
    return nn.Conv2d(3, 3, 3, 1, 1, 1, 3, bias=False, padding_mode="circular").double()


def test_class_tokens_are_left_out_and_rows_may_be_renormalised(build):
    net = build("msa")
    kept = landscape.transfer(net, data(), parts=("head",))
    again = landscape.transfer(net, data(), parts=("head",), rows="renormalised")
    assert (kept.head_prefix > 0.01).all()
    assert (kept.head_dc < 1).all()
    np.testing.assert_allclose(again.head_dc, 1)
    np.testing.assert_allclose(again.head_leak, 0, atol=1e-20)
    np.testing.assert_allclose(kept.head_prefix, again.head_prefix)


def test_levels_that_do_not_exist_are_nan(build):
    result = landscape.transfer(build("msa"), data())
    assert np.isnan(result.hlr.sel(op="blocks.0:stem", level="skip"))
    assert np.isnan(result.hlr.sel(op="blocks.0:msa", level="block"))
    assert np.isfinite(result.hlr.sel(op="blocks.0:mlp", level="block"))
    assert result.block_kind.sel(op="blocks.0:mlp") == "msa+mlp"
    assert np.isfinite(result.alias_share.sel(op="blocks.0:stem", level="branch"))


def test_batches_do_not_matter_to_heads_and_one_image_has_no_error(build):
    net, x = build("hybrid"), torch.cat([x for x, _ in data()])
    one = landscape.transfer(net, [(x, torch.zeros(len(x)))], parts=("head", "kernel"))
    xr.testing.assert_allclose(one, landscape.transfer(net, data(), parts=("head", "kernel")))
    alone = landscape.transfer(net, [(x[:1], torch.zeros(1))])
    assert np.isnan(alone.hlr_se).all()
    assert np.isfinite(alone.hlr.sel(level="branch")).all()


def test_bands(build):
    result = landscape.transfer(build("conv"), data(), bands=8, parts=("branch", "kernel"))
    assert result.sizes["band"] == 9
    assert float(result.band_low[4]) == 0.5
    frequency = result.frequency.values
    assert math.isnan(frequency[0, 0]) or frequency[0, 0] == 0.25
    known = np.isfinite(frequency)
    np.testing.assert_array_equal(np.isnan(result.gain.sel(level="branch")), ~known)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parts": ("heads",)}, r"unknown part 'heads'. Choices: kernel, head, branch, block"),
        ({"parts": ()}, "unknown part ''"),
        ({"bands": 6}, "bands must be a multiple of 4, got 6"),
        ({"probes": 0}, "probes must be at least 1, got 0"),
        ({"rows": "summed"}, r"unknown rows 'summed'. Choices: kept, renormalised"),
    ],
)
def test_bad_settings_are_refused(build, settings, message):
    with pytest.raises(ValueError, match=message):
        landscape.transfer(build("conv"), data(), **settings)
