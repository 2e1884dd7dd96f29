"""Checking a slice of the log finds whatever somebody did with the database's password, and where; on both databases."""

import asyncio

import pytest
from support import checkpoints, service_walk, tampering

from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import log, log_checks

NOTE = Command("note", {"text": "She called."})
ENTRY = "FROM log_leaf WHERE kind = 'entry' AND seq = 3"
RECORD = "FROM log_leaf WHERE kind = 'record' AND position > 3 ORDER BY position LIMIT 1"


@pytest.fixture
def scene(database_url):
    """Runs a test on a clinic with a course of five entries, records and two checkpoints, of which `kept` is the first."""

    def run(test):
        async def inside():
            settings = configuration.load({"IPT_DATABASE_URL": database_url})
            async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
                course = await service_walk.open_course(clinic)
                await service_walk.fire(clinic, course, NOTE)
                kept = ipt_verify.read_checkpoint((await checkpoints.sign(clinic)).text)
                for _ in range(3):
                    await service_walk.fire(clinic, course, NOTE)
                    await CourseReads(clinic).course(service_walk.THERAPIST, course)
                await checkpoints.sign(clinic)
                await test(clinic, course, kept)

        asyncio.run(inside())

    return run


async def position(clinic, of: str) -> int:
    return await clinic.database.read(lambda connection: connection.exec_driver_sql(f"SELECT position {of}").scalar())


async def found(clinic, start=0, **how):
    return (await clinic.read(log_checks.check_slice, start, **how)).fault


def test_an_honest_log_holds_from_everywhere(scene):
    async def test(clinic, course, kept):
        size = await clinic.read(log.size)
        for start in range(size + 1):
            for whole in (True, False):
                checked = await clinic.read(log_checks.check_slice, start, whole=whole)
                assert (checked.end, checked.size, checked.fault) == (size, size, None)
        assert await clinic.read(log_checks.check_kept, kept) is None
        assert await clinic.read(log_checks.unlogged, [course]) is None

    scene(test)


