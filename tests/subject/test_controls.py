"""Controls of the input: what each keeps exactly and what it destroys."""

import pytest
import torch

from landscape.subject.controls import INPUTS, constant, noise, phase, shuffled

IMAGES = torch.rand(12, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
# correlated as photographs are: smooth, and the channels alike
SMOOTH = torch.cumsum(torch.cumsum(IMAGES - 0.5, -1), -2) + 3 * IMAGES[:, :1]
TARGETS = torch.arange(12)


def cut(images, size=5):
    return list(zip(images.split(size), TARGETS.split(size), strict=True))


def joined(batches):
    return torch.cat([x for x, _ in batches])


def test_there_are_four():
    assert list(INPUTS) == ["shuffled", "phase", "noise", "constant"]


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_shapes_dtypes_and_targets_stay(name, dtype):
    batches = cut(SMOOTH.to(dtype))
    found = INPUTS[name](batches, 0)
    assert [x.shape for x, _ in found] == [x.shape for x, _ in batches]
    assert all(x.dtype == dtype and x.isfinite().all() for x, _ in found)
    assert all(torch.equal(y, t) for (_, y), (_, t) in zip(found, batches, strict=True))


@pytest.mark.parametrize("name", INPUTS)
def test_the_original_stays_and_is_not_shared(name):
    batches = cut(SMOOTH.clone())
    for x, _ in INPUTS[name](batches, 0):
        x.zero_()
    assert torch.equal(joined(batches), SMOOTH)


@pytest.mark.parametrize("name", INPUTS)
def test_the_seed_decides_and_the_cut_does_not(name):
    one = joined(INPUTS[name](cut(SMOOTH), 3))
    assert torch.equal(one, joined(INPUTS[name](cut(SMOOTH), 3)))
    assert torch.allclose(one, joined(INPUTS[name](cut(SMOOTH, 7), 3)), rtol=0, atol=1e-12)
    assert torch.equal(one, joined(INPUTS[name](cut(SMOOTH), 4))) == (name == "constant")


@pytest.mark.parametrize("name", INPUTS)
def test_the_global_generator_is_left_alone(name):
    before = torch.get_rng_state()
    INPUTS[name](cut(SMOOTH), 0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", INPUTS)
def test_what_is_no_image_is_refused(name):
    with pytest.raises(ValueError, match=r"need images \(b, c, h, w\), not \(2, 5\)"):
        INPUTS[name]([(torch.zeros(2, 5), torch.zeros(2))], 0)


def test_shuffled_moves_whole_pixels_each_image_otherwise():
    marks = torch.arange(256.0).view(1, 1, 16, 16).expand(12, 3, 16, 16)
    marks = marks + 1000 * torch.arange(3).view(1, 3, 1, 1)
    found = joined(shuffled(cut(marks.contiguous()), 0))
    assert torch.equal(found.flatten(2).sort(-1).values, marks.flatten(2))  # nothing lost
    assert torch.equal(found[:, 1] - found[:, 0], torch.full_like(found[:, 0], 1000))
    orders = {tuple(order.tolist()) for order in found[:, 0].flatten(1)}
    assert len(orders) == 12


def test_shuffled_has_a_white_spectrum():
    power = torch.fft.fft2(joined(shuffled(cut(SMOOTH), 0))).abs() ** 2
    before = torch.fft.fft2(SMOOTH).abs() ** 2
    low, high = (slice(None), slice(None), 0, 1), (slice(None), slice(None), 8, 8)
    assert before[low].mean() > 50 * before[high].mean()
    assert 1 / 3 < power[low].mean() / power[high].mean() < 3


@pytest.mark.parametrize("size", [(16, 16), (15, 15), (16, 9), (1, 8)])
def test_phase_keeps_amplitudes_and_relations_of_channels(size):
    images = SMOOTH[..., : size[0], : size[1]].contiguous()
    found = joined(phase(cut(images), 0))
    one, two = torch.fft.fft2(images), torch.fft.fft2(found)
    scale = one.abs().max()
    assert torch.allclose(one.abs(), two.abs(), rtol=0, atol=1e-12 * scale)
    cross = one[:, 0] * one[:, 1].conj() - two[:, 0] * two[:, 1].conj()
    assert cross.abs().max() < 1e-12 * scale**2
    assert torch.allclose(found.mean((2, 3)), images.mean((2, 3)), rtol=0, atol=1e-12 * scale)


def test_phase_is_another_image_with_uniform_phases():
    flat = torch.zeros(500, 1, 8, 8, dtype=torch.float64)
    flat[..., 0, 0] = 1  # an impulse has all amplitudes 1 and all phases 0
    found = phase([(flat, torch.zeros(500))], 0)[0][0]
    angle = torch.fft.fft2(found)[:, 0].angle()
    inner = angle[:, 1, 2]
    assert torch.allclose(inner, -angle[:, -1, -2], atol=1e-9)  # odd
    assert inner.cos().mean().abs() < 0.15
    assert (2 * inner).cos().mean().abs() < 0.15
    signs = torch.fft.fft2(found)[:, 0, 4, 4].real  # its own mirror image: a sign
    assert torch.allclose(signs.abs(), torch.ones(500, dtype=torch.float64))
    assert signs.mean().abs() < 0.15


def test_phase_destroys_an_edge():
    edge = torch.zeros(12, 1, 16, 16, dtype=torch.float64)
    edge[..., 8:] = 1
    edge += 1e-3 * SMOOTH[:, :1]
    before = edge.diff(dim=-1).abs().amax((1, 2, 3))
    after = joined(phase(cut(edge), 0)).diff(dim=-1).abs().amax((1, 2, 3))
    assert (after < 0.9 * before).all()


def test_noise_has_the_moments_of_the_data_and_is_white():
    found = joined(noise(cut(SMOOTH), 0))
    axes = (0, 2, 3)
    assert torch.allclose(found.mean(axes), SMOOTH.mean(axes), rtol=1e-12)
    spread = SMOOTH.std(axes, correction=0)
    assert torch.allclose(found.std(axes, correction=0), spread, rtol=1e-12)
    channels = torch.corrcoef(found.transpose(0, 1).flatten(1)) - torch.eye(3)
    assert channels.abs().max() < 0.1
    centred = found - found.mean(axes, keepdim=True)
    assert ((centred * centred.roll(1, -1)).mean() / centred.square().mean()).abs() < 0.05


def test_constant_is_the_mean_colour_everywhere():
    found = joined(constant(cut(SMOOTH)))
    assert torch.equal(found, found[..., :1, :1].expand_as(found))
    assert torch.allclose(found[..., 0, 0], SMOOTH.mean((2, 3)))
