"""Which files a measurement writes, and figures in files."""

from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any


def places(output: Path, cases: Sequence[str], analyzer: str) -> tuple[list[Path], Path]:
    """Files of the results of ``MODEL@DATA`` cases, and of their figure.

    Raises
    ------
    ValueError
        If two results would share a file, or ``output`` is the name of a file that no result has.

    Examples
    --------
    >>> paths, figure = places(Path("out"), ["vit_s@deadleaves"], "fourier")
    >>> [str(path) for path in paths], str(figure)
    (['out/vit_s@deadleaves/fourier.nc'], 'out/figures/fourier.vit_s@deadleaves.png')
    >>> paths, figure = places(Path("a.nc"), ["vit_s@deadleaves", "resnet_s@deadleaves"], "fourier")
    >>> [str(path) for path in paths], str(figure)
    (['a.vit_s.nc', 'a.resnet_s.nc'], 'a.png')
    """
    suffix = output.suffix.lower()
    if suffix == ".nc":
        names = [f"{output.stem}.{case.partition('@')[0]}.nc" for case in cases]
        paths = [output] if len(cases) == 1 else [output.with_name(name) for name in names]
        figure = output.with_suffix(".png")
    elif suffix[1:] in {"csv", "json", "html", *_formats()} and not output.is_dir():
        raise ValueError(
            f"cannot write a result as '{output}'; give a folder or a file.nc "
            "('landscape plot' and 'landscape export' make other files of it)"
        )
    else:
        paths = [output / case / f"{analyzer}.nc" for case in cases]
        single = f".{cases[0]}" if len(cases) == 1 else ""
        figure = output / "figures" / f"{analyzer}{single}.png"
    twice = [str(path) for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ValueError(f"two results would go to {twice[0]}; give each network once")
    return paths, figure


def draw(results: Sequence[Any], path: Path, **choice: Any) -> Path:
    """Draw results of one analyzer in one figure or page and write it; its suffix is the format.

    Raises
    ------
    ValueError
        For a suffix that is no format of figures.
    """
    import landscape
    from landscape.plots.style import paper
    from landscape.result import write

    form = path.suffix.lower()[1:]
    if form == "html":
        return write(path, landscape.page(results, **choice).encode())
    if form not in _formats():
        choices = ", ".join(f".{known}" for known in sorted([*_formats(), "html"]))
        raise ValueError(f"cannot write a figure as '{path}'; choose {choices}")
    figure = landscape.figure(results, **choice)
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with paper(), BytesIO() as file:
        figure.savefig(file, format=form, metadata=undated.get(form))
        return write(path, file.getvalue())


def _formats() -> list[str]:
    from matplotlib.backend_bases import FigureCanvasBase

    return list(FigureCanvasBase.get_supported_filetypes())
