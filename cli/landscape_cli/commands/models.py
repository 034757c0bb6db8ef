"""`landscape models`."""

import json

import click

from landscape_cli import options


@click.command(short_help="Networks that have a name, with their weights.")
@click.argument("name", required=False)
@click.option("--family", help="Only conv, msa, hybrid or mlp.")
@click.option("--data", help="Only with weights for this data set, as deadleaves or imagenet.")
@click.option("--source", help="Only from hub, torchvision, timm, package or zoo (trained here).")
@click.option("--offline", is_flag=True, help="Only what needs no download.")
@options.trust
@click.option("--json", "as_json", is_flag=True, help="A list of objects, with everything.")
def command(
    name: str | None,
    family: str | None,
    data: str | None,
    source: str | None,
    offline: bool,
    trust: bool,
    as_json: bool,
) -> None:
    """List the networks that have a name, once for each data set and recipe of their weights.

    With NAME (or any --model) all that is known of one: preprocessing, recipe, licence, every
    checkpoint and how it was made. --data picks among networks that share a name, as elsewhere.

    \b
    Example:
      landscape models
      landscape models vit_s
      landscape models --data imagenet --family hybrid --json
    """  # noqa: D301
    from landscape_cli.catalogue import chosen, details, networks, overview, specs
    from landscape_cli.measure import asking

    rows = chosen(
        asking(networks, name, trust=trust), offline, family=family, data=data, source=source
    )
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif not rows:
        click.echo("No network is all of that.", err=True)
    elif name:
        click.echo("\n\n".join(details(row) for row in rows))
    else:
        click.echo(
            f"{overview(rows)}\n\n'landscape models NAME' tells all of one. Others:\n{specs()}"
        )
