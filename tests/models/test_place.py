import os
import random
import sys
import warnings
from textwrap import dedent

import numpy as np
import pytest
import timm
import torch

from landscape.models.card import find
from landscape.models.place import Place, undrawn

#: registers a network under a name of timm's own, and imports its siblings, as DeiT's code does
DEIT = {
    "hubconf.py": """
        from models import *
        dependencies = ["torch", "timm"]
    """,
    "models.py": """
        import torch
        from torch import nn
        from timm.models.registry import register_model
        from utils import WIDTH

        __all__ = ["deit_tiny_patch16_224", "by_registry"]

        @register_model
        def deit_tiny_patch16_224(pretrained=False, **kwargs):
            from late import SIDE
            return nn.Sequential(nn.Conv2d(3, WIDTH, SIDE), nn.Conv2d(WIDTH, 1, 3))

        def by_registry(pretrained=False):
            import timm
            return timm.models.model_entrypoint("deit_tiny_patch16_224")(pretrained)
    """,
    "utils.py": "WIDTH = 5",
    "late.py": "SIDE = 3",
}
OTHER = {
    "hubconf.py": """
        from models import Net
        def net(pretrained=False):
            import utils
            assert utils.OTHER
            return Net()
    """,
    "models.py": """
        from torch import nn
        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Conv2d(3, 7, 3), nn.Conv2d(7, 7, 3))
    """,
    "utils.py": "OTHER = True",
}
#: turns whatever can be turned
RUDE = """
    import os, random, sys, warnings
    import numpy as np
    import torch
    from torch import nn

    os.environ["LANDSCAPE_RUDE"] = "1"
    os.environ.pop("LANDSCAPE_KEPT", None)
    os.chdir("/")
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    torch.hub.set_dir("/nowhere")
    warnings.simplefilter("ignore")
    sys.path.insert(0, "/nowhere")
    sys.modules["json"] = nn

    def net(pretrained=False):
        assert os.environ["LANDSCAPE_RUDE"] == "1"
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
"""


@pytest.fixture
def repository(tmp_path):
    def write(name, files):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(dedent(text))
        return folder

    return write


def registry():
    """Everything that timm says of its networks."""
    names = timm.list_models(include_tags=True)
    modules = {m: timm.list_models(module=m) for m in timm.list_modules()}
    published = timm.list_pretrained()
    return (
        names,
        modules,
        published,
        {n: timm.models.model_entrypoint(n) for n in timm.list_models()},
    )


@pytest.mark.parametrize("turned", [False, True], ids=["deit first", "other first"])
def test_repositories_do_not_meet_nor_change_timm(repository, turned):
    timms = find("timm:deit_tiny_patch16_224.fb_in1k")
    shapes = {n: v.shape for n, v in timms.build().state_dict().items()}
    before, path, modules = registry(), list(sys.path), dict(sys.modules)
    one = f"hub:{repository('deit', DEIT)}/deit_tiny_patch16_224"
    two = f"hub:{repository('other', OTHER)}/net"
    first, second = (find(spec) for spec in ((two, one) if turned else (one, two)))
    deit, other = (second, first) if turned else (first, second)
    assert registry() == before
    for _ in range(2):
        again = find("timm:deit_tiny_patch16_224.fb_in1k")
        assert {n: v.shape for n, v in again.build().state_dict().items()} == shapes
        assert deit.build()[0].weight.shape == (5, 3, 3, 3)
        assert other.build()[0].weight.shape == (7, 3, 3, 3)
        assert find(one).build()[0].weight.shape == (5, 3, 3, 3)
    assert registry() == before
    assert sys.path == path
    assert all(sys.modules[name] is module for name, module in modules.items())
    assert not {"models", "utils", "late", "hubconf"} & set(sys.modules)


def test_what_a_repository_registered_is_there_for_itself(repository):
    card = find(f"hub:{repository('deit', DEIT)}/by_registry")
    assert timm.models.model_entrypoint("deit_tiny_patch16_224").__module__ == "timm.models.deit"
    assert card.build()[0].weight.shape == (5, 3, 3, 3)
    assert timm.models.model_entrypoint("deit_tiny_patch16_224").__module__ == "timm.models.deit"


def test_an_unregistered_name_stays_unknown(repository):
    files = DEIT | {"models.py": DEIT["models.py"].replace("deit_tiny_patch16_224", "my_own_net")}
    find(f"hub:{repository('own', files)}/my_own_net")
    assert not timm.is_model("my_own_net")
    with pytest.raises(ValueError, match="timm has no network 'my_own_net'"):
        find("timm:my_own_net")


@pytest.mark.parametrize("failing", [False, True], ids=["runs", "raises"])
def test_switches_are_turned_back(repository, monkeypatch, failing):
    import json

    monkeypatch.setenv("LANDSCAPE_KEPT", "yes")
    rude = RUDE + ("    raise RuntimeError('at the end')\n" if failing else "")
    folder = repository("rude", {"hubconf.py": rude})
    state, numpy, python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    before = (
        dict(os.environ),
        os.getcwd(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.hub.get_dir(),
        list(warnings.filters),
        list(sys.path),
    )
    if failing:
        with pytest.raises(ValueError, match=r"does not run: RuntimeError: at the end"):
            find(f"hub:{folder}/net")
    else:
        card = find(f"hub:{folder}/net")
        # at home it finds what it turned
        assert card.build()[0].weight.dtype == torch.float64
        assert card.pretrained()["0.weight"].dtype == torch.float64
    after = (
        dict(os.environ),
        os.getcwd(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.hub.get_dir(),
        list(warnings.filters),
        list(sys.path),
    )
    assert after == before
    assert sys.modules["json"] is json
    if not failing:  # two networks were drawn above, as they are of any card
        return
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))


def test_finding_leaves_every_generator_alone(repository):
    folder = repository("rude", {"hubconf.py": RUDE})
    state, numpy, python = torch.get_rng_state(), np.random.get_state(), random.getstate()
    find(f"hub:{folder}/net").pretrained()
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))


def test_prints_go_to_stderr(tmp_path, capsys):
    with Place(tmp_path).entered():
        print("from afar")
    assert tuple(capsys.readouterr()) == ("", "from afar\n")


def test_the_digest_is_of_content_and_names_but_not_of_the_place(repository):
    one, two = repository("one", OTHER), repository("two", OTHER)
    three = repository("three", OTHER | {"utils.py": "OTHER = 1"})
    codes = [find(f"hub:{folder}/net").source.split(", ")[-1] for folder in (one, two, three)]
    assert codes[0] == codes[1] != codes[2]
    assert len(codes[0]) == len("code ") + 12


def test_a_folder_that_is_already_on_the_path(repository, monkeypatch):
    folder = repository("here", OTHER)
    monkeypatch.syspath_prepend(str(folder))
    card = find(f"hub:{folder}/net")
    for _ in range(2):
        assert card.build()[0].weight.shape == (7, 3, 3, 3)
    for name in ("models", "utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_deleted_folder_to_work_in(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with Place(tmp_path).entered():
        os.chdir(tmp_path)


def test_undrawn_also_when_it_raises():
    state = random.getstate()
    with pytest.raises(KeyError), undrawn():
        random.random()
        raise KeyError
    assert random.getstate() == state
