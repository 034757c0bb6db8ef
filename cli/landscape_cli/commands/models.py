"""`landscape models`."""

import json

import click


@click.command(short_help="Networks that have a name, with their weights.")
@click.option("--family", help="Only conv, msa, hybrid or mlp.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def command(family: str | None, as_json: bool) -> None:
    """List the networks that have a name, once for each data set with weights of theirs.

    Objects of the JSON: name, family, data (of the weights), parameters, source, licence, accuracy
    (on the test split; null if not measured), offline (whether the weights are here).

    \b
    Example:
      landscape models
      landscape models --family msa --json
    """  # noqa: D301
    from landscape_cli.catalogue import made, networks, specs
    from landscape_cli.summary import table

    found = networks(family)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    heads = ["name", "family", "data", "parameters", "accuracy", "offline", "licence", "source"]
    click.echo(table([heads, *([row[head] for head in heads] for row in found)]))
    click.echo(f"\nOther networks:\n{specs()}")
    commands = made({row["name"] for row in found})
    if commands:
        click.echo(f"\nThe weights trained here were made by:\n{commands}")
