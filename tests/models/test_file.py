import sys
from textwrap import dedent

import pytest
import torch
from torch import nn

from landscape.models.card import Card, find
from landscape.models.file import execute, public


@pytest.fixture
def write(tmp_path):
    def _write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return _write


NET = """
    import torch
    from torch import nn

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 3), nn.Flatten())

    def fresh():
        return Net()

    def loaded():
        net = Net()
        for value in net.parameters():
            nn.init.constant_(value, 0.5)
        return net

    def _private():
        return Net()

    def sized(width):
        return nn.Linear(width, width)

    def number():
        return 3

    def broken():
        raise KeyError("weight")

    LIMIT = 3
"""


def test_a_function_or_a_class_becomes_a_card(write):
    path = write("net.py", NET)
    for name in ("fresh", "Net"):
        card = find(f"{path}:{name}")
        assert card.name == f"{path}:{name}"
        assert (card.family, card.size, card.mean, card.std) == ("conv", None, None, None)
        assert isinstance(card.build(), nn.Module)
        assert card.pretrained is None
        assert not card.fixed


def test_weights_that_come_with_the_network_count_as_published(write):
    card = find(f"{write('net.py', NET)}:loaded")
    assert card.fixed
    assert all((value == 0.5).all() for value in card.pretrained().values())


def test_a_card_is_kept_under_the_name_of_its_spec(write):
    path = write(
        "net.py",
        """
        from torch import nn
        from landscape.models.card import Card

        def build():
            import sibling
            return sibling.Net()

        def mine():
            return Card(
                name="vit_s", family="msa", build=build, source="me", size=64, mean=(0.1, 0.2, 0.3),
                pretrained=lambda: build().state_dict(),
            )
        """,
    )
    write("sibling.py", "from torch import nn\ndef Net():\n    return nn.Linear(2, 2)\n")
    card = find(f"{path}:mine")
    assert isinstance(card, Card)
    assert (card.name, card.family, card.size) == (f"{path}:mine", "msa", 64)
    assert card.mean == (0.1, 0.2, 0.3)
    assert isinstance(card.build(), nn.Linear)
    assert set(card.pretrained()) == {"weight", "bias"}
    assert "sibling" not in sys.modules


@pytest.mark.parametrize(
    "spec", ["net.py:fresh", "net.py:loaded", "timm:test_vit", "torchvision:regnet_y_400mf"]
)
def test_finding_a_card_leaves_the_generator_alone(write, spec):
    folder = write("net.py", NET).parent
    before = torch.get_rng_state()
    find(f"{folder}/{spec}" if ".py" in spec else spec)
    assert torch.equal(torch.get_rng_state(), before)


def siblings(write, folder, width):
    write(
        f"{folder}/net.py",
        """
        import blocks
        from parts.layers import layer

        def net():
            from late import WIDTH
            assert blocks.WIDTH == WIDTH
            return layer(WIDTH)
        """,
    )
    write(f"{folder}/blocks.py", f"WIDTH = {width}")
    write(f"{folder}/late.py", f"WIDTH = {width}")
    write(f"{folder}/parts/__init__.py", "")
    path = write(
        f"{folder}/parts/layers.py",
        "from torch import nn\ndef layer(width):\n    return nn.Linear(width, width)\n",
    )
    return path.parents[1] / "net.py"


def test_siblings_of_one_folder_are_never_taken_for_those_of_another(write, tmp_path, monkeypatch):
    other = write("elsewhere/blocks.py", "WIDTH = 99")
    monkeypatch.syspath_prepend(str(other.parent))
    import blocks

    paths, modules = list(sys.path), dict(sys.modules)
    one, two = siblings(write, "one", 3), siblings(write, "two", 5)
    first, second = find(f"{one}:net"), find(f"{two}:net")
    for _ in range(2):
        assert first.build().in_features == 3
        assert second.build().in_features == 5
    assert sys.path == paths
    assert sys.modules["blocks"] is blocks
    assert not {"late", "parts", "parts.layers"} & set(sys.modules)
    assert all(sys.modules[name] is module for name, module in modules.items())
    assert not list(tmp_path.rglob("one/**/*.pyc"))
    monkeypatch.delitem(sys.modules, "blocks")


def test_a_path_that_the_file_adds_works_and_is_forgotten(write):
    write("lib/library_of_the_file.py", "WIDTH = 7")
    path = write(
        "src/net.py",
        """
        import sys
        from pathlib import Path
        sys.path.append(str(Path(__file__).parents[1] / "lib"))
        from torch import nn

        def net():
            import library_of_the_file
            return nn.Linear(library_of_the_file.WIDTH, 1)
        """,
    )
    before = list(sys.path)
    assert find(f"{path}:net").build().in_features == 7
    assert sys.path == before
    assert "library_of_the_file" not in sys.modules


def test_an_installed_package_is_not_hidden_by_a_sibling(write):
    write("torch.py", "raise RuntimeError('not this one')")
    path = write("net.py", "from torch import nn\ndef net():\n    return nn.Linear(1, 1)\n")
    assert isinstance(find(f"{path}:net").build(), nn.Linear)
    assert sys.modules["torch"] is torch


def test_an_edited_file_is_read_again(write):
    path = write("net.py", "from torch import nn\nnet = lambda: nn.Linear(1, 1)\n")
    assert find(f"{path}:net").build().in_features == 1
    write("net.py", "from torch import nn\nnet = lambda: nn.Linear(2, 2)\n")
    assert find(f"{path}:net").build().in_features == 2


def test_dataclasses_and_state_at_module_level_work(write):
    path = write(
        "net.py",
        """
        from dataclasses import dataclass
        from torch import nn

        @dataclass
        class Config:
            width: "int" = 4

        def net():
            return nn.Linear(Config().width, 1)
        """,
    )
    assert find(f"{path}:net").build().in_features == 4
    _, names = execute(path)
    assert set(public(names)) == {"Config", "dataclass", "net"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nett", r"no public function 'nett'; it has: Net, fresh, loaded, sized, number, broken"),
        ("_private", "no public function '_private'"),
        ("LIMIT", "no public function 'LIMIT'"),
        ("sized", "must be callable without arguments: missing a required argument: 'width'"),
        ("number", "returned a int, not an nn.Module or a Card"),
        ("broken", "broken failed: KeyError: 'weight'"),
    ],
)
def test_unfit_functions_are_refused(write, name, message):
    path = write("net.py", NET)
    with pytest.raises(ValueError, match=message) as caught:
        find(f"{path}:{name}")
    assert "\n" not in str(caught.value)


def test_unfit_files_are_refused(write, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nowhere\.py"):
        find(f"{tmp_path / 'nowhere.py'}:net")
    path = write("net.py", "import no_such_package_at_all")
    before = {name for name in sys.modules if name.startswith("landscape_file_")}
    with pytest.raises(ValueError, match=r"does not run: ModuleNotFoundError: No module named"):
        find(f"{path}:net")
    assert {name for name in sys.modules if name.startswith("landscape_file_")} == before
    write("net.py", "def net(:")
    with pytest.raises(ValueError, match="does not run: SyntaxError"):
        find(f"{path}:net")
    write("net.py", "import sys\nsys.exit(3)")
    with pytest.raises(ValueError, match="does not run: SystemExit"):
        find(f"{path}:net")
    write("net.py", NET)
    with pytest.raises(ValueError, match=r"name one: .*net.py:FUNCTION; it has: Net, fresh"):
        find(str(path))
