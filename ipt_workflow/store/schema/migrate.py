"""Brings a database to this version's tables, and checks that they are as declared."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from ipt_workflow.store.schema import guards, revision, snapshots, tables

HERE = Path(__file__).parent / "migrations"


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: sa.Connection) -> str:
    """Runs the migrations that are missing, then rebuilds snapshots of an older shape. Returns the new revision.

    Another process that migrates the database at the same time waits, and then finds nothing to do.
    """
    revision.take_turns(connection)
    before = revision.current(connection)
    command.upgrade(_config(connection), "head")
    if before is not None and before < revision.SNAPSHOTS:
        snapshots.rebuild(connection)
    return revision.HEAD


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
