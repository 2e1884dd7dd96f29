"""Verification finds every change made behind the service's back, and names the course and the entry."""

import asyncio
import re
import sqlite3
from contextlib import closing, contextmanager

import pytest
from support import databases, service_walk

from ipt_workflow.errors import JournalBroken
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import verification
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import integrity
from ipt_workflow.store.schema import guards, tables

LENGTH = 12
ENTRY = [
    column.name for column in tables.entry.columns if column.name not in {"request_id", "basis", "purpose"}
]  # those are in no hash
ENTRY_DATA = [column.name for column in tables.entry_data.columns]
COURSE = [column.name for column in tables.course.columns if column.name not in integrity.BY_ZONE]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two courses: one of a dozen entries, and beside it one of a single entry."""

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, *service_walk.A_DOZEN)
        await service_walk.open_course(clinic, "EHR-2")

    return service_walk.database(tmp_path_factory.mktemp("verifying"), fill)


class Tampered:
    """A database without guards, a connection that may write anything, and `verify`."""

    def __init__(self, settings, connection, verify) -> None:
        self.settings = settings
        self.verify = verify
        self.connection = connection
        self.course, self.other = (row[0] for row in connection.execute("SELECT id FROM course ORDER BY version DESC"))

    @contextmanager
    def changed(self, table, column, where, new):
        """Changes one cell inside a `with` block."""
        cell = f"SELECT {column}, typeof({column}), rowid FROM {table} WHERE {where}"
        old, kind, rowid = self.connection.execute(cell).fetchone()
        value = new(old)
        if kind == "text" and isinstance(value, bytes):
            self.connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE rowid = ?", (value, rowid))
        else:
            self.connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))
        raw = self.connection.execute(f"SELECT CAST({column} AS BLOB) FROM {table} WHERE rowid = ?", (rowid,)).fetchone()[0]
        assert raw != (old.encode() if isinstance(old, str) else old)
        try:
            yield
        finally:
            self.connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (old, rowid))


@pytest.fixture
def tampered(made, tmp_path):
    settings = databases.copy(made, tmp_path)
    with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA synchronous = OFF")
        for name, _ in guards.sqlite():
            connection.execute(f"DROP TRIGGER {name}")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall():
            connection.execute(f"DROP INDEX {name}")
        with asyncio.Runner() as runner:
            clinic = runner.run(open_clinic(settings, VirtualClock(service_walk.START)))
            yield Tampered(settings, connection, lambda *only, **how: runner.run(verification.verify(clinic, *only, **how)))
            runner.run(clinic.installation.close())


def byte(place, mask=1):
    """Changes one byte of a text, a blob or a number; replaces NULL by a text."""

    def change(old):
        if old is None:
            return "x"
        if isinstance(old, int):
            return old ^ 0x40
        raw = bytearray(old.encode() if isinstance(old, str) else old)
        raw[int(place * (len(raw) - 1))] ^= mask
        return bytes(raw)

    return change


CHANGES = {
    "first byte": byte(0),
    "middle byte": byte(0.5),
    "last byte": byte(1),
    "case": byte(0.5, 0x20),
    "not text": byte(0.5, 0x80),
}


def test_unchanged_courses_verify(tampered):
    found = tampered.verify()
    assert found.ok, found.first_bad
    assert (found.courses, found.checked, found.erased, found.first_bad) == (2, LENGTH + 1, 0, None)


@pytest.mark.parametrize("how", CHANGES)
def test_one_byte_changed_in_any_column_of_any_entry_is_found_and_named(tampered, how):
    for seq in range(1, LENGTH + 1):
        for table, columns in (("entry", ENTRY), ("entry_data", ENTRY_DATA)):
            for column in columns:
                with tampered.changed(table, column, f"seq = {seq} AND course_id = '{tampered.course}'", CHANGES[how]):
                    found = tampered.verify()
                    place = (found.ok, *list((found.first_bad or {}).values())[:2])
                    if (table, column) == ("entry", "course_id"):
                        assert place in {(False, tampered.course, seq), (False, strayed(tampered), 1)}, (column, seq, found)
                    else:
                        assert place == (False, tampered.course, seq), (table, column, found)
    assert tampered.verify().ok


def strayed(tampered) -> str:
    """The id to which one changed entry now belongs."""
    ids = "SELECT CAST(course_id AS BLOB) FROM entry WHERE course_id NOT IN (SELECT id FROM course)"
    return tampered.connection.execute(ids).fetchone()[0].decode(errors="backslashreplace")


@pytest.mark.parametrize("how", CHANGES)
def test_one_byte_changed_in_any_column_of_the_course_row_is_found_and_named(tampered, how):
    for column in COURSE:
        with tampered.changed("course", column, f"id = '{tampered.course}'", CHANGES[how]):
            found = tampered.verify()
            assert not found.ok, column
            if column != "id":
                assert found.first_bad["course"] == tampered.course, column
            assert re.match(r"course(\.\w+)?:", found.first_bad["fault"]), found.first_bad
    assert tampered.verify().ok


@pytest.mark.parametrize("column", ("canonical", "sealed", "snapshot", "version", "salt", "occurred_at", "role"))
def test_an_empty_cell_or_a_value_of_another_type_is_found(tampered, column):
    table = "course" if column in {"snapshot", "version"} else "entry_data" if column in {"sealed", "salt"} else "entry"
    where = f"id = '{tampered.course}'" if table == "course" else f"seq = 3 AND course_id = '{tampered.course}'"
    for value in (b"", "", 7, 1.5):
        with tampered.changed(table, column, where, lambda _old, value=value: value):
            assert not tampered.verify().ok, (column, value)


def run(tampered, statement, *values) -> None:
    assert tampered.connection.execute(statement, values).rowcount > 0


@pytest.mark.parametrize("seq", (1, 5, LENGTH))
def test_a_removed_entry_is_missed(tampered, seq):
    run(tampered, "DELETE FROM entry WHERE seq = ? AND course_id = ?", seq, tampered.course)
    found = tampered.verify()
    assert (found.first_bad["course"], found.first_bad["seq"]) == (tampered.course, seq)


def test_an_entry_removed_with_all_that_came_with_it_is_missed(tampered):
    for table in ("entry", "entry_data", "outbox"):
        run(tampered, f"DELETE FROM {table} WHERE seq = ? AND course_id = ?", LENGTH, tampered.course)
    found = tampered.verify()
    assert found.first_bad == {
        "course": tampered.course,
        "seq": LENGTH,
        "fault": "course.version: it is 12, and there are 11 entries",
    }


def test_a_removed_sealed_document_is_missed_where_nothing_was_erased(tampered):
    run(tampered, "DELETE FROM entry_data WHERE seq = 4 AND course_id = ?", tampered.course)
    found = tampered.verify()
    assert (found.first_bad["course"], found.first_bad["seq"]) == (tampered.course, 4)
    assert "missing" in found.first_bad["fault"]


def test_a_removed_course_row_is_missed(tampered):
    run(tampered, "DELETE FROM course WHERE id = ?", tampered.course)
    assert tampered.verify().first_bad == {"course": tampered.course, "seq": LENGTH, "fault": "course: the row is missing"}


def test_a_course_row_without_entries_is_found(tampered):
    for table in ("entry", "entry_data"):
        run(tampered, f"DELETE FROM {table} WHERE course_id = ?", tampered.course)
    assert tampered.verify().first_bad == {"course": tampered.course, "seq": 1, "fault": "course: there are no entries"}


@pytest.mark.parametrize("table", ("entry", "entry_data"))
def test_swapped_rows_are_found(tampered, table):
    for old, new in ((3, 99), (5, 3), (99, 5)):
        run(tampered, f"UPDATE {table} SET seq = ? WHERE seq = ? AND course_id = ?", new, old, tampered.course)
    found = tampered.verify()
    assert (found.first_bad["course"], found.first_bad["seq"]) == (tampered.course, 3)


def test_swapped_bytes_of_two_entries_are_found(tampered):
    rows = dict(tampered.connection.execute("SELECT seq, canonical FROM entry WHERE course_id = ?", (tampered.course,)))
    for seq, other in ((3, 5), (5, 3)):
        run(tampered, "UPDATE entry SET canonical = ? WHERE seq = ? AND course_id = ?", rows[other], seq, tampered.course)
    assert tampered.verify().first_bad["seq"] == 3


def test_an_added_entry_is_found_even_where_its_chain_is_right(tampered):
    add_forged(tampered)
    found = tampered.verify()
    assert (found.first_bad["course"], found.first_bad["seq"]) == (tampered.course, LENGTH + 1)


def test_an_entry_of_another_course_is_found_in_this_one(tampered):
    names = ", ".join(ENTRY)
    values = ", ".join({"course_id": "?", "seq": str(LENGTH + 1), "id": "'x'"}.get(name, name) for name in ENTRY)
    run(tampered, f"INSERT INTO entry ({names}) SELECT {values} FROM entry WHERE course_id = ?", tampered.course, tampered.other)
    found = tampered.verify()
    assert (found.first_bad["course"], found.first_bad["seq"]) == (tampered.course, LENGTH + 1)


CHAIN_BREAKERS = {
    "bytes": "UPDATE entry SET canonical = replace(canonical, 'api', 'apj') WHERE seq = 3 AND course_id = ?",
    "no bytes of an entry": "UPDATE entry SET canonical = x'00' WHERE seq = 3 AND course_id = ?",
    "the hash": f"UPDATE entry SET hash = '{'0' * 64}' WHERE seq = 3 AND course_id = ?",
    "an entry missing": "DELETE FROM entry WHERE seq = 3 AND course_id = ?",
}
NOT_OF_THE_CHAIN = {
    "a sealed document": "UPDATE entry_data SET sealed = x'00' WHERE seq = 3 AND course_id = ?",
    "an erased document": "UPDATE entry_data SET sealed = NULL, salt = NULL WHERE seq = 3 AND course_id = ?",
    "a column": "UPDATE entry SET trigger = 'x' WHERE seq = 3 AND course_id = ?",
    "a fold": "UPDATE course SET state = 'final' WHERE id = ?",
}


@pytest.mark.parametrize("breaker", CHAIN_BREAKERS.values(), ids=CHAIN_BREAKERS)
def test_chains_alone_find_what_breaks_a_chain(tampered, breaker):
    run(tampered, breaker, tampered.course)
    found = tampered.verify(chains_only=True)
    assert (found.ok, found.first_bad["course"], found.first_bad["seq"]) == (False, tampered.course, 3)


@pytest.mark.parametrize("change", NOT_OF_THE_CHAIN.values(), ids=NOT_OF_THE_CHAIN)
def test_chains_alone_check_nothing_else_and_say_so(tampered, change):
    run(tampered, change, tampered.course)
    found = tampered.verify(chains_only=True)
    assert (found.ok, found.courses, found.checked, found.erased) == (True, 2, LENGTH + 1, None)


def test_chains_alone_count_a_course_that_has_no_entries(tampered):
    run(tampered, "DELETE FROM entry WHERE course_id = ?", tampered.other)
    found = tampered.verify(chains_only=True)
    assert (found.ok, found.courses, found.checked) == (True, 2, LENGTH)


def test_an_entry_of_another_course_breaks_the_chain_it_was_put_into(tampered):
    names = ", ".join(ENTRY)
    values = ", ".join({"course_id": "?", "seq": str(LENGTH + 1), "id": "'x'"}.get(name, name) for name in ENTRY)
    run(tampered, f"INSERT INTO entry ({names}) SELECT {values} FROM entry WHERE course_id = ?", tampered.course, tampered.other)
    assert tampered.verify(chains_only=True).first_bad["seq"] == LENGTH + 1


def test_chains_alone_can_be_those_of_one_course(tampered):
    run(tampered, CHAIN_BREAKERS["bytes"], tampered.course)
    assert not tampered.verify(tampered.course, chains_only=True).ok
    found = tampered.verify(tampered.other, chains_only=True)
    assert (found.ok, found.courses, found.checked) == (True, 1, 1)


async def five(clinic) -> None:
    """Courses of one entry, of two, up to five."""
    for number in range(5):
        await service_walk.walk(clinic, await service_walk.open_course(clinic, f"EHR-{number}"), *service_walk.A_DOZEN[:number])


@pytest.mark.parametrize("gone", (range(1), range(1, 2), range(3, 4), range(4, 5), range(1, 4), range(4), range(5)), ids=str)
@pytest.mark.parametrize("entries", (4, 1000))
def test_chains_of_courses_whose_rows_are_missing_are_checked_wherever_they_are(tmp_path, monkeypatch, gone, entries):
    monkeypatch.setattr(verification, "CHAIN_BATCH_COURSES", 2)
    monkeypatch.setattr(verification, "LISTED_COURSES", 3)
    monkeypatch.setattr(verification, "ENTRIES_MAX", entries)

    settings = service_walk.database(tmp_path, five)
    with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM course ORDER BY id")]
        connection.executemany("DELETE FROM course WHERE id = ?", [(ids[number],) for number in gone])
        found = service_walk.with_clinic(settings, lambda clinic: verification.verify(clinic, chains_only=True))
        assert (found.ok, found.courses, found.checked) == (True, 5, 5 + sum(range(5)))
        connection.execute("DROP TRIGGER guard_entry_update")
        connection.execute("UPDATE entry SET hash = 'x' WHERE course_id = ?", (ids[gone[-1]],))
    found = service_walk.with_clinic(settings, lambda clinic: verification.verify(clinic, chains_only=True))
    assert (found.ok, found.first_bad["course"], found.first_bad["seq"]) == (False, ids[gone[-1]], 1)


def test_no_query_reads_more_entries_than_the_maximum_even_if_rows_are_missing(made, tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "ENTRIES_MAX", 5)
    settings, read = databases.copy(made, tmp_path), []
    with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
        connection.execute("DELETE FROM course WHERE id < (SELECT max(id) FROM course)")

    async def test(clinic):
        fetch = clinic.database.fetch

        async def counted(sql, *args):
            rows = await fetch(sql, *args)
            read.append(({row[2] for row in rows}, len(rows)))
            return rows

        monkeypatch.setattr(clinic.database, "fetch", counted)
        return await verification.verify(clinic, chains_only=True)

    found = service_walk.with_clinic(settings, test)
    assert (found.ok, found.courses, found.checked) == (True, 2, LENGTH + 1)
    assert all(len(courses) == 1 or count <= 5 for courses, count in read), read


def test_a_damaged_id_after_which_no_other_comes_is_reported(tampered):
    first = f"seq = 1 AND course_id = '{tampered.course}'"
    with tampered.changed("entry", "course_id", first, lambda _old: b"\xff"), pytest.raises(JournalBroken, match="not as it was"):
        tampered.verify(chains_only=True)


def test_chains_hold_on_either_database_and_by_one_process_or_two(database_url, monkeypatch):
    monkeypatch.setattr(verification, "CHAIN_BATCH_COURSES", 2)
    monkeypatch.setattr(verification, "LISTED_COURSES", 3)

    async def both(clinic):
        await five(clinic)
        return [await verification.verify(clinic, processes=processes, chains_only=True) for processes in (1, 2)]

    alone, shared = service_walk.with_clinic(databases.settings_of(database_url), both)
    assert (alone.ok, alone.courses, alone.checked) == (True, 5, 5 + sum(range(5)))
    assert shared == alone


def test_several_processes_find_the_same_first_bad_entry_as_one(made, tmp_path):
    settings = databases.copy(made, tmp_path)

    async def both(clinic):
        return await verification.verify(clinic), await verification.verify(clinic, processes=2)

    alone, shared = service_walk.with_clinic(settings, both)
    assert alone.ok
    assert shared == alone
    with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
        connection.execute("UPDATE course SET state = 'final'")
    alone, shared = service_walk.with_clinic(settings, both)
    assert not alone.ok
    assert shared == alone


def add_forged(tampered) -> None:
    """An entry made by somebody who knows the format: its columns, its links and its document fit."""
    from ipt_workflow.course.drafts import Draft
    from ipt_workflow.course.facts import EntryActor, Fact
    from ipt_workflow.journal import read, seal
    from ipt_workflow.store.commits import rows

    last = read(
        tampered.connection.execute(
            "SELECT canonical FROM entry WHERE course_id = ? AND seq = ?", (tampered.course, LENGTH)
        ).fetchone()[0],
        salt=None,
        sealed=None,
    )
    at = last.written.recorded_at
    fact = Fact(course=tampered.course, seq=LENGTH + 1, trigger="note", actor=EntryActor("x", "therapist", "api"), cosigned_by=None,
                occurred_at=at, recorded_at=at, data={}, protocol_digest=last.written.protocol_digest, overridden=(), contradicts=())  # fmt: skip
    draft = Draft(fact=fact, from_=last.written.to, to=last.written.to, given={"text": "x"})
    forged = seal(draft, organisation="default", entry_id="x", prev_hash=last.hash, salt=b"1" * 16)
    times = {"occurred_at": at.strftime("%Y-%m-%d %H:%M:%S.%f"), "recorded_at": at.strftime("%Y-%m-%d %H:%M:%S.%f")}
    values = {**rows.entry_columns(forged), **times, "canonical": forged.canonical}
    run(tampered, f"INSERT INTO entry ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", *values.values())
    run(tampered, "INSERT INTO entry_data VALUES ('default', ?, ?, ?, ?)", tampered.course, LENGTH + 1, forged.salt, forged.sealed)


def test_the_first_of_several_bad_entries_is_named(tampered):
    run(tampered, "UPDATE entry SET person = 'x' WHERE seq = 9 AND course_id = ?", tampered.course)
    run(tampered, "UPDATE entry_data SET sealed = x'00' WHERE seq = 4 AND course_id = ?", tampered.course)
    assert tampered.verify().first_bad["seq"] == 4


def test_erased_entries_are_counted_and_are_no_fault(tampered):
    run(tampered, "UPDATE entry_data SET salt = NULL, sealed = NULL WHERE seq IN (3, 7) AND course_id = ?", tampered.course)
    found = tampered.verify()
    assert found.ok, found.first_bad
    assert found.erased == 2


@pytest.mark.parametrize("half", ("salt", "sealed"))
def test_a_half_erased_entry_is_a_fault(tampered, half):
    run(tampered, f"UPDATE entry_data SET {half} = NULL WHERE seq = 3 AND course_id = ?", tampered.course)
    assert tampered.verify().first_bad["seq"] == 3


def test_one_course_can_be_verified_alone(tampered):
    run(tampered, "UPDATE entry SET person = 'x' WHERE seq = 9 AND course_id = ?", tampered.course)
    assert tampered.verify(tampered.other).ok
    assert not tampered.verify(tampered.course).ok


def test_progress_counts_courses(tampered):
    counts = []
    tampered.verify(None, counts.append)
    assert sum(counts) == 2


def test_blanks_put_into_a_salt_are_found(tampered):
    run(tampered, "UPDATE entry_data SET salt = salt || ' ' WHERE seq = 3 AND course_id = ?", tampered.course)
    assert tampered.verify().first_bad["seq"] == 3
