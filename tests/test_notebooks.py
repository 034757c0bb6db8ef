"""Every notebook runs from top to bottom in the Python that runs the tests."""

import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL = "under-test"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Run a notebook with a kernel of this interpreter, whatever kernels the machine knows."""
    folder = tmp_path / "kernels" / KERNEL
    folder.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": KERNEL, "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), "utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # jupyter_core warns of its old folders
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the notebook chooses
    work = tmp_path / "work"
    work.mkdir()

    def run(notebook):
        from nbclient import NotebookClient

        notebook.metadata.pop("kernelspec", None)
        client = NotebookClient(
            notebook, kernel_name=KERNEL, timeout=300, resources={"metadata": {"path": str(work)}}
        )
        return client.execute()

    return run


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def smaller(source):
    """The same cell on a quarter of the images, but not below 8, in mini-batches of a quarter."""
    least = {"limit": 8, "batch_size": 4}

    def less(found):
        name, between, number = found[1], found[2], int(found[3])
        return f"{name}{between}{max(number // 4, min(number, least[name]))}"

    return re.sub(r"""\b(limit|batch_size)("?[=:] ?)(\d+)""", less, source)


def test_a_notebook_is_made_smaller_where_it_takes_images():
    assert (
        smaller('how = {"limit": 64, "batch_size": 32}') == 'how = {"limit": 16, "batch_size": 8}'
    )
    assert smaller("prepare(x, limit=1, batch_size=8)") == "prepare(x, limit=1, batch_size=4)"
    assert any(smaller(cell.source) != cell.source for cell in read(NOTEBOOKS[0])[1])


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_short_and_stored_without_outputs(path):
    notebook, cells = read(path)
    assert len(cells) <= 10
    assert cells[0].source.startswith("%matplotlib inline")
    assert not [cell.id for cell in cells if cell.outputs or cell.execution_count]
    assert notebook.metadata.kernelspec.name == "python3"
    assert os.fspath(ROOT) not in path.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_runs_and_shows_figures(path, execute):
    notebook, cells = read(path)
    for cell in cells:
        cell.source = smaller(cell.source)
    calls = ("landscape.figure(", "landscape.plot(")
    drawn = sum(any(call in cell.source for call in calls) for cell in cells)
    done = execute(notebook)  # raises where a cell does
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o.text for o in outputs if "Warning" in o.get("text", "")]
    assert sum("image/png" in o.get("data", {}) for o in outputs) >= max(drawn, 1)


def test_an_error_in_a_notebook_is_raised(execute):
    from nbclient.exceptions import CellExecutionError

    cells = [nbformat.v4.new_code_cell("import sys; print(sys.executable)"), "1 / 0"]
    notebook = nbformat.v4.new_notebook(cells=[cells[0], nbformat.v4.new_code_cell(cells[1])])
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook)
    assert notebook.cells[0].outputs[0].text.strip() == sys.executable
