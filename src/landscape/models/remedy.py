"""What to do when foreign code does not run here."""

import pickle
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

#: packages whose interfaces changed under published code
PACKAGES = ("timm", "torch", "torchvision", "numpy")


def line(error: BaseException) -> str:
    """Kind of an error and the first line of what it says.

    Examples
    --------
    >>> line(KeyError("weight"))
    "KeyError: 'weight'"
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def remedy(error: BaseException, folder: Path, entry: str = "") -> str:
    """Say in a clause what helps against an error that came out of code in ``folder``.

    Parameters
    ----------
    error
        What the code raised.
    folder
        Its ``requirements.txt``, if it has one, tells the versions it was written for.
    entry
        Name of the network; timm may have one of that name.

    Returns
    -------
    str
        Empty when nothing is known.

    Examples
    --------
    >>> remedy(ModuleNotFoundError("No module named 'nowhere'", name="nowhere"), Path())
    "install 'nowhere', or put it into the folder"
    """
    text = str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and not _is_installed(error.name):
        return f"install '{error.name.partition('.')[0]}', or put it into the folder"
    if isinstance(error, pickle.UnpicklingError):
        return (
            "its checkpoint holds more than plain weights; where you trust that file, save the "
            "state dict alone, torch.save(network.state_dict(), NEW), and give --weights NEW"
        )
    if text.startswith("invalid hash value"):
        return "what came is not the file that was published; try again, or from another network"
    if _is_of_versions(error, text):
        return _versions(folder, entry)
    return ""


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _is_of_versions(error: BaseException, text: str) -> bool:
    """Whether a package may have changed: it is named, or took a keyword."""
    named = re.search(rf"\b({'|'.join(PACKAGES)})\b", text) is not None
    if isinstance(error, TypeError):
        return named or "unexpected keyword argument" in text
    return named and isinstance(error, ImportError | AttributeError)


def _versions(folder: Path, entry: str) -> str:
    here = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    file = folder / "requirements.txt"
    wanted = []
    if file.is_file():
        lines = file.read_text("utf-8", errors="replace").splitlines()
        match = re.compile(rf"({'|'.join(PACKAGES)})\s*[=<>~!]=?[^#;]+")
        wanted = [hit.group().replace(" ", "") for text in lines if (hit := match.match(text))]
    clause = f"it may be written for other versions than are here ({here})"
    clause += f": its requirements.txt says {', '.join(wanted)}" if wanted else ""
    clause += "; run it in an environment of its own"
    return clause + (f", or take timm:{entry}" if _is_timm(entry) else "")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _is_timm(entry: str) -> bool:
    import timm

    return bool(entry) and timm.is_model(entry)
