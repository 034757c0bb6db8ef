"""Imports go only down, and rooms on one floor do not import each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = {
    "numerics": 0,
    "result": 0,
    "journal": 1,
    "subject": 1,
    "analyzers": 2,
    "models": 2,
    "datasets": 2,
    "zoo": 2,
    "claims": 2,
    "plots": 2,
    "study": 3,
    "selftest": 3,
    "landscape_cli": 4,
}
FILES = sorted([*(ROOT / "src/landscape").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "landscape_cli":
        return "landscape_cli"
    return parts[1] if parts[0] == "landscape" and len(parts) > 1 else ""


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it, also inside functions and by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant):
                found.add(str(first.value))
            elif isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.Constant):
                found.add(str(first.values[0].value).rstrip("."))
    return found


def own(path: Path) -> str:
    base = ROOT / ("src" if "src" in path.relative_to(ROOT).parts else "cli")
    return room(".".join(path.relative_to(base).with_suffix("").parts))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path):
    home = own(path)
    if not home or home == "__init__":
        return  # the front door opens every room, lazily
    assert home in FLOORS, f"{home} has no floor"
    for module in imported(path):
        other = room(module)
        if other in FLOORS and other != home:
            assert FLOORS[other] < FLOORS[home], f"{path.name} ({home}) imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_plots_results_and_claims_know_no_torch(path):
    if own(path) in ("plots", "result", "claims"):
        heads = {m.split(".")[0] for m in imported(path)}
        assert not heads & {"torch", "torchvision", "timm"}


def test_numerics_knows_no_network():
    for path in (ROOT / "src/landscape/numerics").glob("*.py"):
        assert not any(m.startswith("torch.nn") for m in imported(path)), path


@pytest.mark.parametrize(
    "code", ["import landscape.plots", "from landscape import load, save, plot"]
)
def test_a_stored_result_needs_no_torch(code):
    check = f"{code}\nimport sys\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_checker_sees_an_import_that_goes_up(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from landscape.study import prepare\n")
    assert "landscape.study" in imported(bad)
    assert FLOORS[room("landscape.study")] > FLOORS["analyzers"]


def test_no_file_is_a_house():
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= 300, path
