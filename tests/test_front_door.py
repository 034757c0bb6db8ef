import inspect
from pathlib import Path

import pytest

import landscape

ANALYZERS = sorted(
    p.stem
    for p in (Path(landscape.__file__).parent / "analyzers").glob("*.py")
    if not p.stem.startswith("_")
)


@pytest.mark.parametrize("name", [n for n in dir(landscape) if n != "__version__"])
def test_every_public_name_opens(name):
    assert getattr(landscape, name).__doc__


@pytest.mark.parametrize("name", ANALYZERS)
def test_an_analyzer_is_a_function_named_as_its_file(name):
    function = getattr(landscape, name)
    parameters = list(inspect.signature(function).parameters.values())
    assert [p.name for p in parameters[:2]] == ["model", "batches"]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[2:])
    assert {"seed", "progress"} <= {p.name for p in parameters}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        landscape.nonsense  # noqa: B018
