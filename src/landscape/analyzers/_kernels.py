"""Frequency responses of the convolutions and poolings of a network: exact, from the weights."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.analyzers._summary import entry, high_low
from landscape.numerics.response import alias_share, by_ring, decibel, kernel_power, radius, rings
from landscape.subject.filterings import Filtering, filterings


def kernels(model: nn.Module, inputs: Tensor, bands: int) -> tuple[dict[str, Any], list[Filtering]]:
    """Variables over ``kernel``, and the filters, whose depth the caller knows."""
    found = filterings(model, inputs)
    if not found:
        return {}, []
    rows = [_response(f, bands) for f in found]
    gain = np.stack([r[0] for r in rows])
    sizes = np.stack([rings(*f.grid, bands).sum((1, 2)).numpy() for f in found])
    high, low = high_low(gain, sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(high / low)
    true = [by_ring(radius(*f.grid), bands).numpy() for f in found]
    text = "power gain of the kernel"
    data = {
        "kernel_gain": entry(("kernel", "band"), decibel(torch.from_numpy(gain)), text, "dB"),
        "kernel_dc": entry("kernel", [r[1] for r in rows], f"{text} at zero frequency", "dB"),
        "kernel_hlr": entry("kernel", ratio, "high-low ratio of the kernel", "dB"),
        "kernel_alias_share": entry(
            "kernel", [r[2] for r in rows], "share of the power that is aliased, white input"
        ),
        "kernel": entry("kernel", [f.name for f in found], "convolution or pooling"),
        "kernel_module": entry("kernel", [f.module for f in found], "module"),
        "kernel_kind": entry("kernel", [f.kind for f in found], "kind of operation"),
        "kernel_grid": entry("kernel", ["x".join(map(str, f.grid)) for f in found], "grid read"),
        "kernel_stride": entry("kernel", [max(f.stride) for f in found], "stride"),
        "kernel_frequency": entry(("kernel", "band"), true, "frequency", "π rad/sample"),
    }
    return data, found


def _response(f: Filtering, bands: int) -> tuple[np.ndarray, float, float]:
    """Gain in every ring, at zero frequency in dB, and the share that is aliased."""
    if f.weight is None:  # a maximum has no response of its own
        return np.full(bands + 1, np.nan), float("nan"), float("nan")
    power = kernel_power(f.weight, *f.grid, f.dilation)
    share = float(alias_share(power, f.stride)) if max(f.stride) > 1 else 0.0
    return by_ring(power, bands).numpy(), float(decibel(power[0, 0])), share
