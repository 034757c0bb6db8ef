import hashlib
import shutil
import sys
from dataclasses import replace
from textwrap import dedent

import pytest
import torch

import landscape
from landscape.models.card import find
from landscape.models.hub import card as hub_card
from landscape.models.weights import fit

CONF = """
    dependencies = ["torch"]
    from network import Net as _Net
    import torch

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

    def tokenizer(pretrained=False):
        return str.split
"""
NETWORK = """
    from torch import nn

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
"""
FETCHING = """
    import torch
    from network import Net
    from torch.hub import load_state_dict_from_url

    def net(pretrained=False):
        net = Net()
        if pretrained:
            url = "{url}"
            state = load_state_dict_from_url(url, map_location="cpu", check_hash=True)
            net.load_state_dict(state["model"])
        return net

    def always():
        return net(pretrained=True)
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
    folder = tmp_path / "torch" / "hub"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def checkpoint(tmp_path, repository):
    """A repository that loads a file by URL, named by its hash as published checkpoints are."""
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3))
    torch.save({"model": net.state_dict()}, tmp_path / "plain.pth")
    sha256 = hashlib.sha256((tmp_path / "plain.pth").read_bytes()).hexdigest()
    file = (tmp_path / "plain.pth").rename(tmp_path / f"net-{sha256[:8]}.pth")
    (repository / "hubconf.py").write_text(dedent(FETCHING).format(url=file.as_uri()))
    return file, sha256, net


@pytest.mark.parametrize("entry", ["tiny", "modern"])
def test_a_local_repository_needs_no_leave(repository, home, offline, entry, capfd):
    paths, modules, state = list(sys.path), set(sys.modules), torch.get_rng_state()
    card = find(f"hub:{repository}/{entry}")
    assert torch.equal(state, torch.get_rng_state())
    assert (card.name, card.family) == (f"hub:{repository}/{entry}", "conv")
    assert (card.size, card.mean, card.offline, card.fixed) == (None, None, True, False)
    assert card.source.startswith(f"{repository}, code ")
    assert not torch.equal(card.build()[0].weight, card.build()[0].weight)
    net = fit(card.build(), card.pretrained(), "x")
    assert (net[1].weight == 0.25).all()
    out, err = capfd.readouterr()
    assert out == ""
    assert "fetching" in err
    assert sys.path == paths
    left = [sys.modules[name] for name in set(sys.modules) - modules]
    files = [m.__name__ for m in left if str(repository) in (getattr(m, "__file__", None) or "")]
    assert all(name.startswith("landscape_file_") for name in files)


def test_an_entry_without_a_switch_is_taken_as_it_is(repository, home):
    card = find(f"hub:{repository}/constant")
    assert card.fixed
    assert (card.pretrained()["1.weight"] == 0.25).all()


def test_a_card_takes_the_preprocessing_that_someone_knows(repository, home):
    card = replace(hub_card(f"{repository}/tiny"), name="tiny", size=16, mean=(0.5, 0.5, 0.5))
    assert (card.size, card.build()[0].in_channels) == (16, 3)


def test_a_weights_file_by_url(checkpoint, repository, home, offline, capfd):
    file, sha256, net = checkpoint
    card = find(f"hub:{repository}/net")
    assert not (home / "checkpoints").exists()
    for _ in range(2):  # from the file, then from torch.hub's cache
        state = card.pretrained()
        assert all(torch.equal(state[n], v) for n, v in net.state_dict().items())
        assert card.pretrained.files == {file.name: sha256}
        file.unlink(missing_ok=True)
    out, err = capfd.readouterr()
    assert out == ""
    size = f"{(home / 'checkpoints' / file.name).stat().st_size / 1e6:.1f} MB"
    assert err.count(f"from {file.as_uri()} ({size}) to {home / 'checkpoints'}\n") == 1
    assert err.count(f"read {file.name}, SHA-256 {sha256}") == 2


def test_a_weights_file_of_an_entry_without_a_switch(checkpoint, repository, home, capfd):
    file, sha256, net = checkpoint
    card = find(f"hub:{repository}/always")
    assert card.fixed
    assert torch.equal(card.pretrained()["0.weight"], net[0].weight)
    assert card.pretrained.files == {file.name: sha256}
    assert f"downloading the weights of hub:{repository}/always from" in capfd.readouterr().err


def test_a_weights_file_that_is_not_the_one_published(checkpoint, repository, home):
    file, _, _ = checkpoint
    torch.save({"model": {}}, file)
    with pytest.raises(ValueError, match=r"invalid hash value .*is not the file that was pub") as e:
        find(f"hub:{repository}/net").pretrained()
    assert "\n" not in str(e.value)
    assert list((home / "checkpoints").iterdir()) == []


def test_a_weights_file_out_of_reach(checkpoint, repository, home, offline):
    file, _, _ = checkpoint
    conf = repository / "hubconf.py"
    conf.write_text(conf.read_text().replace(file.as_uri(), "https://example.org/n-12345678.pth"))
    load, fetch = torch.load, torch.hub.download_url_to_file
    with pytest.raises(OSError, match=r"example.org could not be reached .*by --weights$") as e:
        find(f"hub:{repository}/net").pretrained()
    assert "\n" not in str(e.value)
    assert (torch.load, torch.hub.download_url_to_file) == (load, fetch)
    file.unlink()
    conf.write_text(conf.read_text().replace("https://example.org/n-12345678.pth", file.as_uri()))
    with pytest.raises(OSError, match=r"could not be reached .*No such file .*by --weights$"):
        find(f"hub:{repository}/net").pretrained()


def test_the_commit_of_a_git_clone_is_told(repository, home):
    git = repository / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{'b' * 40} refs/heads/main\n")
    spec = f"hub:{repository}/tiny"
    assert f"{repository}, commit {'b' * 40}, code " in find(spec).source
    (git / "refs" / "heads" / "main").write_text(f"{'a' * 40}\n")
    assert f", commit {'a' * 40}, code " in find(spec).source
    (git / "HEAD").write_text(f"{'c' * 40}\n")
    assert f", commit {'c' * 40}, code " in find(spec).source
    (git / "HEAD").write_text("ref: refs/heads/unborn\n")
    assert "commit" not in find(spec).source.removeprefix(str(repository))


@pytest.mark.parametrize("spec", ["hub:tiny", "hub:", "hub:a/b", "hub:a/b/c/d", "hub:a b/c/d"])
def test_malformed_specs_are_refused(home, spec):
    with pytest.raises(ValueError, match=r"is not hub:OWNER/REPO\[:REF\]/ENTRY"):
        find(spec)


def test_unknown_entries_and_folders_are_refused(repository, home):
    with pytest.raises(ValueError, match=r"has no entry 'tin'; nearest: tiny"):
        find(f"hub:{repository}/tin")
    with pytest.raises(ValueError, match=r"tokenizer returned a method_descriptor, not an nn.Mod"):
        find(f"hub:{repository}/tokenizer")
    with pytest.raises(FileNotFoundError, match=r"has no hubconf\.py"):
        find(f"hub:{repository.parent}/tiny")
    (repository / "network.py").write_text("import no_such_package_at_all")
    with pytest.raises(ValueError, match=r"hubconf.py does not run: ModuleNotFoundError"):
        find(f"hub:{repository}/tiny")


def test_a_study_of_a_cached_repository(repository, home, offline):
    shutil.copytree(repository, home / "some_nets_main")
    conf = home / "some_nets_main" / "network.py"
    head = "nn.Conv2d(3, 4, 3), nn.Conv2d(4, 10, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()"
    conf.write_text(conf.read_text().replace("nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)", head))
    with pytest.raises(ValueError, match="trust=True"):
        landscape.prepare("hub:some/nets/tiny", limit=2)
    case = landscape.prepare("hub:some/nets/tiny", limit=2, trust=True)
    assert (case.model[0].weight == 0.25).all()
    assert case.model(case.batches[0][0]).shape == (2, 10)
