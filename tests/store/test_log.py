"""Positions in the log: every entry and every record gets one, after commit, and the tree over them is that of their leaves."""

import asyncio
import hashlib

import pytest
import sqlalchemy as sa
from support import service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof import ipt_verify, leaves
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import events, log
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.schema import tables

NOTE = Command("note", {"text": "She called."})


def scene(url: str, test):
    async def inside():
        async with service_walk.opened(configuration.load({"IPT_DATABASE_URL": url}), VirtualClock(service_walk.START)) as clinic:
            await test(clinic)

    asyncio.run(inside())


async def all_leaves(clinic):
    await fan_out.bring_up_to_date(clinic)
    return await clinic.read(log.leaves, 0, await clinic.read(log.size))


async def rows(clinic, table):
    return [row._mapping for row in await clinic.database.read(lambda connection: connection.execute(sa.select(table)).all())]


async def some_records(clinic, reads: int = 3, course: str | None = None) -> str:
    course = course or await service_walk.open_course(clinic)
    for _ in range(reads):
        await service_walk.fire(clinic, course, NOTE)
        await CourseReads(clinic).course(service_walk.THERAPIST, course)
    return course


def test_every_entry_and_every_record_has_one_position_without_a_gap(database_url):
    async def test(clinic):
        course = await some_records(clinic)
        found = await all_leaves(clinic)
        assert [each.position for each in found] == list(range(len(found)))
        assert [each.seq for each in found if each.kind == "entry"] == [1, 2, 3, 4]
        assert {each.course for each in found if each.kind == "entry"} == {course}
        records = await rows(clinic, tables.audit_event)
        assert {each.record for each in found if each.kind == "record"} == {row["id"] for row in records}
        assert not await clinic.read(log.waiting)

    scene(database_url, test)


def test_a_leaf_holds_the_hash_of_what_it_names(database_url):
    async def test(clinic):
        await some_records(clinic)
        found = await all_leaves(clinic)
        of_entries = {(row["course_id"], row["seq"]): row["canonical"] for row in await rows(clinic, tables.entry)}
        of_records = {row["id"]: row["canonical"] for row in await rows(clinic, tables.audit_event)}
        for each in found:
            named = of_records[each.record] if each.kind == "record" else of_entries[each.course, each.seq]
            assert each.hash == hashlib.sha256(named).hexdigest()

    scene(database_url, test)


def test_the_bytes_of_a_leaf_are_those_of_the_document():
    of_entry = leaves.Leaf(position=7, kind="entry", hash="ab", course="c-1", seq=3)
    of_record = leaves.Leaf(position=8, kind="record", hash="cd", record="r-1")
    assert of_entry.canonical() == b'{"course":"c-1","hash":"ab","kind":"entry","position":7,"seq":3}'
    assert of_record.canonical() == b'{"hash":"cd","kind":"record","position":8,"record":"r-1"}'


def test_the_tree_is_that_of_the_leaves_however_they_came(database_url):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        roots = {}
        for _ in range(6):
            await service_walk.fire(clinic, course, NOTE)
            await CourseReads(clinic).course(service_walk.THERAPIST, course)
            await fan_out.bring_up_to_date(clinic)
            size = await clinic.read(log.size)
            roots[size] = await clinic.read(log.root, size)
        hashes = leaves.hashes(await all_leaves(clinic))
        assert roots == {size: ipt_verify.root_of(hashes[:size]) for size in roots}
        newest = max(roots)
        for position in range(newest):
            proof = await clinic.read(log.inclusion, position, newest)
            ipt_verify.check_inclusion(position, newest, hashes[position], proof, roots[newest])
        for size, root in roots.items():
            proof = await clinic.read(log.consistency, size, newest)
            ipt_verify.check_consistency(size, newest, proof, root, roots[newest])

    scene(database_url, test)


def test_more_than_a_tile_is_appended_at_once(database_url):
    async def test(clinic):
        waiting = [
            {
                "organisation": "default",
                "id": f"{n:036}",
                "course_id": None,
                "seq": None,
                "hash": f"{n:064}",
                "created_at": service_walk.START,
            }
            for n in range(600)
        ]
        await clinic.database.write(lambda connection: connection.execute(sa.insert(tables.log_outbox), waiting))
        for limit in (255, 2, 300):
            await clinic.write(log.append, range(0), limit)
        found = await clinic.read(log.leaves, 0, 1000)
        assert len(found) == 557
        assert await clinic.read(log.root, 557) == ipt_verify.root_of(leaves.hashes(found))
        assert set(await clinic.read(log.tiles, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)])) == {(0, 0), (0, 1), (0, 2), (1, 0)}

    scene(database_url, test)


