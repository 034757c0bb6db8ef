"""The README's way to bring a network of one's own works as it stands there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from click.testing import CliRunner
from PIL import Image

import landscape
from landscape_cli.main import landscape as cli

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
SMALL = {
    "fourier": ["--limit", "2"],
    "variance": ["--limit", "2"],
    "hessian": ["--limit", "2", "--k", "1", "--max-products", "4", "--no-whole"],
}


def own():
    """The section's file and its commands."""
    section = README.split("## Your own network")[1].split("\n## ")[0]
    code = re.search(r"```python my\.py\n(.*?)```", section, re.S)[1]
    lines = re.search(r"```console\n(.*?)```", section, re.S)[1].splitlines()
    return code, [line for line in lines if line]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the README's file, weights that fit it, and 37 classes of photographs."""
    monkeypatch.chdir(tmp_path)
    Path("my.py").write_text(own()[0], "utf-8")
    network = landscape.find("my.py:network").build()
    torch.save(network.state_dict(), "pets.pt")
    torch.save({"state_dict": landscape.find("my.py:network").build().state_dict()}, "other.pt")
    draw = np.random.default_rng(0)
    for number in range(37):
        kind = Path(f"pets/kind{number:02d}")
        kind.mkdir(parents=True)
        Image.fromarray(draw.integers(0, 256, (80, 100, 3), dtype=np.uint8)).save(kind / "a.png")
    return tmp_path


def test_the_card_is_ten_lines():
    body = own()[0].split("def card():\n")[1]
    assert len(body.strip().splitlines()) <= 10


@pytest.mark.parametrize("number", range(3))
def test_a_command_on_an_own_network(folder, number):
    args = shlex.split(own()[1][number])[1:]
    extra = [*SMALL[args[0]], "--batch-size", "2", "--no-figure", "-o", "out.nc"]
    done = CliRunner().invoke(cli, args + extra, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    with xr.open_dataset("out.nc", engine="h5netcdf") as result:
        facts = result.load()
    assert facts.attrs["model"].startswith("my.py:")
    assert facts.attrs["family"] == "conv"
    text = facts.attrs["facts"]
    if ":card" in own()[1][number]:
        assert '"size": [64, 64]' in text
        assert "0.485" in text
    weights = {"fourier": "published", "hessian": "other.pt", "variance": "random"}[args[0]]
    assert f'"weights": "{weights}"' in text
    assert str(folder) not in text


class Head(torch.nn.Module):
    """A network that nobody described: a convolution, an attention, a head of its own."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 4, 4)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = torch.nn.LayerNorm(8)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 5)
        )

    def forward(self, images):
        x = self.stem(images).flatten(2).transpose(1, 2)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.head(x.mean(1))


def test_without_a_card_in_python():
    torch.manual_seed(0)
    network = Head()
    batches = [(torch.randn(3, 3, 32, 32), torch.randint(5, (3,))) for _ in range(2)]
    spectrum = landscape.hessian(network, batches, k=2, whole=False, tol=1e-6, max_products=600)
    assert bool(spectrum.converged.all())
    assert landscape.surface(network, batches, points=3).nll.shape == (3, 3)
    for result in (landscape.fourier(network, batches), landscape.variance(network, batches)):
        assert "msa" in result.kind
    assert spectrum.attrs["model"] == "Head"
