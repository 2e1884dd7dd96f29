"""Bringing a database to this version's tables, and checking that they are as declared."""

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
    """Runs every migration that has not been run, then takes snapshots of an older shape again. Returns the new revision."""
    before = revision.current(connection)
    command.upgrade(_config(connection), "head")
    if before is not None and before < revision.SNAPSHOTS:
        snapshots.retake(connection)
    return revision.HEAD


def missing_guards(connection: sa.Connection) -> list[str]:
    """Guard triggers that should stand in the database and do not, or (on SQLite, which keeps the statement) do not as they should."""
    expected = list(guards.statements(connection.dialect.name))
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        present = {(name, sql) for name, sql in found}
        return [name for name, statement in expected if (name, statement) not in present]
    query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION SELECT proname FROM pg_proc WHERE proname LIKE 'guard_%'"
    names = set(connection.exec_driver_sql(query).scalars())
    return [name for name, _ in expected if name not in names]


def differences(connection: sa.Connection) -> list[str]:
    """Where the database differs from the tables as declared."""
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(difference) for difference in compare_metadata(context, tables.METADATA)]
