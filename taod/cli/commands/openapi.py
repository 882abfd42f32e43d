"""`taod openapi`: the OpenAPI document, generated from the code without a daemon."""

from __future__ import annotations

import rich_click as click

from taod.cli.support.output import print_json


@click.command()
@click.option("--yaml", "as_yaml", is_flag=True, help="YAML instead of JSON.")
def openapi(as_yaml: bool) -> None:
    """Print the OpenAPI document."""
    from taod.api.routes.docs import document

    if not as_yaml:
        print_json(document())
        return
    import yaml

    click.echo(yaml.safe_dump(document(), sort_keys=False, allow_unicode=True), nl=False)
