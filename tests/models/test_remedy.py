import pickle
import re
from textwrap import dedent

import pytest

from landscape.models.card import find
from landscape.models.remedy import remedy

NET = """
    import torch
    from torch import nn

    def deit_tiny_patch16_224(pretrained=False, **kwargs):
        {body}
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
"""


@pytest.fixture
def entry(tmp_path):
    """A repository whose entry runs some code; the requirements are those of DeiT."""

    def write(body="pass", top=""):
        text = top + dedent(NET).format(body=body)
        (tmp_path / "hubconf.py").write_text(text)
        (tmp_path / "requirements.txt").write_text("torch==1.7.0\n# old\ntimm == 0.3.2  # yes\n")
        return f"hub:{tmp_path}/deit_tiny_patch16_224"

    return write


def refused(spec, *words, weights=False):
    with pytest.raises(ValueError, match=re.escape(words[0])) as caught:
        card = find(spec)
        card.pretrained() if weights else card.build()
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


@pytest.mark.parametrize(
    "top",
    [
        "from timm.models.layers.no_such_file import trunc_normal_\n",
        "from timm.models.vision_transformer import NoSuchClass\n",
        "import torch\nfrom torch._six import container_abcs\n",
        "import torch\nWIDTH = torch.no_such_function\n",
        "import numpy\nWIDTH = numpy.float\n",
    ],
)
def test_code_for_another_timm_or_torch(entry, top):
    import timm

    text = refused(entry(top=top), "hubconf.py does not run", "its requirements.txt says")
    assert "torch==1.7.0, timm==0.3.2" in text
    assert f"timm {timm.__version__}" in text
    assert text.endswith("or take timm:deit_tiny_patch16_224")


def test_a_keyword_that_timm_gives_nowadays(entry):
    body = "import timm; timm.create_model('resnet18', pretrained_cfgs=3)"
    refused(entry(body), "unexpected keyword argument 'pretrained_cfgs'", "other versions than")


def test_a_package_that_is_missing(entry):
    text = refused(entry(top="import no_such_package.inner\n"), "No module named")
    assert text.endswith("install 'no_such_package', or put it into the folder")
    top = "dependencies = ['torch', 'no_such_package', 'nor_this.inner']\n"
    text = refused(entry(top=top), "depends on what is not installed")
    assert text.endswith("pip install no_such_package nor_this.inner")


def test_a_pickled_checkpoint(entry, tmp_path):
    from argparse import Namespace

    import torch

    torch.save({"model": {}, "args": Namespace(lr=1)}, tmp_path / "old.pth")
    body = f"pretrained and torch.load('{tmp_path}/old.pth')"
    refused(entry(body), "Weights only load failed", "torch.save", "--weights", weights=True)


def test_a_fault_of_its_own_gets_no_advice(entry):
    assert refused(entry("dict()['width']"), "KeyError").endswith("failed: KeyError: 'width'")


def test_nothing_is_made_up(tmp_path):
    assert remedy(TypeError("'int' object is not iterable"), tmp_path) == ""
    assert remedy(AttributeError("'Net' object has no attribute 'width'"), tmp_path) == ""
    assert remedy(pickle.UnpicklingError("x"), tmp_path) != ""
    words = remedy(ImportError("cannot import name 'x' from 'timm'"), tmp_path, "no_such_net")
    assert "requirements.txt" not in words
    assert "timm:" not in words
