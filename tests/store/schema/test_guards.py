"""The database itself refuses to change, remove or replace recorded rows."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic import command
from support import databases, disclosures, emergencies, marks, retention, service_walk

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.errors import ReadOnly
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.audit import AuditFilters
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import guards, migrate, revision, tables

RECORDED = (
    *("entry", "audit_event", "audit_subject"),
    *("emergency_access", "emergency_end", "emergency_review", "unmasking", "disclosure"),
    *("log_leaf", "retention_decision", "audit_reaping"),
)
RUNS = ("verification", "audit_export")
ENDED = (*RUNS, "client_mark", "retention_policy")
GUARDED = (*RECORDED, *ENDED, "entry_data", "access_text")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database that holds a course of a few entries, and records of reads and refusals."""

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start", "record_session")
        for _ in range(3):
            await CourseReads(clinic).course(service_walk.THERAPIST, course)
        for _ in range(2):
            await emergencies.walk(clinic, course)
            await marks.walk(clinic)
            await retention.walk(clinic)
            await disclosures.walk(clinic, course)
            await AuditLog(clinic).verify(service_walk.AUDITOR)
            async for _ in await AuditLog(clinic).export(service_walk.AUDITOR, AuditFilters()):
                pass
        await fan_out.bring_up_to_date(clinic)

    return service_walk.database(tmp_path_factory.mktemp("guards"), fill)


@pytest.fixture
def kept(filled, tmp_path):
    """A copy of the database, opened by the bare driver."""
    with closing(sqlite3.connect(databases.path_of(databases.copy(filled, tmp_path)), isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def engine(filled, tmp_path):
    made = sa.create_engine(databases.copy(filled, tmp_path).database_url)
    yield made
    made.dispose()


def dump(connection, table) -> list[tuple]:
    return connection.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid").fetchall()


def columns(table) -> list[str]:
    return [column.name for column in tables.METADATA.tables[table].columns]


def refused(connection, table, statement, values=()) -> None:
    """The statement fails, and leaves the table as it was."""
    before = dump(connection, table)
    assert before
    with pytest.raises(sqlite3.IntegrityError, match=f"{table} (is append-only|has this row already|can only be erased|has ended)"):
        connection.execute(statement, values)
    assert dump(connection, table) == before


@pytest.mark.parametrize("table", (*RECORDED, *ENDED))
def test_no_column_of_what_was_recorded_can_be_updated(kept, table):
    for column in columns(table):
        refused(kept, table, f"UPDATE {table} SET {column} = {column}")
        refused(kept, table, f"UPDATE OR REPLACE {table} SET {column} = NULL")
    refused(kept, table, f"UPDATE OR REPLACE {table} SET rowid = 1 WHERE rowid = 2")


@pytest.mark.parametrize("table", GUARDED)
def test_nothing_that_was_recorded_can_be_deleted(kept, table):
    refused(kept, table, f"DELETE FROM {table}")
    refused(kept, table, f"DELETE FROM {table} WHERE rowid = 1")


@pytest.mark.parametrize("table", GUARDED)
@pytest.mark.parametrize("verb", ("INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE", "INSERT"))
def test_a_row_cannot_be_replaced_by_inserting_its_key_again(kept, table, verb):
    row = kept.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    refused(kept, table, f"{verb} INTO {table} VALUES ({', '.join('?' * len(row))})", row)


@pytest.mark.parametrize("table", GUARDED)
def test_a_row_cannot_be_replaced_by_an_upsert(kept, table):
    row = kept.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    marks = ", ".join("?" * len(row))
    key = ", ".join(guards.KEYS[table])
    refused(
        kept,
        table,
        f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET organisation = excluded.organisation",
        row,
    )


@pytest.mark.parametrize("table", GUARDED)
def test_a_row_cannot_be_replaced_by_inserting_its_hidden_rowid_under_another_key(kept, table):
    names = columns(table)
    row = list(kept.execute(f"SELECT * FROM {table} LIMIT 1").fetchone())
    for key in guards.KEYS[table]:
        row[names.index(key)] = 99 if key == "seq" else "another"
    if "id" in names:
        row[names.index("id")] = "another"
    marks = ", ".join("?" * (len(row) + 1))
    refused(kept, table, f"INSERT OR REPLACE INTO {table} (rowid, {', '.join(names)}) VALUES ({marks})", [1, *row])


def test_an_entry_cannot_be_replaced_by_inserting_its_id_at_another_place(kept):
    names = columns("entry")
    row = list(kept.execute("SELECT * FROM entry WHERE seq = 2").fetchone())
    row[names.index("seq")] = 99
    refused(kept, "entry", f"INSERT OR REPLACE INTO entry VALUES ({', '.join('?' * len(row))})", row)


def test_an_entry_can_be_erased_and_its_place_stays(kept):
    first = "course_id = (SELECT min(course_id) FROM entry_data) AND seq = 2"
    places = kept.execute("SELECT organisation, course_id, seq FROM entry_data ORDER BY seq").fetchall()
    kept.execute(f"UPDATE entry_data SET salt = NULL, sealed = NULL WHERE {first}")
    assert kept.execute(f"SELECT salt, sealed FROM entry_data WHERE {first}").fetchall() == [(None, None)]
    assert kept.execute("SELECT count(*) FROM entry_data WHERE sealed IS NOT NULL").fetchone() == (len(places) - 1,)
    assert kept.execute("SELECT organisation, course_id, seq FROM entry_data ORDER BY seq").fetchall() == places


@pytest.mark.parametrize(
    "change",
    (
        "salt = NULL",
        "sealed = NULL",
        "sealed = x'7b7d'",
        "salt = NULL, sealed = x'7b7d'",
        "salt = '', sealed = NULL",
        "salt = NULL, sealed = NULL, seq = 99",
        "salt = NULL, sealed = NULL, course_id = 'another'",
        "salt = NULL, sealed = NULL, organisation = 'another'",
        "salt = NULL, sealed = NULL, rowid = 3",
        "salt = salt",
    ),
)
def test_what_was_sealed_can_be_changed_in_no_other_way_than_erasure(kept, change):
    refused(kept, "entry_data", f"UPDATE OR REPLACE entry_data SET {change} WHERE seq = 2")


def test_what_was_erased_cannot_be_written_again(kept):
    salt, sealed = kept.execute("SELECT salt, sealed FROM entry_data WHERE seq = 2").fetchone()
    kept.execute("UPDATE entry_data SET salt = NULL, sealed = NULL WHERE seq = 2")
    refused(kept, "entry_data", "UPDATE entry_data SET salt = ?, sealed = ? WHERE seq = 2", (salt, sealed))


def test_a_text_about_access_can_be_erased_and_changed_in_no_other_way(kept):
    for change in ("salt = NULL", "sealed = NULL", "sealed = x'7b7d'", "salt = NULL, sealed = NULL, kind = 'other'", "salt = salt"):
        refused(kept, "access_text", f"UPDATE OR REPLACE access_text SET {change}")
    kept.execute("UPDATE access_text SET salt = NULL, sealed = NULL")
    assert kept.execute("SELECT DISTINCT salt, sealed FROM access_text").fetchall() == [(None, None)]


def test_a_mark_in_force_can_be_ended_and_gets_no_other_key(kept):
    row = dict(zip(columns("client_mark"), kept.execute("SELECT * FROM client_mark LIMIT 1").fetchone(), strict=True))
    row |= {"id": "in force", "ended_at": None, "ended_by": None}
    kept.execute(f"INSERT INTO client_mark VALUES ({', '.join('?' * len(row))})", list(row.values()))
    for column in guards.KEYS["client_mark"]:
        refused(kept, "client_mark", f"UPDATE client_mark SET {column} = 'another' WHERE id = 'in force'")
    kept.execute("UPDATE client_mark SET ended_at = set_at WHERE id = 'in force'")
    refused(kept, "client_mark", "UPDATE client_mark SET ended_at = NULL WHERE id = 'in force'")


@pytest.mark.parametrize("table", RUNS)
def test_what_still_runs_can_be_changed_and_gets_no_other_key(kept, table):
    row = dict(zip(columns(table), kept.execute(f"SELECT * FROM {table} LIMIT 1").fetchone(), strict=True))
    row |= {"id": "running", "ended_at": None, "outcome": None}
    kept.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row.values()))
    kept.execute(f"UPDATE {table} SET seen_at = started_at WHERE id = 'running'")
    for column in guards.KEYS[table]:
        refused(kept, table, f"UPDATE {table} SET {column} = 'another' WHERE id = 'running'")
    kept.execute(f"UPDATE {table} SET ended_at = started_at WHERE id = 'running'")
    refused(kept, table, f"UPDATE {table} SET ended_at = NULL WHERE id = 'running'")


