"""The blur is the 2x2 mean with its closed-form gain, in front of each subsampling."""

import numpy as np
import pytest
import torch

from landscape.models.blurnet import Blur
from landscape.models.card import find


@pytest.mark.parametrize(("fy", "fx"), [(0, 0), (1, 0), (3, 2), (5, 7), (8, 8)])
def test_a_wave_keeps_the_product_of_two_cosines(fy, fx):
    size = 32
    wy, wx = 2 * np.pi * fy / size, 2 * np.pi * fx / size
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    wave = torch.exp(1j * (wy * y + wx * x))
    blurred = torch.complex(*(Blur()(part[None, None])[0, 0] for part in (wave.real, wave.imag)))
    gain = np.cos(wy / 2) * np.cos(wx / 2) * np.exp(0.5j * (wy + wx))
    inner = slice(0, size - 1)  # the last row and column meet the border
    error = (blurred - gain * wave)[inner, inner].abs().max().item()
    assert error < 1e-12


def test_it_differs_from_the_residual_network_by_two_blurs_alone():
    network, plain = find("blurnet_s").build(), find("resnet_s").build()
    places = [n for n, m in network.named_modules() if isinstance(m, Blur)]
    assert places == ["stages.1.0", "stages.2.0"]
    strides = [n for n, m in network.named_modules() if getattr(m, "stride", 1) == (2, 2)]
    assert {n.rpartition(".")[0].partition(".shortcut")[0] for n in strides} == {
        "stages.1.1",
        "stages.2.1",
    }
    count = [sum(p.numel() for p in m.parameters()) for m in (network, plain)]
    assert count[0] == count[1]
