"""A row that another transaction holds makes its own course wait, and nobody else."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Busy
from ipt_workflow.service.audit import verification
from ipt_workflow.store.committer import Committer
from ipt_workflow.store.lookups import VERSIONS
from ipt_workflow.store.schema import row_security

NOTE = Command("note", {"text": "She called."})
RELINK = Command("relink_client", {"client_ref": "EHR-other", "kind": "wrong_client"}, reason="Registered twice.")
COURSES = 5
PATIENCE = 20.0  # far longer than the test takes: who waits for the row waits until it is free


@pytest.fixture(scope="module")
def filled(tmp_path_factory, postgres):
    async def fill(clinic):
        for number in range(COURSES):
            await service_walk.open_course(clinic, f"EHR-{number}")

    return service_walk.database(tmp_path_factory.mktemp("held"), fill, postgres)


@pytest.fixture
def run(filled, tmp_path):
    """Runs a test with a clinic, its courses, and a function that locks rows of courses from elsewhere."""
    settings = databases.copy(filled, tmp_path)

    def run(test, patience: float = PATIENCE):
        async def inside(clinic):
            clinic.committer = Committer(clinic.database, queue_max=100, batch_max=64, patience=patience)
            listed = await clinic.database.read(lambda c: list(c.exec_driver_sql("SELECT id FROM course ORDER BY id").scalars()))
            await test(clinic, listed)
            assert (await verification.verify(clinic)).ok

        service_walk.with_clinic(settings, inside)

    return run


@asynccontextmanager
async def locked(clinic, *courses: str):
    """Holds rows of courses in a transaction of another client, as a process that hangs would."""
    connection = await asyncpg.connect(clinic.settings.database_url, server_settings={row_security.SETTING: clinic.organisation})
    transaction = connection.transaction()
    await transaction.start()
    await connection.fetch("SELECT 1 FROM course WHERE id = ANY($1) FOR UPDATE", list(courses))
    try:
        yield
    finally:
        await transaction.rollback()
        await connection.close()


async def version(clinic, course: str) -> int:
    return (await clinic.database.find(VERSIONS, clinic.organisation, [course]))[course]


def writing(clinic, course: str, command: Command = NOTE) -> asyncio.Task:
    principal = service_walk.SUPERVISOR if command is RELINK else service_walk.THERAPIST
    return asyncio.create_task(service_walk.fire(clinic, course, command, principal))


def test_the_others_are_written_while_one_course_waits_for_its_row(run):
    async def test(clinic, courses):
        async with locked(clinic, courses[0]):
            tasks = [writing(clinic, course) for course in courses]
            await asyncio.gather(*tasks[1:])
            assert [await version(clinic, course) for course in courses] == [1, 2, 2, 2, 2]
            await asyncio.gather(*(writing(clinic, course) for course in courses[1:]))
            assert not tasks[0].done()
        await tasks[0]
        assert [await version(clinic, course) for course in courses] == [2, 3, 3, 3, 3]

    run(test)


def test_records_of_reads_wait_for_no_row(run):
    async def test(clinic, courses):
        async with locked(clinic, *courses):
            tasks = [writing(clinic, course) for course in courses]
            await asyncio.sleep(0)  # the units are under way
            for course in courses:
                await clinic.log(service_walk.THERAPIST, "read", "course", [course])
            assert not any(task.done() for task in tasks)
        await asyncio.gather(*tasks)
        assert {await version(clinic, course) for course in courses} == {2}

    run(test)


def test_who_waits_for_a_locked_row_is_answered_in_time(run):
    async def test(clinic, courses):
        async with locked(clinic, courses[0]):
            with pytest.raises(Busy):  # `Locked`, or on a slow machine that it waited too long
                await writing(clinic, courses[0])
        clinic.committer._patience = PATIENCE
        await writing(clinic, courses[0])
        assert await version(clinic, courses[0]) == 2

    run(test, patience=1.0)


def test_later_writes_of_a_locked_course_wait_behind_it_in_their_order(run):
    async def test(clinic, courses):
        async with locked(clinic, courses[0]):
            tasks = [writing(clinic, courses[0])]
            while not clinic.committer._held.count:
                await asyncio.sleep(0.01)
            tasks += [writing(clinic, courses[0]) for _ in range(3)]
            await writing(clinic, courses[1])
            assert clinic.committer._held.count == 4
        done = await asyncio.gather(*tasks)
        assert sorted(each.entries[-1].seq for each in done) == [2, 3, 4, 5]
        assert clinic.committer._held.count == 0

    run(test)


def test_a_write_that_goes_alone_waits_beside_the_others_too(run):
    async def test(clinic, courses):
        async with locked(clinic, courses[0]):
            alone = writing(clinic, courses[0], RELINK)
            await asyncio.sleep(0)
            await asyncio.gather(*(writing(clinic, course) for course in courses[1:]))
            assert not alone.done()
        await alone
        assert await version(clinic, courses[0]) == 2

    run(test)


def test_more_than_the_queue_holds_is_refused_whether_it_is_held_or_not(run):
    async def test(clinic, courses):
        clinic.committer = Committer(clinic.database, queue_max=2, batch_max=64, patience=PATIENCE)
        async with locked(clinic, courses[0]):
            tasks = [writing(clinic, courses[0])]
            while not clinic.committer._held.count:
                await asyncio.sleep(0.01)
            tasks.append(writing(clinic, courses[0]))
            while clinic.committer._held.count < 2:
                await asyncio.sleep(0.01)
            with pytest.raises(Busy):
                await writing(clinic, courses[1])
        await asyncio.gather(*tasks)

    run(test)


def test_closing_waits_for_what_is_held(run):
    async def test(clinic, courses):
        async with locked(clinic, courses[0]):
            task = writing(clinic, courses[0])
            while not clinic.committer._held.count:
                await asyncio.sleep(0.01)
            closing = asyncio.create_task(clinic.committer.close())
            await asyncio.sleep(0.05)
            assert not closing.done()
        await closing
        assert (await task).entries[-1].seq == 2

    run(test)


def test_everybody_is_answered_in_time_where_the_whole_table_is_locked(run):
    """Each waits in the queue for the patience at most, and is then tried for as long. A minute is far more."""

    async def test(clinic, courses):
        connection = await asyncpg.connect(
            clinic.settings.database_url, server_settings={row_security.SETTING: clinic.organisation}
        )
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("LOCK TABLE course IN EXCLUSIVE MODE")
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*(writing(clinic, course) for course in courses), return_exceptions=True)
            await clinic.log(service_walk.THERAPIST, "read", "course", courses)
        assert {isinstance(each, Busy) for each in answers} == {True}
        await transaction.rollback()
        await connection.close()

    run(test, patience=0.5)
