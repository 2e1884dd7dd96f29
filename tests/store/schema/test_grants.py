"""The service under a role that does not own its tables: everything works, and what was recorded cannot be changed."""

import asyncio
import datetime as dt
import re

import asyncpg
import pytest
from support import databases
from support.busy_day import a_busy_day
from support.fhir_bodies import START

from ipt_workflow.errors import ReadOnly
from ipt_workflow.store.sandbox import ClockMove, record
from ipt_workflow.store.schema import grants, guards, row_security, tables


@pytest.fixture
def owned(postgres, tmp_path):
    return databases.empty(tmp_path, postgres).model_copy(update={"development": True})


def test_the_role_that_db_grants_prints_for_serves_everything(owned):
    asyncio.run(a_busy_day(databases.as_role(owned, grants.of_service)))


def test_it_may_neither_change_what_was_recorded_nor_take_the_guards_away(owned):
    role = databases.as_role(owned, grants.of_service)

    async def attempt() -> None:
        connection = await asyncpg.connect(role.database_url)
        for table in (*guards.APPEND_ONLY, "entry_data"):
            deletion = (
                () if table in guards.REAPABLE else (f"DELETE FROM {table}",)
            )  # a guard refuses it, unless a month was reaped
            for statement in (*deletion, f"TRUNCATE {table}", f"DROP TRIGGER guard_{table}_rows ON {table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
        for table in guards.APPEND_ONLY:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"UPDATE {table} SET organisation = 'x'")
        for statement in ("ALTER TABLE entry DISABLE TRIGGER ALL", "SET session_replication_role = replica", "DROP TABLE course"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()

    asyncio.run(attempt())


def test_a_role_without_grants_is_refused_in_a_sentence(owned):
    role = databases.as_role(owned, grants.of_reader)

    async def attempt() -> None:
        database = databases.open_database(role.database_url)
        try:
            with pytest.raises(ReadOnly, match="db grants"):
                await database.write(lambda c: record(c, "default", ClockMove(dt.timedelta(), START)))
        finally:
            await database.close()

    asyncio.run(attempt())


def test_every_table_is_granted_and_no_append_only_one_for_changes():
    granted = list(grants.of_service("ipt"))
    statements = [each for each in granted if " ON FUNCTION " not in each]
    assert [each for each in granted if each not in statements] == [
        f'GRANT EXECUTE ON FUNCTION public.{table}_by_digest(text[]) TO "ipt";' for table in row_security.CREDENTIALS
    ]
    named = {match[1]: match[0] for each in statements if (match := re.search(r"public\.(\w+)", each))}
    assert set(named) == {*tables.METADATA.tables, "alembic_version"}
    assert all(statement.endswith('TO "ipt";') for statement in statements)
    by_table = {re.search(r"public\.(\w+)", each)[1]: each for each in statements if "public." in each}
    assert all("UPDATE" not in by_table[table] for table in guards.APPEND_ONLY)
    assert {table for table in guards.APPEND_ONLY if "DELETE" in by_table[table]} == {*guards.REAPABLE}
