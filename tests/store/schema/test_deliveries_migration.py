"""The migration to deliveries on a database in use: recorded rows stay, under the same guards."""

import asyncio
import datetime as dt
from functools import partial

import pytest
import sqlalchemy as sa
from alembic import command
from support import databases

from ipt_workflow.store import attempts
from ipt_workflow.store.schema import migrate, tables
from ipt_workflow.store.units import LoggedEvent

AT = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
RECORD = {"organisation": "default", "id": "1", "kind": "read", "recorded_at": AT, "person": "p", "role": "auditor", "via": "api",
          "action": "audit"}  # fmt: skip
OUTBOX = (
    "INSERT INTO outbox (organisation, id, course_id, seq, created_at) VALUES ('default', 'e1', 'c1', 1, '2026-01-05 09:00:00')"
)


def record(connection, **more):
    attempts.log(connection, [LoggedEvent(**{**RECORD, **more}, courses=("c1",))])


def record_of_then(connection):
    """A row with the columns of revision 0002."""
    connection.execute(sa.insert(tables.audit_event), RECORD)
    connection.execute(sa.insert(tables.audit_subject), {"organisation": "default", "event_id": "1", "course_id": "c1"})


@pytest.fixture(scope="module")
def at_head(server, tmp_path_factory):
    """A database that was filled at the old revision and then upgraded."""
    path = tmp_path_factory.mktemp("deliveries") / "ipt.db"
    made = databases.settings_of(databases.create(server) if server else f"sqlite:///{path}")
    before = (
        lambda connection: command.upgrade(migrate._config(connection), "0002"),
        record_of_then,
        lambda connection: connection.exec_driver_sql(OUTBOX),
    )
    written(made, *before, migrate.upgrade)
    return made


@pytest.fixture
def upgraded(at_head, tmp_path):
    """Runs functions on a copy of it."""
    return partial(written, databases.copy(at_head, tmp_path))


def written(settings, *functions):
    async def inside():
        database = databases.opened(settings.database_url)
        try:
            return [await database.write(function) for function in functions]
        finally:
            await database.close()

    return asyncio.run(inside())


def test_records_and_events_to_publish_are_still_there(upgraded):
    def look(connection):
        records = connection.execute(sa.select(tables.audit_event.c.id, tables.audit_event.c.recorded_at)).all()
        return records, connection.execute(sa.select(tables.outbox.c.id, tables.outbox.c.kind, tables.outbox.c.seq)).all()

    ((records, outbox),) = upgraded(look)
    assert records == [("1", AT)]
    assert outbox == [("e1", "entry", 1)]


def test_tables_and_guards_are_those_declared(upgraded):
    assert upgraded(migrate.missing_guards, migrate.differences) == [[], []]


@pytest.mark.parametrize("statement", ("DELETE FROM audit_event", "UPDATE audit_event SET person = 'other'"))
def test_records_are_still_guarded(upgraded, statement):
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        upgraded(lambda c: c.exec_driver_sql(statement))


@pytest.mark.parametrize("kind", ("delivery", "notice", "read"))
def test_the_new_kinds_are_taken(upgraded, kind):
    upgraded(lambda c: record(c, id="2", kind=kind))


def test_a_kind_that_is_none_is_still_refused(upgraded):
    statement = (
        "INSERT INTO audit_event (organisation, id, kind, recorded_at, person, role, via, action) "
        "VALUES ('default', '3', 'nonsense', '2026-01-05 09:00:00', 'p', 'admin', 'api', 'x')"
    )
    with pytest.raises(sa.exc.IntegrityError, match="ck_audit_event_audit_kind"):
        upgraded(lambda c: c.exec_driver_sql(statement))
