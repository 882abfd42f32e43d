"""`taod backup`, `taod restore`: copies of a root's database."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from taod.cli.support.options import config_option, configured, root_option
from taod.cli.support.output import confirm, yes_option
from taod.paths import Root


@click.command()
@root_option
@config_option
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def backup(root: Path | None, config_file: Path | None, file: Path | None) -> None:
    """Copy the database to FILE, or to backups/ below the root. The daemon may run meanwhile."""
    from store import copies

    config = configured(config_file, root)
    database, backups = Root(config.root).database, Root(config.root).backups
    if not database.is_file():
        raise click.ClickException(f"{database} does not exist")
    if file is not None:
        created = copies.copy(database, file)
    else:
        created = copies.copy_into(backups, database, config.storage.backup_keep)
    click.echo(f"Copied {database} to {created}.")


@click.command()
@root_option
@config_option
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@yes_option
def restore(root: Path | None, config_file: Path | None, file: Path | None, yes: bool) -> None:
    """Put FILE, or the newest intact copy, in the place of the database. The daemon must be stopped.

    The database that is there is kept beside it. Jobs and datasets newer than the copy are not in it; their files stay.
    """
    from store import copies
    from taod.daemon import root_lock

    found = Root(configured(config_file, root).root)
    source = file or copies.newest_good(found.backups)
    if source is None:
        raise click.ClickException(f"{found.backups} has no intact copy; name a file")
    found.make()
    with root_lock(found):
        confirm([f"{source} replaces {found.database}, which is kept beside it."], yes)
        former = copies.restore(source, found.database)
    kept = f" The former one is {former}." if former is not None else ""
    click.echo(f"Restored {source}.{kept}")
