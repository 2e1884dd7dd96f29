"""PostgreSQL itself refuses to change recorded rows; its tables and guards are as declared."""

import asyncio

import pytest
import sqlalchemy as sa
from support import databases, disclosures, emergencies, marks, retention, service_walk

from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.audit import AuditFilters
from ipt_workflow.store.schema import migrate, revision

APPEND_ONLY = (
    *("entry", "audit_event", "audit_subject"),
    *("emergency_access", "emergency_end", "emergency_review", "unmasking", "disclosure"),
    *("retention_decision", "audit_reaping"),
)
ENDED = ("verification", "audit_export", "client_mark", "retention_policy")


@pytest.fixture(scope="module")
def filled(tmp_path_factory, postgres):
    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start")
        await CourseReads(clinic).course(service_walk.THERAPIST, course)
        await emergencies.walk(clinic, course)
        await marks.walk(clinic)
        await retention.walk(clinic)
        await disclosures.walk(clinic, course)
        await AuditLog(clinic).verify(service_walk.AUDITOR)
        async for _ in await AuditLog(clinic).export(service_walk.AUDITOR, AuditFilters()):
            pass

    return service_walk.database(tmp_path_factory.mktemp("guards"), fill, postgres)


@pytest.fixture
def kept(filled, tmp_path):
    """Runs a function of a connection in a transaction on a copy."""
    settings = databases.copy(filled, tmp_path)

    def run(function):
        async def inside():
            database = databases.opened(settings.database_url)
            try:
                return await database.write(function)
            finally:
                await database.close()

        return asyncio.run(inside())

    return run


def refused(kept, table, statement) -> None:
    before = kept(lambda connection: list(connection.exec_driver_sql(f"SELECT * FROM {table}")))
    assert before
    with pytest.raises(sa.exc.DBAPIError, match=f"{table} (is append-only|can only be erased|has ended)"):
        kept(lambda connection: connection.exec_driver_sql(statement) and None)
    assert kept(lambda connection: list(connection.exec_driver_sql(f"SELECT * FROM {table}"))) == before


@pytest.mark.parametrize("table", (*APPEND_ONLY, *ENDED, "entry_data", "access_text"))
def test_nothing_that_was_recorded_can_be_deleted_or_truncated(kept, table):
    refused(kept, table, f"DELETE FROM {table}")
    refused(kept, table, f"TRUNCATE {table}")


@pytest.mark.parametrize("table", ENDED)
def test_what_has_ended_cannot_be_changed(kept, table):
    refused(kept, table, f"UPDATE {table} SET ended_at = NULL")


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_nothing_that_was_recorded_can_be_updated(kept, table):
    refused(kept, table, f"UPDATE {table} SET organisation = organisation")


def test_an_entry_can_be_erased_and_nothing_else(kept):
    kept(lambda connection: connection.exec_driver_sql("UPDATE entry_data SET salt = NULL, sealed = NULL WHERE seq = 2") and None)
    refused(kept, "entry_data", "UPDATE entry_data SET salt = 'x', sealed = 'x' WHERE seq = 2")
    refused(kept, "entry_data", "UPDATE entry_data SET salt = NULL WHERE seq = 1")
    refused(kept, "entry_data", "UPDATE entry_data SET salt = NULL, sealed = NULL, seq = 99 WHERE seq = 1")


def test_every_guard_is_present_at_head_and_the_tables_are_as_declared(kept):
    def check(connection):
        assert revision.current(connection) == revision.HEAD
        assert migrate.missing_guards(connection) == []
        assert migrate.differences(connection) == []

    kept(check)


def test_a_guard_that_was_dropped_is_named(kept):
    def check(connection):
        connection.exec_driver_sql("DROP TRIGGER guard_entry_rows ON entry")
        assert migrate.missing_guards(connection) == ["guard_entry_rows"]

    kept(check)


def test_a_text_about_access_can_be_erased_and_nothing_else(kept):
    kept(
        lambda connection: (
            connection.exec_driver_sql("UPDATE access_text SET salt = NULL, sealed = NULL WHERE kind = 'reason'") and None
        )
    )
    for change in ("salt = 'x', sealed = 'x'", "salt = NULL", "salt = NULL, sealed = NULL, kind = 'other'"):
        refused(kept, "access_text", f"UPDATE access_text SET {change} WHERE kind = 'comment'")
