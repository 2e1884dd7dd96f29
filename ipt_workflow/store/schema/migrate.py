"""Brings a database to this version's tables, and checks that they are as declared."""

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ipt_workflow.errors import DatabaseNotReady
from ipt_workflow.store.schema import guards, revision, row_security, snapshots, tables

# By PostgreSQL's error code
CANNOT_UPGRADE: Mapping[str | None, str] = {
    "42501": "The database role may not create or change tables here. Run `db upgrade` as the role that owns the tables and the schema.",
    "3F000": "The database has no schema to create tables in. Create the schema that the role's search_path names, then try again.",
    "25006": "The database can only be read: it is a standby, or is set to read-only. Run `db upgrade` on the primary server.",
}
HERE = Path(__file__).parent / "migrations"


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: sa.Connection) -> str:
    """Runs the migrations that are missing, protects the tables, then rebuilds what is stored with every course. Returns the new revision.

    A database of a revision before row security has it switched on by the next upgrade: until then processes of the version before go on.
    From then on the connection is bound to every organisation, until the end of its transaction.
    Another process that migrates the database at the same time waits, and then finds nothing to do.
    Raises DatabaseNotReady if the database is not ours, is newer than this version, or may not be changed.
    """
    revision.take_turns(connection)
    before = revision.current(connection)
    _check_ours(connection, before)
    try:
        row_security.bind_all(connection)
        command.upgrade(_config(connection), "head")
        row_security.establish(connection, switch_on=before is None or before >= revision.ROW_SECURITY)
    except sa.exc.DBAPIError as error:
        sentence = CANNOT_UPGRADE.get(getattr(error.orig, "sqlstate", ""))
        if sentence is None:
            raise
        raise DatabaseNotReady(sentence) from error
    row_security.bind_all(connection)
    if before is not None and before < revision.SNAPSHOTS:
        snapshots.rebuild(connection)
    if before is not None and before < revision.SHARING:
        snapshots.note_sharing(connection)
    return revision.HEAD


def _check_ours(connection: sa.Connection, found: str | None) -> None:
    """Raises DatabaseNotReady unless the database is empty, or at a revision that this version knows."""
    if found is None:
        inspector = sa.inspect(connection)
        taken = sorted(set(tables.METADATA.tables) & {*inspector.get_table_names(), *inspector.get_view_names()})
        if taken:
            raise DatabaseNotReady(
                f"The database has tables that this software did not make: {', '.join(taken)}. "
                "Set IPT_DATABASE_URL to an empty database, or give this software a schema of its own."
            )
    elif found not in {each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()}:
        newer = len(found) == len(revision.HEAD) and found.isdigit() and found > revision.HEAD
        raise DatabaseNotReady(
            f"The database is at revision {found}, and this version knows up to {revision.HEAD}. "
            + (
                "Run the newer version of this software."
                if newer
                else "Another program made it: set IPT_DATABASE_URL to another database."
            )
        )


def missing_guards(connection: sa.Connection) -> list[str]:
    """Names of guard triggers that the database lacks. SQLite keeps their statements, so there a changed trigger counts as missing."""
    expected = list(guards.statements(connection.dialect.name))
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        present = {(name, sql) for name, sql in found}
        return [name for name, statement in expected if (name, statement) not in present]
    query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION SELECT proname FROM pg_proc WHERE proname LIKE 'guard_%'"
    names = set(connection.exec_driver_sql(query).scalars())
    return [name for name, _ in expected if name not in names]


def differences(connection: sa.Connection) -> list[str]:
    """What differs between the database and the declared tables."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(difference) for difference in compare_metadata(context, tables.METADATA)]
