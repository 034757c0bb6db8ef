"""What the README says is true: its code runs, its commands parse, its links lead somewhere."""

import json
import re
import shlex
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

import landscape_cli
from landscape import claims
from landscape_cli.main import landscape

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = ["README.md", "CONTRIBUTING.md"]
COMMANDS = sorted(
    path.stem for path in (Path(landscape_cli.__file__).parent / "commands").glob("[!_]*.py")
)
SHELL = ("console", "bash", "sh", "shell")


def blocks(text, *languages):
    """Number of the first line and text of each fenced block in one of the languages."""
    fence = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
    return [
        (text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in fence.finditer(text)
        if found[1] in languages
    ]


def commands(text):
    """Shell commands of all blocks; where lines have a prompt, the others are output."""
    found = []
    for _, block in blocks(text, *SHELL):
        lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
        prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += prompted or [line for line in lines if line and not line.startswith("#")]
    return found


def section(text, title):
    """Text under a heading, up to the next one of its level or above."""
    text = re.sub(r"^```.*?^```", lambda m: m[0].replace("\n#", "\n\\#"), text, flags=re.M | re.S)
    found = re.search(rf"^(#+) *{title}[^\n]*\n", text, re.MULTILINE | re.IGNORECASE)
    assert found, f"the README has no section {title}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def words(line):
    """Arguments of a command, up to a pipe, a redirection or the next command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    taken = []
    for word in lexer:
        if set(word) <= set("();<>|&"):
            break
        taken.append(word)
    return taken


def parse(line):
    """Let click read a command line as `landscape` would, down to the subcommand; run nothing."""
    args = words(line)[1:]
    with suppress(click.exceptions.Exit):  # --help and --version
        if args[0].startswith("-"):
            landscape.make_context("landscape", args)
        context = click.Context(landscape, **landscape.context_settings)
        name, command, rest = landscape.resolve_command(context, args)
        while isinstance(command, click.Group) and rest:
            context = click.Context(command, parent=context, info_name=name)
            name, command, rest = command.resolve_command(context, rest)
        command.make_context(name, rest, parent=context)


def every(command=landscape, context=None):
    """Commands and their subcommands."""
    context = click.Context(command, parent=context, info_name=command.name)
    yield command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from every(command.get_command(context, name), context)


LINES = [line for line in commands(README) if line.startswith("landscape ")]
HELP = [
    line.strip()
    for command in every()
    for line in (command.help or "").splitlines()
    if line.strip().startswith("landscape ")
]


@pytest.mark.slow
def test_the_python_in_the_readme_runs(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    found = blocks(README, "python")
    assert found
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__readme__"}
    try:
        for line, block in found:  # as one text: a traceback has the line of the README
            exec(compile("\n" * (line - 1) + block, str(ROOT / "README.md"), "exec"), namespace)
    finally:
        plt.close("all")


def test_the_readme_has_commands():
    assert LINES


@pytest.mark.parametrize("line", LINES)
def test_a_command_in_the_readme_parses(line):
    parse(line)


@pytest.mark.parametrize("line", sorted(set(HELP)))
def test_an_example_of_the_help_parses(line):
    parse(line)


def test_options_that_the_readme_speaks_of_exist():
    params = [p for command in every() for p in command.params]
    known = {o for p in params for o in (*p.opts, *p.secondary_opts)}
    prose = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    code = [c for c in re.findall(r"`([^`]+)`", prose) if "python" not in c and "pip" not in c]
    told = {option for text in code for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)}
    assert len(told) > 10
    assert told - known == {"--help"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name):
    assert re.search(rf"\blandscape +{name}\b", README)


def test_the_quick_start_is_two_commands():
    assert commands(section(README, "quick ?-?start")) == ["make demo", "make test"]


def targets(text):
    """Targets of links and images outside of code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)", text)
    named = re.findall(r"^\[[^\]]+\]: *<?(\S+?)>?(?:\s|$)", text, re.MULTILINE)
    html = re.findall(r"<(?:img|a|source)\b[^>]*?(?:src|href|srcset)=[\"']([^\"']+)", text)
    return inline + named + html


def anchors(text):
    """Names that GitHub gives to the headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text("utf-8")
    dead = []
    for target in targets(text):
        if re.match(r"[a-z][a-z+.-]*:", target):
            continue  # of the web
        path, _, anchor = unquote(target).partition("#")
        where = ROOT / (path or page)
        names = anchors(where.read_text("utf-8")) if where.suffix == ".md" and anchor else {anchor}
        if not where.exists() or anchor not in names:
            dead.append(target)
    assert not dead, f"{page} points to what is not there"


@pytest.mark.parametrize("line", ["landscape nonsense", "landscape fourier --nonsense 3"])
def test_a_wrong_command_does_not_parse(line):
    with pytest.raises(click.UsageError):
        parse(line)


def test_what_is_looked_for_is_found():
    text = """
# Title
## Quick start
```console
$ make demo
written
```
## Links
[a](b.md#c) ![d](e.png "f") `[g](h)` <img width="1" src="i.png">

[j]: k.md
```python
# no heading
x = 1
```
```bash
landscape plot a.nc \\
  -o b.png | cat  # drawn
```
"""
    assert blocks(text, "python") == [(13, "# no heading\nx = 1\n")]
    assert commands(section(text, "quick start")) == ["make demo"]
    assert words(commands(text)[1]) == ["landscape", "plot", "a.nc", "-o", "b.png"]
    assert targets(text) == ["b.md#c", "e.png", "k.md", "i.png"]
    assert anchors(text) == {"title", "quick-start", "links"}


def test_the_verdicts_are_those_of_the_report():
    """A row for each, with the numbers of the twin, in any order."""
    stored = json.loads((ROOT / "results" / "claims@cifar10.json").read_text())
    rows = []
    for verdict in stored.values():
        units = "" if verdict["units"] == "1" else f" {verdict['units']}"
        number = verdict["reason"]
        if found := verdict["effect"]:
            number = f"{found['mean']:.3g} [{found['low']:.3g}, {found['high']:.3g}]{units}"
        smallest = f"{verdict['smallest']:g}{units}"
        rows.append(f"| {verdict['verdict']} | {verdict['title']} | {number} | {smallest} |")
    words = {verdict["verdict"] for verdict in stored.values()}
    told = [line for line in README.splitlines() if line.startswith(tuple(f"| {w}" for w in words))]
    told = [line for line in told if line.count("|") == 5]
    assert sorted(told) == sorted(rows)


def test_what_the_readme_says_of_other_data_is_so():
    one, other = (
        json.loads((ROOT / "results" / f"claims@{data}.json").read_text())
        for data in ("cifar10", "deadleaves")
    )
    same = sum(one[name]["verdict"] == other[name]["verdict"] for name in one)
    text = " ".join(README.split())
    assert f"{same} of the {len(one)} verdicts are the same" in text
    flat = other["attention_flattens_the_loss"]
    number = "{mean:.3g} [{low:.3g}, {high:.3g}]".format(**flat["effect"])
    assert f"attention flattens the loss: {number} ln there, {flat['verdict']}" in text


def test_every_claim_is_judged_in_the_readme():
    for data in ("cifar10", "deadleaves"):
        stored = json.loads((ROOT / "results" / f"claims@{data}.json").read_text())
        assert sorted(stored) == claims.names()
