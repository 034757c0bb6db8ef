"""`landscape show`."""

import json

import click

from landscape_cli import options


@click.command(short_help="What is in a result.")
@options.result
@click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
def command(path: str, as_json: bool) -> None:
    """Print what is in a RESULT: who made it, how, and its values as tables.

    The JSON has "variables" and "coords", each by name with dims, values, long_name and units, and
    "attrs"; NaN and infinities are the strings nan, inf and -inf.

    \b
    Example:
      landscape show results/vit_s@deadleaves/hessian.nc
      landscape show results/vit_s@deadleaves/hessian.nc --json | jq .variables.eigenvalue.values
    """  # noqa: D301
    import landscape
    from landscape.result import to_json
    from landscape_cli.summary import summary

    result = landscape.load(path)
    text = json.dumps(to_json(result), indent=1, allow_nan=False) if as_json else summary(result)
    click.echo(text)