def test_what_fails_leaves_neither_positions_nor_events(database_url):
    async def test(clinic):
        course = await some_records(clinic)
        await fan_out.bring_up_to_date(clinic)
        await some_records(clinic, course=course)
        before = [await rows(clinic, each) for each in (tables.log_leaf, tables.log_tile, tables.log_head, tables.event)]

        def fails(connection, organisation):
            events.number_events(connection, organisation, 100)
            raise LookupError

        with pytest.raises(LookupError):
            await clinic.write(fails)
        assert before == [await rows(clinic, each) for each in (tables.log_leaf, tables.log_tile, tables.log_head, tables.event)]

    scene(database_url, test)


def test_processes_that_number_at_once_give_every_leaf_one_position(database_url):
    async def test(clinic):
        await some_records(clinic, 10)
        await asyncio.gather(*(fan_out.bring_up_to_date(clinic) for _ in range(5)))
        found = await all_leaves(clinic)
        assert [each.position for each in found] == list(range(len(found)))
        assert await clinic.read(log.root, len(found)) == ipt_verify.root_of(leaves.hashes(found))

    scene(database_url, test)


def test_what_a_version_without_a_log_wrote_gets_its_positions_after_the_upgrade(database_url):
    """That version also numbers events while the new one starts."""

    async def test(clinic):
        await some_records(clinic)
        before = await rows(clinic, tables.audit_event)

        def as_before(connection):
            connection.execute(sa.delete(tables.log_outbox))
            connection.execute(sa.delete(tables.outbox))
            old = dict(before[0]) | {"id": "0197c8f3-2244-7d10-a0b1-6c2e8f9d0e77", "canonical": None, "hash": None}
            connection.execute(sa.insert(tables.audit_event), old)

        await clinic.database.write(as_before)
        assert await all_leaves(clinic) == []
        for _ in range(2):  # and again when nothing is left
            await clinic.database.write(log.enter_earlier, ["default"])
            found = await all_leaves(clinic)
        assert {each.record for each in found if each.kind == "record"} == {each["id"] for each in before} | {
            "0197c8f3-2244-7d10-a0b1-6c2e8f9d0e77"
        }
        assert [each.seq for each in found if each.kind == "entry"] == [1, 2, 3, 4]

    scene(database_url, test)


def test_a_record_of_before_that_was_removed_meanwhile_stops_nothing(database_url):
    async def test(clinic):
        gone = {
            "organisation": "default",
            "id": "0197c8f3-2244-7d10-a0b1-6c2e8f9d0e77",
            "course_id": None,
            "seq": None,
            "hash": None,
            "created_at": service_walk.START,
        }
        await clinic.database.write(lambda connection: connection.execute(sa.insert(tables.log_outbox), gone))
        assert await all_leaves(clinic) == []
        await some_records(clinic)
        assert [each.position for each in await all_leaves(clinic)] == list(range(7))

    scene(database_url, test)


def test_a_record_of_before_has_the_hash_that_todays_code_would_give_it(database_url):
    async def test(clinic):
        await some_records(clinic)
        (new, *_) = [each for each in await rows(clinic, tables.audit_event) if each["kind"] == "read"]
        found = await clinic.database.read(lambda connection: log._hashes_of_before(connection, "default", [new["id"]]))
        assert found == {new["id"]: new["hash"]}

    scene(database_url, test)


def test_the_log_is_no_event_for_subscribers(database_url):
    async def test(clinic):
        await some_records(clinic)
        await all_leaves(clinic)
        assert {each["kind"] for each in await rows(clinic, tables.event)} == {"entry"}
        page = await AuditLog(clinic).page(service_walk.AUDITOR, AuditFilters(), Position(), 100)
        assert {each.kind for each in page} == {"transition", "read"}

    scene(database_url, test)


@pytest.mark.parametrize(
    "statement",
    (
        "UPDATE log_leaf SET hash = 'x'",
        "DELETE FROM log_leaf",
        "UPDATE log_tile SET hashes = substr(hashes, 2)",
        "DELETE FROM log_tile",
        "UPDATE log_head SET size = size - 1",
        "DELETE FROM log_head",
    ),
)
def test_the_database_refuses_what_would_change_the_log(database_url, statement):
    async def test(clinic):
        await some_records(clinic)
        await all_leaves(clinic)
        with pytest.raises(sa.exc.IntegrityError, match=r"append-only|only grows"):
            await clinic.database.write(lambda connection: connection.exec_driver_sql(statement))

    scene(database_url, test)