def test_erasing_twice_is_no_fault(kept):
    for _ in range(2):
        kept.execute("UPDATE entry_data SET salt = NULL, sealed = NULL WHERE seq = 2")


def test_every_guard_is_present_at_head_and_the_tables_are_as_declared(engine):
    with engine.connect() as connection:
        assert revision.current(connection) == revision.HEAD
        assert migrate.missing_guards(connection) == []
        assert migrate.differences(connection) == []


def test_a_guard_that_was_dropped_or_weakened_is_named(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER guard_entry_delete")
        assert migrate.missing_guards(connection) == ["guard_entry_delete"]
        connection.exec_driver_sql(
            "CREATE TRIGGER guard_entry_delete BEFORE DELETE ON entry WHEN 0 BEGIN SELECT RAISE(ABORT, 'entry is append-only'); END"
        )
        assert migrate.missing_guards(connection) == ["guard_entry_delete"]


def test_a_table_that_differs_is_named(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX ix_entry_person")
        assert "ix_entry_person" in "".join(migrate.differences(connection))


def test_the_database_cannot_be_taken_back_to_an_older_version(engine):
    with engine.begin() as connection, pytest.raises(NotImplementedError, match="restore a backup"):
        command.downgrade(migrate._config(connection), "base")


def test_upgrading_twice_changes_nothing(engine):
    listing = sa.text("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    with engine.begin() as connection:
        before = connection.execute(listing).all()
        migrate.upgrade(connection)
        assert connection.execute(listing).all() == before


def test_one_active_course_a_client_is_a_partial_unique_index(engine):
    with engine.connect() as connection:
        found = {index["name"]: index for index in sa.inspect(connection).get_indexes("course")}
    index = found["uq_course_one_active"]
    assert index["unique"]
    assert index["column_names"] == ["organisation", "client_id"]
    assert "active_acute" in str(index["dialect_options"]["sqlite_where"])


def test_a_reader_cannot_write(filled):
    async def attempt():
        database = open_database(filled.database_url)
        try:
            await database.read(lambda connection: connection.exec_driver_sql("DELETE FROM token"))
        finally:
            await database.close()

    with pytest.raises(ReadOnly):
        asyncio.run(attempt())
