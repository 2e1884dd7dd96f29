"""Checks a database: its pages, revision, guards and tables, and the identities that it holds."""

from ipt_workflow.store import identities
from ipt_workflow.store.database import Connection
from ipt_workflow.store.schema import pages, revision, row_security


def faults(connection: Connection) -> list[str]:
    """Everything that is wrong, each in a line. At another revision, tables and rows are not looked at."""
    from ipt_workflow.store.schema import migrate  # noqa: PLC0415 - Alembic takes long to load, and is seldom needed

    damage = [f"page: {each}; restore a backup" for each in pages.damage(connection)]
    found = revision.current(connection)
    if found != revision.HEAD:
        return [*damage, f"revision: it is {found or 'none'}, and must be {revision.HEAD}: run ipt-workflow db upgrade"]
    guards = [f"guard {name}: it is missing" for name in migrate.missing_guards(connection)]
    tables = [f"table: {each}" for each in migrate.differences(connection)]
    if tables:
        return [*damage, *guards, *tables]
    row_security.bind_all(connection)
    return [*damage, *guards, *row_security.faults(connection), *identities.faults(connection)]
