"""The `landscape` command: finds its commands in a folder and words the library's errors."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

import click

_MEMORY = "the memory is used up; a smaller --batch-size or --limit needs less"


class Folder(click.Group):
    """A group whose commands are the files of ``commands/``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the files."""
        here = Path(__file__).parent / "commands"
        return sorted(path.stem for path in here.glob("[!_]*.py"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import ``command`` from the file."""
        if name not in self.list_commands(ctx):
            return None
        return import_module(f"landscape_cli.commands.{name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one names the nearest."""
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            near = get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"nearest: {', '.join(near)}" if near else f"choose {', '.join(known)}"
            ctx.fail(f"there is no command '{name}'; {hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=Folder,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vision-landscape", message="landscape %(version)s")
def landscape() -> None:
    """How does a vision network see? Loss surfaces, Hessian spectra, frequencies, variances.

    \b
    Example:
      landscape demo
      landscape fourier --model vit_s --model resnet_s
      landscape show results/vit_s@deadleaves/fourier.nc

    Data and written paths go to stdout, all else to stderr. Exit status: 0; 2 for what the user can
    mend, in one line (LANDSCAPE_DEBUG=1 shows the traceback); 1 for a fault of the program; 130
    when interrupted.
    """  # noqa: D301


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    try:
        code = landscape.main(args, prog_name="landscape", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        stop = error.__cause__ or error  # click's stands for the interrupt
        told = str(stop) if isinstance(stop, KeyboardInterrupt) else ""
        click.echo(f"Interrupted; {told or 'what was written is complete'}.", err=True)
        return 130
    except (ValueError, TypeError, OSError, MemoryError, RuntimeError) as error:
        if os.environ.get("LANDSCAPE_DEBUG") or not _is_users(error):
            raise
        click.echo(f"Error: {_line(error)}", err=True)
        return 2
    return code if isinstance(code, int) else 0


def _is_users(error: Exception) -> bool:
    """Whether the user can do something about it; torch says no memory with a RuntimeError."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in ("allocate memory", "out of memory"))
    return True


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError | RuntimeError):
        return _MEMORY
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        text = f"{where}{error.strerror}"
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
