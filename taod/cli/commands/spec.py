"""`spec` of models and datasets: read, save and change the specification of an action."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING

import rich_click as click

from taod.cli.support import documents
from taod.cli.support.options import with_client
from taod.cli.support.output import json_option, print_json, warn
from taod.cli.support.resolve import owner_id
from taod.types.common import OwnerKind

if TYPE_CHECKING:
    from taod.cli.support.documents import Document
    from taod.client import AsyncClient


def spec_group(kind: OwnerKind) -> click.Group:
    """The `spec` group of a `model` or a `dataset`."""
    owner_argument = click.argument("owner", metavar=kind.upper())

    @click.group("spec")
    def spec() -> None:
        """Specifications of actions, as YAML; JSON with --json."""

    @spec.command("get")
    @owner_argument
    @click.argument("action")
    @json_option
    @with_client
    async def get(client: AsyncClient, owner: str, action: str, as_json: bool) -> None:
        """Print the saved specification; exit 1 if none was saved."""
        _print(await client.specs.get(kind, await owner_id(client, kind, owner), action), as_json)

    @spec.command("default")
    @owner_argument
    @click.argument("action")
    @json_option
    @with_client
    async def default(client: AsyncClient, owner: str, action: str, as_json: bool) -> None:
        """Print the default specification, which is complete and valid."""
        schema = await client.specs.schema(kind, await owner_id(client, kind, owner), action)
        _print(schema["default"], as_json)

    @spec.command("schema")
    @owner_argument
    @click.argument("action")
    @with_client
    async def schema(client: AsyncClient, owner: str, action: str) -> None:
        """Print the JSON Schema of the action's specifications."""
        print_json(await client.specs.schema(kind, await owner_id(client, kind, owner), action))

    @spec.command("set")
    @owner_argument
    @click.argument("action")
    @click.argument("file", type=click.File("rb"))
    @json_option
    @with_client
    async def set_(client: AsyncClient, owner: str, action: str, file: IO[bytes], as_json: bool) -> None:
        """Save a file (`-`: standard input) as the specification: YAML, JSON, or the protobuf text of a TF1 network."""
        content, name = file.read(), getattr(file, "name", "standard input")
        if documents.is_protobuf(name, content):
            stored = await client.specs.save_file(kind, await owner_id(client, kind, owner), action, content)
            _report_saved(stored, action, as_json)
            return
        document = documents.read(content, name)
        await _save(client, kind, await owner_id(client, kind, owner), action, document, as_json)

    @spec.command("edit")
    @owner_argument
    @click.argument("action")
    @click.argument("pairs", metavar="[KEY=VALUE]...", nargs=-1)
    @json_option
    @with_client
    async def edit(client: AsyncClient, owner: str, action: str, pairs: tuple[str, ...], as_json: bool) -> None:
        """Change single values of the saved specification, or of the default if none was saved.

        Separate the parts of a key with dots, `train.num_epochs=10`; a number is an index into a list. Without pairs,
        $EDITOR opens the whole specification.
        """
        whole_id = await owner_id(client, kind, owner)
        document = await client.specs.current(kind, whole_id, action)
        if pairs:
            documents.edit(document, pairs)
        else:
            document = _in_editor(document)
        await _save(client, kind, whole_id, action, document, as_json)

    return spec


def _in_editor(document: Document) -> Document:
    text = click.edit(documents.to_yaml(document), extension=".yaml")
    if text is None:
        raise click.ClickException("the editor saved no change: the specification is unchanged")
    return documents.read(text.encode(), "the edited specification")


async def _save(
    client: AsyncClient, kind: OwnerKind, whole_id: str, action: str, document: Document, as_json: bool
) -> None:
    _report_saved(await client.specs.save(kind, whole_id, action, document), action, as_json)


def _report_saved(saved: tuple[Document, str], action: str, as_json: bool) -> None:
    stored, warnings = saved
    if warnings:
        warn(f"warning: {warnings}")
    if as_json:
        print_json(stored)
    else:
        click.echo(f"Saved the {action} specification.")


def _print(document: Document, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        sys.stdout.write(documents.to_yaml(document))
