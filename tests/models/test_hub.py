import shutil
import sys
from textwrap import dedent

import pytest
import torch

from landscape.models.card import find
from landscape.models.weights import fit

CONF = """
    dependencies = ["torch"]
    from network import Net as _Net

    def tiny(pretrained=False, **kwargs):
        net = _Net()
        if pretrained:
            print("fetching")
            for value in net.parameters():
                value.data.fill_(0.25)
        return net

    def modern(*, weights=None, progress=True):
        return tiny(pretrained=weights == "DEFAULT")

    def constant():
        return tiny(pretrained=True)
"""
NETWORK = """
    from torch import nn

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
"""


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "hubconf.py").write_text(dedent(CONF))
    (folder / "network.py").write_text(dedent(NETWORK))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder for torch.hub, and nothing trusted."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("LANDSCAPE_TRUST", raising=False)
    folder = tmp_path / "torch" / "hub"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("entry", ["tiny", "modern"])
def test_a_local_repository_needs_no_leave(repository, home, offline, entry, capfd):
    paths, modules, state = list(sys.path), set(sys.modules), torch.get_rng_state()
    card = find(f"hub:{repository}/{entry}")
    assert torch.equal(state, torch.get_rng_state())
    assert (card.name, card.family) == (f"hub:{repository}/{entry}", "conv")
    assert (card.size, card.mean, card.offline, card.fixed) == (None, None, True, False)
    assert not torch.equal(card.build()[0].weight, card.build()[0].weight)
    net = fit(card.build(), card.pretrained(), "x")
    assert (net[1].weight == 0.25).all()
    out, err = capfd.readouterr()
    assert out == ""
    assert "loads its own weights" in err
    assert sys.path == paths
    assert all(n.startswith("landscape_file_") for n in set(sys.modules) - modules)


def test_an_entry_without_a_switch_is_taken_as_it_is(repository, home):
    card = find(f"hub:{repository}/constant")
    assert card.fixed
    assert (card.pretrained()["1.weight"] == 0.25).all()


def test_a_remote_repository_runs_only_when_trusted(repository, home, offline, monkeypatch):
    shutil.copytree(repository, home / "some_nets_main")
    spec = "hub:some/nets/tiny"
    with pytest.raises(
        ValueError, match=r"would run the code of https://github.com/some/nets .*"
    ) as e:
        find(spec)
    assert "LANDSCAPE_TRUST=1" in str(e.value)
    assert str(home / "trusted_list") in str(e.value)
    assert "\n" not in str(e.value)
    (home / "trusted_list").write_text("another_repository\nsome_nets\n")
    card = find(spec)
    assert not card.offline
    assert card.source == "https://github.com/some/nets"
    assert (fit(card.build(), card.pretrained(), "x")[0].bias == 0.25).all()
    (home / "trusted_list").unlink()
    monkeypatch.setenv("LANDSCAPE_TRUST", "1")
    assert find(spec).name == spec
    assert not (home / "trusted_list").exists()


def test_a_reference_picks_its_own_clone(repository, home, offline, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_TRUST", "1")
    shutil.copytree(repository, home / "some_nets_v1.2_fix")
    assert find("hub:some/nets:v1.2/fix/tiny").family == "conv"
    with pytest.raises(OSError, match=r"github.com could not be reached for some/nets:v2 \("):
        find("hub:some/nets:v2/tiny")


def test_without_a_network_the_remedy_is_a_clone(home, offline, monkeypatch):
    monkeypatch.setenv("LANDSCAPE_TRUST", "1")
    with pytest.raises(OSError, match=r"some/nets .*use hub:/path/to/clone/ENTRY") as caught:
        find("hub:some/nets/tiny")
    assert "\n" not in str(caught.value)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("spec", ["hub:tiny", "hub:", "hub:a/b", "hub:a/b/c/d", "hub:a b/c/d"])
def test_malformed_specs_are_refused(home, spec):
    with pytest.raises(ValueError, match=r"is not hub:OWNER/REPO\[:REF\]/ENTRY"):
        find(spec)


def test_unknown_entries_and_folders_are_refused(repository, home):
    with pytest.raises(ValueError, match=r"has no entry 'tin'; nearest: tiny"):
        find(f"hub:{repository}/tin")
    with pytest.raises(FileNotFoundError, match=r"has no hubconf\.py"):
        find(f"hub:{repository.parent}/tiny")
    (repository / "network.py").write_text("import no_such_package_at_all")
    with pytest.raises(ValueError, match=r"hubconf.py does not run: ModuleNotFoundError"):
        find(f"hub:{repository}/tiny")
