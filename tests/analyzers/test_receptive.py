"""receptive: supports and fields in closed form, attention on known grids, shifts."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import landscape
from landscape.subject.probe import Tap, capture

F64 = torch.float64


def images(n=4, side=16, channels=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, channels, side, side, generator=draw, dtype=F64)
    return [(x, torch.zeros(n))]


def listen(*names, **more):
    return [Tap(name, **more) for name in names]


@pytest.mark.parametrize("active", [False, True])
def test_the_support_of_a_stack_of_convolutions_is_one_plus_sums(active):
    """1 + sum (k - 1) * product of the strides before; ReLUs leave none of it out."""
    steps = [(3, 1), (5, 2), (1, 1), (3, 2), (3, 1)]
    layers, side, jump, expected = [], 1, 1, []
    for k, stride in steps:
        layers.append(nn.Conv2d(3 if not layers else 6, 6, k, stride, k // 2))
        side, jump = side + (k - 1) * jump, jump * stride
        expected.append(side)
        if active:
            layers.append(nn.ReLU(inplace=True))
    torch.manual_seed(0)
    net = nn.Sequential(*layers).double()
    names = [str(i) for i, layer in enumerate(net) if isinstance(layer, nn.Conv2d)]
    for value in net.parameters():
        value.data.normal_(0.1)
    result = landscape.receptive(net, images(12, 48), taps=listen(*names))
    assert expected == [3, 7, 7, 11, 19]
    assert result.support_side.values.tolist() == expected
    assert np.allclose(result.support_share, np.square(expected) / 48**2)
    assert not result.support_cut.any()
    assert not result.dead.any()


def test_the_edge_of_the_image_cuts_a_support_and_that_is_told():
    net = nn.Sequential(*[nn.Conv2d(3, 3, 5, padding=2) for _ in range(4)]).double()
    result = landscape.receptive(net, images(side=12))
    assert result.support_side.values.tolist() == [5, 9, 12, 12]
    assert result.support_cut.values.tolist() == [0, 0, 1, 1]


def test_attention_sees_everything(build):
    result = landscape.receptive(build("msa"), images(side=8))
    assert result.kind.values[:2].tolist() == ["stem", "msa"]
    assert result.support_share.values[0] == 0.25  # a patch
    assert (result.support_share.values[1:] == 1).all()


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_the_field_of_a_box_filter_is_the_box(k):
    """RMS radius sqrt((k^2 - 1) / 6), mass 1 / k^2 in each pixel, radii by counting pixels."""
    blur = nn.Conv2d(3, 3, k, padding=k // 2, groups=3, bias=False).double()
    nn.init.constant_(blur.weight, 1 / k**2)
    result = landscape.receptive(blur, images(5, 17), taps=listen("")).isel(tap=0)
    # position 8 of 17 is pixel 8
    expected = np.zeros((17, 17))
    expected[8 - k // 2 : 9 + k // 2, 8 - k // 2 : 9 + k // 2] = 1 / k**2
    assert np.allclose(result.field, expected, atol=1e-14)
    assert result.rms_radius.item() == pytest.approx(math.sqrt((k * k - 1) / 6), abs=1e-12)
    near = sorted(math.hypot(i - k // 2, j - k // 2) for i in range(k) for j in range(k))
    for share in (0.5, 0.9):
        radius = near[math.ceil(share * k * k - 1e-9) - 1]
        assert result.radius.sel(share=share).item() == pytest.approx(radius)
        assert result.radius_se.sel(share=share).item() == 0
    assert result.offset.item() == pytest.approx(0, abs=1e-12)
    assert result.specificity.item() == pytest.approx(0, abs=1e-12)


def test_the_field_is_the_squared_jacobian(build):
    """Against the dense Jacobian of one tap, image by image; random signs have its mean."""
    net = build("conv")
    data = images(5, 8, seed=1)
    taps = landscape.discover(net, data[0][0])
    which = len(taps) - 1
    result = landscape.receptive(net, data, taps=taps, cotangents=600).isel(tap=which)
    maps = []
    for x in data[0][0]:

        def middle(image):
            with capture(net, taps, lambda m: m[:, :, m.shape[2] // 2, m.shape[3] // 2].clone(),
                         graph=True) as live:  # fmt: skip
                net(image[None])
                return live[taps[which]][0]

        jacobian = torch.autograd.functional.jacobian(middle, x)
        power = jacobian.square().sum((0, 1))
        maps.append(power / power.sum())
    exact = torch.stack(maps).mean(0).numpy()
    assert np.abs(result.field - exact).max() < 0.1 * exact.max()
    assert result.field.sum().item() == pytest.approx(1)
    h = int(str(result.grid.item()).split("x")[0])
    at = (h // 2 + 0.5) * 8 / h - 0.5
    grid = np.hypot(np.arange(8)[:, None] - at, np.arange(8) - at)
    second = [math.sqrt((m.numpy() * grid**2).sum()) for m in maps]
    assert result.rms_radius.item() == pytest.approx(np.mean(second), rel=0.02)
    assert result.rms_radius_se.item() == pytest.approx(np.std(second, ddof=1) / 5**0.5, rel=0.2)


def test_dead_units_are_counted_and_left_out():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Identity()).double()
    nn.init.constant_(net[0].weight, 1.0)
    nn.init.zeros_(net[0].bias)
    x = torch.ones(6, 1, 8, 8, dtype=F64)
    x[:2] = -1
    result = landscape.receptive(net, [(x, torch.zeros(6))], taps=listen("2")).isel(tap=0)
    assert result.dead.item() == 2
    assert result.rms_radius.item() == pytest.approx(math.sqrt(8 / 6))
    gone = landscape.receptive(net, [(-x.abs(), torch.zeros(6))], taps=listen("2")).isel(tap=0)
    assert gone.dead.item() == 6
    assert gone.radius.isnull().all()
    assert gone.field.isnull().all()
    assert gone.support_side.item() == 0
    assert gone.shift_change.isnull().all()


class Attention(nn.Module):
    """Tokens of 2x2 patches and a class token, attending by given logits, or alike."""

    def __init__(self, logits=None, scale=0.0, prefix=1):
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 2, 2)
        self.first = nn.Parameter(torch.randn(1, prefix, 4))
        self.key = nn.Linear(4, 4)
        self.out = nn.Linear(4, 4)
        self.scale = scale
        self.register_buffer("logits", torch.zeros(1) if logits is None else logits)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1)
        v = self.key(x)[:, None]
        q = self.scale * v
        bias = self.logits.expand(x.shape[1], x.shape[1])
        y = nn.functional.scaled_dot_product_attention(q, v, v, attn_mask=bias)
        return self.out(x + y[:, 0])


def mean_distance(h, w):
    """Of two places of a grid, all pairs alike."""
    places = [(i, j) for i in range(h) for j in range(w)]
    return np.mean([math.dist(a, b) for a in places for b in places])


def attended(net, side=8, n=5, **more):
    torch.manual_seed(0)
    tap = Tap("", layout="tokens", prefix=1)
    return landscape.receptive(net.double(), images(n, side), taps=[tap], **more).isel(layer=0)


def test_uniform_attention_has_closed_forms():
    result = attended(Attention()).isel(head=0)
    distance = mean_distance(4, 4)
    assert result.attention_distance.item() == pytest.approx(distance, abs=1e-12)
    assert result.attention_pixels.item() == pytest.approx(2 * distance, abs=1e-12)
    assert result.uniform_distance.item() == pytest.approx(distance, abs=1e-12)
    assert result.uniform_pixels.item() == pytest.approx(2 * distance, abs=1e-12)
    assert result.attention_entropy.item() == pytest.approx(math.log(16), abs=1e-12)
    assert result.relative_entropy.item() == pytest.approx(1, abs=1e-12)
    assert result.prefix_share.item() == pytest.approx(1 / 17, abs=1e-12)
    assert result.self_share.item() == pytest.approx(1 / 17, abs=1e-12)
    assert result.attention_specificity.item() == pytest.approx(0, abs=1e-12)
    for name in ("attention_distance", "attention_entropy", "prefix_share"):
        assert result[f"{name}_se"].item() == pytest.approx(0, abs=1e-12)
    assert (result.layer_grid.item(), result.windows.item()) == ("4x4", 1)


def test_attention_on_the_right_neighbour_is_one_token_far():
    logits = torch.full((17, 17), -1000.0, dtype=F64)
    for i in range(16):
        row, column = divmod(i, 4)
        logits[1 + i, 1 + row * 4 + (column + 1) % 4] = 0
    logits[0] = 0
    result = attended(Attention(logits)).isel(head=0)
    assert result.attention_distance.item() == pytest.approx((3 * 1 + 3) / 4)  # it wraps once
    assert result.attention_entropy.item() == pytest.approx(0, abs=1e-12)
    assert result.self_share.item() == 0
    assert result.prefix_share.item() == 0


def test_attention_on_itself_and_the_class_token():
    logits = torch.full((17, 17), -1000.0, dtype=F64)
    logits[range(17), range(17)] = math.log(3)
    logits[:, 0] = 0
    result = attended(Attention(logits)).isel(head=0)
    assert result.self_share.item() == pytest.approx(0.75)
    assert result.prefix_share.item() == pytest.approx(0.25)
    assert result.attention_distance.item() == 0  # what is not on class tokens stays


def test_attention_by_content_depends_on_the_image_and_by_place_does_not():
    """Positive control and null of data specificity."""
    place = attended(Attention(torch.randn(17, 17, dtype=F64)), n=8)
    assert abs(place.attention_specificity.item()) < 1e-12
    content = attended(Attention(scale=40.0), n=8)
    assert content.attention_specificity.item() > 0.1
    assert content.attention_specificity.item() > 5 * content.attention_specificity_se.item() > 0


def test_specificity_equals_collecting_everything():
    net = Attention(scale=10.0).double()
    (x, y) = images(12, 8)[0]
    seen = []
    from landscape.subject.attention import attending

    with torch.no_grad(), attending(net, x, lambda site, a: seen.append(a.clone())):
        net(x)
    a = seen[0].flatten(1)
    groups = a.split(4)
    own = a.square().sum(1).mean()
    cross = np.mean(
        [float(g[i] @ g[j]) for g in groups for i in range(4) for j in range(4) if i != j]
    )
    tap = Tap("", layout="tokens", prefix=1)
    for size in (4, 12):
        data = [(x[i : i + size], y[i : i + size]) for i in range(0, 12, size)]
        result = landscape.receptive(net, data, taps=[tap])
        found = result.attention_specificity.item()
        assert found == pytest.approx(1 - cross / float(own), rel=1e-10)


def test_heads_and_layers_of_a_network_are_in_order(build):
    result = landscape.receptive(build("hybrid"), images(side=8))
    assert result.sizes["head"] == 2
    assert result.layer.values.tolist() == sorted(result.layer.values.tolist())
    assert (np.diff(result.layer_depth) >= 0).all()
    assert (result.prefix_share == 0).all()
    assert (result.attention_distance <= result.uniform_distance.max() * 1.5).all()
    assert "layer" not in landscape.receptive(build("conv"), images(side=8)).dims


class Circular(nn.Module):
    """Circular convolutions and ReLU: it moves with the image, to the bit of the sums."""

    def __init__(self, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride, 1, padding_mode="circular")
        self.next = nn.Conv2d(4, 4, 3, 1, 1, padding_mode="circular")

    def forward(self, x):
        return self.next(self.conv(x).relu())


def test_a_circular_convolution_moves_with_the_image():
    """Null: neither in the interior nor at the border is there a change."""
    net = Circular().double()
    result = landscape.receptive(net, images(), taps=listen("conv", "next"))
    assert result.shift_change.max() < 1e-12
    single = landscape.receptive(
        Circular(), [(x.float(), y) for x, y in images()], taps=listen("conv", "next")
    )
    assert single.shift_change.max() < 1e-6
    coarse = landscape.receptive(Circular(2).double(), images(), taps=listen("conv", "next"))
    assert coarse.shift_change.sel(shift="stride").max() < 1e-12
    assert (coarse.shift_change.sel(shift="pixel") > 0.1).all()


def test_patches_do_not_move_by_one_pixel():
    """Positive control: a patch embedding moves by whole patches only."""
    net = nn.Conv2d(3, 6, 4, 4).double()
    result = landscape.receptive(net, images(8), taps=listen("")).isel(tap=0)
    assert result.shift_change.sel(shift="stride").max() < 1e-12
    assert result.shift_change.sel(shift="pixel").min() > 0.3
    assert result.shift_change_se.sel(shift="pixel").max() < 0.1


def test_zero_padding_changes_the_border_only():
    net = nn.Conv2d(3, 4, 3, padding=1).double()
    result = landscape.receptive(net, images(), taps=listen("")).isel(tap=0).sel(shift="pixel")
    assert result.shift_change.sel(part="interior") < 1e-12
    assert result.shift_change.sel(part="border") > 0.1


def test_smooth_maps_move_by_parts_of_a_sample():
    """An ideal low pass before subsampling: the coarse map moves by a quarter of its sample."""

    class Ideal(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            spectrum = torch.fft.fft2(x)
            f = torch.fft.fftfreq(16, dtype=x.dtype).abs()
            keep = (f[:, None] < 1 / 8) & (f[None] < 1 / 8)
            return self.mix(torch.fft.ifft2(spectrum * keep).real[:, :, ::4, ::4])

    result = landscape.receptive(Ideal().double(), images(), taps=listen("mix"))
    assert result.shift_change.max() < 1e-12


def test_changes_equal_rolling_by_hand(network):
    data = images(3, 8)
    taps = landscape.discover(network, data[0][0])
    result = landscape.receptive(network, data, taps=taps)
    x = data[0][0]
    with torch.no_grad(), capture(network, taps) as live:
        network(x)
        still = dict(live)
        for number, tap in enumerate(taps):
            n = still[tap].shape[2]
            stride = 8 // n
            total = torch.zeros(3, dtype=F64)
            for axis in (2, 3):
                network(x.roll(stride, axis))
                low = n // 4
                cut = (..., slice(low, n - low), slice(low, n - low))
                gap = (live[tap] - still[tap].roll(1, axis))[cut].square().sum((1, 2, 3))
                total += gap / still[tap][cut].square().sum((1, 2, 3)) / 2
            found = result.shift_change.isel(tap=number).sel(shift="stride", part="interior")
            assert found.item() == pytest.approx(total.sqrt().mean().item(), rel=1e-10)


def test_the_batch_size_does_not_matter_but_for_groups(network):
    (x, y) = images(8, 8)[0]
    one = landscape.receptive(network, [(x, y)])
    two = landscape.receptive(network, [(x[:4], y[:4]), (x[4:], y[4:])])
    for name in one.data_vars:
        assert np.allclose(one[name], two[name], rtol=1e-9, atol=1e-12, equal_nan=True), name


def test_bad_input_is_refused(build):
    with pytest.raises(ValueError, match="cotangents must be at least 1, got 0"):
        landscape.receptive(build("conv"), images(side=8), cotangents=0)
    with pytest.raises(ValueError, match="taps is an empty list"):
        landscape.receptive(build("conv"), images(side=8), taps=[])
    mixed = images(2, 8) + images(2, 16)
    with pytest.raises(ValueError, match=r"one size, got \(3, 8, 8\) and \(3, 16, 16\)"):
        landscape.receptive(build("conv"), mixed)
