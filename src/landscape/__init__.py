"""How does a vision network see? Loss surfaces, Hessian spectra and feature-map frequencies.

Everything public is one attribute away and is imported when it is first used, so that a plot or a
stored result needs no torch. An analyzer is a file in ``analyzers/`` with a function of its name.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

_HOME = {
    "capture": "subject.probe",
    "discover": "subject.probe",
    "Tap": "subject.probe",
    "Objective": "subject.objective",
    "L2": "subject.penalty",
    "NormSum": "subject.penalty",
    "towards": "subject.directions",
    "eigenvectors": "subject.directions",
    "trajectory": "subject.directions",
    "check_repeatable": "subject.batches",
    "freeze": "subject.batches",
    "untouched": "subject.guest",
    "Card": "models.card",
    "find": "models.card",
    "prepare": "study",
    "Case": "study",
    "label": "result",
    "load": "result",
    "save": "result",
    "plot": "plots",
    "figure": "plots",
    "page": "plots",
}


def _analyzers() -> list[str]:
    folder = Path(__file__).parent / "analyzers"
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"landscape.{_HOME[name]}"), name)
    if name in _analyzers():
        return getattr(import_module(f"landscape.analyzers.{name}"), name)
    if name == "__version__":
        return import_module("importlib.metadata").version("vision-landscape")
    raise AttributeError(f"module 'landscape' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*_HOME, *_analyzers(), "__version__"])
