"""Changes a database as its owner can: without guards, with SQL."""

import sqlalchemy as sa

from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store.schema import guards, tables


async def run(clinic: Clinic, *statements: str) -> None:
    """Runs statements as somebody who has taken the guards away. `:organisation` is the clinic's."""

    def change(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            for name, _ in guards.sqlite():
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            for table in tables.METADATA.tables:
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for statement in statements:
            named = {"organisation": clinic.organisation} if ":organisation" in statement else {}
            assert connection.execute(sa.text(statement), named).rowcount != 0, statement

    await clinic.database.write(change)
