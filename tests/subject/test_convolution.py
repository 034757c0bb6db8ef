"""Convolutions whose derivatives are our own: the one that a library gets wrong."""

import subprocess
import sys

import pytest
import torch

from landscape.subject.convolution import Convolution

#: on some processors the library's gradient writes beyond its result, which ends the process
STRIDED = """
import torch
from landscape.subject.convolution import Convolution

torch.manual_seed(0)
x, w = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 1, 1, requires_grad=True)
kept = []
for step in range(400):
    y = Convolution.apply(x, w, None, ([2, 2], [0, 0], [1, 1], 1))
    (g,) = torch.autograd.grad(y.sum(), w)
    kept.append(torch.randn(7 + step % 50))
print("sound")
"""


def test_the_weight_gradient_of_a_strided_convolution_of_one_pixel_writes_nowhere_else():
    done = subprocess.run([sys.executable, "-c", STRIDED], capture_output=True, text=True)
    assert done.stdout == "sound\n", done.stderr


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("stride", [(2, 2), (3, 1), (1, 1)])
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_strided_convolutions_of_one_pixel_have_torchs_derivatives(size, stride, groups):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    w = torch.randn(6, 3 // groups, 1, 1, dtype=torch.float64, requires_grad=True)
    how = (list(stride), [0, 0], [1, 1], groups)
    ours = Convolution.apply(x, w, None, how)
    theirs = torch.nn.functional.conv2d(x, w, None, stride, 0, 1, groups)
    torch.testing.assert_close(ours, theirs)
    found = []
    for y in (ours, theirs):
        first = torch.autograd.grad(y.square().sum(), (x, w), create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), (x, w))
        found.append((*first, *second))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