CANONICAL = {
    "sqlite": "CAST(replace(CAST(canonical AS TEXT), '{old}', '{new}') AS BLOB)",
    "postgresql": "convert_to(replace(convert_from(canonical, 'UTF8'), '{old}', '{new}'), 'UTF8')",
}
TAMPERED = {
    "an entry's bytes": ("UPDATE entry SET canonical = {canonical} WHERE seq = 3", ENTRY, "canonical|hash|trigger", True),
    "an entry's hash": ("UPDATE entry SET hash = (SELECT e.hash FROM entry e WHERE e.seq = 2) WHERE seq = 3", ENTRY, "hash", False),
    "a column": ("UPDATE entry SET person = 'other' WHERE seq = 3", ENTRY, "person", True),
    "a sealed document": ("UPDATE entry_data SET sealed = (SELECT d.sealed FROM entry_data d WHERE d.seq = 1) WHERE seq = 3", ENTRY, "sealed", True),
    "an entry left out": ("DELETE FROM entry WHERE seq = 3", ENTRY, "entry: it is missing", False),
    "a record's column": ("UPDATE audit_event SET person = 'other' WHERE id = (SELECT record_id {record})", RECORD, "column differs", False),
    "a record's bytes": ("UPDATE audit_event SET canonical = {recorded} WHERE id = (SELECT record_id {record})", RECORD, "not the one", False),
    "a record left out": ("DELETE FROM audit_event WHERE id = (SELECT record_id {record})", RECORD, "record is missing", False),
    "a leaf": ("UPDATE log_leaf SET hash = (SELECT hash FROM entry WHERE seq = 2) WHERE kind = 'entry' AND seq = 3", ENTRY, "hash", False),
    "a leaf left out": ("DELETE FROM log_leaf WHERE kind = 'entry' AND seq = 3", None, "leaf is missing", False),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_is_found_at_its_position(scene, what):
    statement, where, fault, only_whole = TAMPERED[what]

    async def test(clinic, course, kept):
        dialect = clinic.database.dialect
        canonical, recorded = (
            CANONICAL[dialect].format(old=old, new=new) for old, new in (("note", "nate"), (service_walk.THERAPIST.person, "other"))
        )
        expected = await position(clinic, where or ENTRY)
        children = ("DELETE FROM entry_data WHERE seq = 3",) if what == "an entry left out" else ()
        if what == "a record left out":
            children = (f"DELETE FROM audit_subject WHERE event_id = (SELECT record_id {RECORD})",)
        await tampering.run(clinic, *children, statement.format(canonical=canonical, recorded=recorded, record=RECORD))
        seen = await found(clinic)
        assert (seen.position, any(each in seen.fault for each in fault.split("|"))) == (expected, True), seen
        assert (await found(clinic, whole=False) is None) == only_whole

    scene(test)


def test_an_end_that_was_cut_off_with_the_row_set_right_is_found(scene):
    async def test(clinic, course, kept):
        await tampering.run(
            clinic,
            "DELETE FROM entry_data WHERE seq = 5",
            "DELETE FROM entry WHERE seq = 5",
            "UPDATE course SET version = 4",
        )
        seen = await found(clinic)
        assert (seen.course, seen.seq, seen.fault) == (course, 5, "entry: it is missing")

    scene(test)


def test_an_end_that_was_cut_off_with_its_leaf_and_head_is_found_by_what_was_signed(scene):
    async def test(clinic, course, kept):
        at = await position(clinic, "FROM log_leaf WHERE kind = 'entry' AND seq = 5")
        await tampering.run(
            clinic,
            "DELETE FROM entry_data WHERE seq = 5",
            "DELETE FROM entry WHERE seq = 5",
            "UPDATE course SET version = 4",
            f"DELETE FROM log_leaf WHERE position >= {at}",
            f"UPDATE log_head SET size = {at}",
        )
        assert await found(clinic) is None  # as far as it goes
        newest = kept._replace(size=at + 1)
        assert f"it has {at} leaves" in (await clinic.read(log_checks.check_kept, newest)).fault

    scene(test)


def test_a_course_whose_row_is_behind_its_entries_is_found(scene):
    async def test(clinic, course, kept):
        await tampering.run(clinic, "UPDATE course SET version = 4")
        assert "course.version: it is 4, and the last entry is 5" in (await found(clinic)).fault

    scene(test)


def test_an_entry_that_was_put_in_without_a_position_is_found(scene):
    async def test(clinic, course, kept):
        await tampering.run(clinic, "DELETE FROM log_leaf WHERE kind = 'entry' AND seq = 5")
        assert await clinic.read(log_checks.unlogged, [course]) == (course, 5)

    scene(test)


def test_an_entry_that_waits_for_its_position_is_no_fault(scene):
    async def test(clinic, course, kept):
        await service_walk.fire(clinic, course, NOTE)
        assert await clinic.read(log_checks.unlogged, [course]) is None
        assert await found(clinic) is None
        await fan_out.bring_up_to_date(clinic)
        assert await clinic.read(log_checks.unlogged, [course]) is None

    scene(test)


def test_another_history_than_the_kept_one_is_found(scene):
    async def test(clinic, course, kept):
        other = kept._replace(root=b"x" * 32)
        assert "does not begin with" in (await clinic.read(log_checks.check_kept, other)).fault

    scene(test)


def test_a_log_that_was_made_anew_from_other_entries_is_not_the_one_that_was_signed(scene):
    async def test(clinic, course, kept):
        tiles = await clinic.read(log.tiles, [(0, 0)])
        size = await clinic.read(log.size)
        changed = bytes([tiles[0, 0][0] ^ 1]) + tiles[0, 0][1:]
        hexadecimal = changed.hex()
        literal = f"X'{hexadecimal}'" if clinic.database.dialect == "sqlite" else f"'\\x{hexadecimal}'"
        await tampering.run(clinic, f"UPDATE log_tile SET hashes = {literal} WHERE level = 0".replace(":", "\\:"))
        assert "does not hold the hash of the leaf" in (await found(clinic)).fault
        assert "does not begin with" in (await clinic.read(log_checks.check_kept, kept)).fault
        assert "not the one that was signed" in (await found(clinic, start=size - 1)).fault

    scene(test)


def test_leaves_after_the_end_are_found(scene):
    async def test(clinic, course, kept):
        await tampering.run(clinic, "UPDATE log_head SET size = size - 1")
        assert "more leaves than it says" in (await found(clinic)).fault

    scene(test)
