"""The committer: waiting units share a transaction, each wins or loses alone, and no failure affects another unit."""

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Busy, StaleVersion, Unreachable
from ipt_workflow.service.audit import verification
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.commits import single
from ipt_workflow.store.committer import Committer
from ipt_workflow.store.schema import tables

NOTE = Command("note", {"text": "She called."})
COURSES = 6


@pytest.fixture(scope="module")
def filled(tmp_path_factory, server):
    async def fill(clinic):
        for number in range(COURSES):
            await service_walk.open_course(clinic, f"EHR-{number}")

    return service_walk.database(tmp_path_factory.mktemp("committer"), fill, server)


@pytest.fixture
def store(filled, tmp_path):
    """Runs an async test with an open clinic on a database of a few courses."""
    settings = databases.copy(filled, tmp_path)
    return lambda test: service_walk.with_clinic(settings, test)


async def ids(clinic) -> list[str]:
    return await clinic.database.read(
        lambda c: list(c.execute(sa.select(tables.course.c.id).order_by(tables.course.c.id)).scalars())
    )


async def versions(clinic) -> dict[str, int]:
    return dict(
        await clinic.database.read(lambda c: list(map(tuple, c.execute(sa.select(tables.course.c.id, tables.course.c.version)))))
    )


class Watched:
    """A database that records the size of batches, and fails as often as `failures` says: before or after the write."""

    def __init__(self, database, failures=()):
        self._database = database
        self.failures = list(failures)
        self.batches = []

    async def put(self, units, events):
        self.batches.append((len(units), len(events)))
        if self.failures:
            before, error = self.failures.pop(0)
            if not before:
                await self._database.put(units, events)
            raise error
        return await self._database.put(units, events)

    def __getattr__(self, name):
        return getattr(self._database, name)


def watch(clinic, *failures, patience=2.0, queue_max=100) -> Watched:
    """Puts a watched database under the clinic's committer."""
    watched = Watched(clinic.database, failures)
    clinic.committer = Committer(watched, queue_max=queue_max, batch_max=64, patience=patience)
    return watched


async def notes(clinic, courses, **more):
    return await asyncio.gather(*(service_walk.fire(clinic, course, NOTE, **more) for course in courses), return_exceptions=True)


def test_what_waits_shares_a_transaction(store):
    async def test(clinic):
        watched = watch(clinic)
        courses = await ids(clinic)
        await notes(clinic, courses)
        assert max(units for units, _ in watched.batches) > 1
        assert sum(units for units, _ in watched.batches) == COURSES
        assert await versions(clinic) == dict.fromkeys(courses, 2)
        assert (await verification.verify(clinic)).ok

    store(test)


def test_an_answer_is_made_while_the_database_writes(store, monkeypatch):
    async def test(clinic):
        order = []
        seen = clinic.course_view

        class Slow(Watched):
            async def put(self, units, events):
                order.append("writing")
                won = await self._database.put(units, events)
                order.append("written")
                return won

        def view(*given):
            order.append("answering")
            return seen(*given)

        clinic.committer = Committer(Slow(clinic.database), queue_max=100, batch_max=64, patience=2.0)
        monkeypatch.setattr(clinic, "course_view", view)
        await service_walk.fire(clinic, (await ids(clinic))[0], NOTE)
        assert order == ["writing", "answering", "written"]

    store(test)


def test_an_answer_that_was_made_is_not_given_where_the_unit_has_lost(store):
    async def test(clinic):
        watch(clinic, (True, Busy("It is busy.")), patience=0.0)
        course = (await ids(clinic))[0]
        with pytest.raises(Busy):
            await service_walk.fire(clinic, course, NOTE)
        assert (await versions(clinic))[course] == 1

    store(test)


def test_two_units_of_one_course_never_share_a_transaction(store):
    async def test(clinic):
        watched = watch(clinic)
        course = (await ids(clinic))[0]
        done = await notes(clinic, [course] * 5)
        assert sorted(each.entries[-1].seq for each in done) == [2, 3, 4, 5, 6]
        assert all(units <= 1 for units, _ in watched.batches)

    store(test)


def test_a_unit_that_loses_its_version_loses_alone(store):
    async def test(clinic):
        courses = await ids(clinic)
        await service_walk.fire(clinic, courses[0], NOTE)
        watch(clinic)
        stale = await clinic.courses.get(courses[0])
        clinic.courses.get = _stale(clinic.courses.get, courses[0], stale)
        await commit_elsewhere(clinic, courses[0])
        answers = await asyncio.gather(
            *(service_walk.fire(clinic, course, NOTE, version=2 if course == courses[0] else 1) for course in courses),
            return_exceptions=True,
        )
        assert [type(each) for each in answers if isinstance(each, Exception)] == [StaleVersion]
        assert answers[0].current == 3

    store(test)


def _stale(get, stale_id, old):
    async def got(course_id):
        return old if course_id == stale_id else await get(course_id)

    return got


async def commit_elsewhere(clinic, course) -> None:
    """Another process writes to the course."""
    async with service_walk.opened(clinic.settings) as other:
        await service_walk.fire(other, course, NOTE)


async def note_under(key, clinic, course) -> None:
    """Another process notes something under a key."""
    async with service_walk.opened(clinic.settings) as other:
        await service_walk.fire(other, course, NOTE, key=key)


def test_a_unit_whose_key_was_used_loses_alone_and_is_answered_as_before(store):
    async def test(clinic):
        courses = await ids(clinic)
        key = IdempotencyKey("key", "body")
        await note_under(key, clinic, courses[1])
        watched = watch(clinic)
        answers = await asyncio.gather(
            *(service_walk.fire(clinic, course, NOTE, key=key if course == courses[0] else None) for course in courses)
        )
        assert watched.batches == [(len(courses), 0)]
        assert [each.replayed for each in answers] == [True, False, False, False, False, False]
        assert await versions(clinic) == dict.fromkeys(courses, 2) | {courses[0]: 1, courses[1]: 3}

    store(test)


def test_a_batch_that_violates_a_constraint_is_taken_one_by_one(store):
    """The row of an expired key violates the constraint. It is removed when the key is used again."""

    async def test(clinic):
        courses = await ids(clinic)
        await note_under(IdempotencyKey("key", "body", dt.timedelta(hours=1)), clinic, courses[1])
        clinic.clock.advance(dt.timedelta(hours=2))
        watched = watch(clinic)
        key = IdempotencyKey("key", "another body")
        answers = await asyncio.gather(
            *(service_walk.fire(clinic, course, NOTE, key=key if course == courses[0] else None) for course in courses)
        )
        assert watched.batches == [(len(courses), 0)]
        assert not any(each.replayed for each in answers)
        assert await versions(clinic) == dict.fromkeys(courses, 2) | {courses[1]: 3}
        assert (await verification.verify(clinic)).ok

    store(test)


def test_a_unit_that_no_database_takes_fails_alone(store):
    """Half of a surrogate pair cannot be encoded as UTF-8."""

    async def test(clinic):
        courses = await ids(clinic)
        watched = watch(clinic)
        key = IdempotencyKey("\ud800", "body")
        answers = await asyncio.gather(
            *(service_walk.fire(clinic, course, NOTE, key=key if course == courses[2] else None) for course in courses),
            return_exceptions=True,
        )
        assert watched.batches == [(len(courses), 0)]
        assert [isinstance(each, Exception) for each in answers] == [course == courses[2] for course in courses]
        assert await versions(clinic) == dict.fromkeys(courses, 2) | {courses[2]: 1}
        assert (await verification.verify(clinic)).ok

    store(test)


def test_a_batch_that_failed_before_it_was_committed_is_committed_once(store):
    async def test(clinic):
        watch(clinic, (True, Unreachable("gone")), (True, Busy("deadlock")))
        courses = await ids(clinic)
        assert not any(isinstance(each, Exception) for each in await notes(clinic, courses))
        assert await versions(clinic) == dict.fromkeys(courses, 2)

    store(test)


def test_a_batch_whose_answer_was_lost_is_not_committed_twice(store):
    async def test(clinic):
        watch(clinic, (False, Unreachable("gone")))
        courses = await ids(clinic)
        done = await notes(clinic, courses)
        assert [each.entries[-1].seq for each in done] == [2] * COURSES
        assert await versions(clinic) == dict.fromkeys(courses, 2)
        assert (await verification.verify(clinic)).ok

    store(test)


def test_a_unit_with_a_key_whose_answer_was_lost_is_not_committed_twice(store):
    async def test(clinic):
        watch(clinic, (False, Unreachable("gone")))
        course = (await ids(clinic))[0]
        done = await service_walk.fire(clinic, course, NOTE, key=IdempotencyKey("key", "body"))
        assert (done.entries[-1].seq, done.replayed) == (2, False)
        again = await service_walk.fire(clinic, course, NOTE, key=IdempotencyKey("key", "body"))
        assert (again.entries[-1].seq, again.replayed) == (2, True)

    store(test)


def test_a_read_whose_record_was_lost_on_the_way_is_recorded_once(store):
    async def test(clinic):
        watch(clinic, (False, Unreachable("gone")))
        course = (await ids(clinic))[0]
        await clinic.log(service_walk.THERAPIST, "read", "course", [course])
        counted = sa.select(sa.func.count()).select_from(tables.audit_event)
        assert await clinic.database.read(lambda c: c.execute(counted).scalar()) == 1

    store(test)


def test_callers_get_an_error_if_the_database_stays_away(store):
    async def test(clinic):
        watch(clinic, *[(True, Unreachable("gone"))] * 100, patience=0.1)
        courses = await ids(clinic)
        answers = await notes(clinic, courses[:2])
        assert {type(each) for each in answers} == {Unreachable}
        clinic.committer._database.failures.clear()
        await service_walk.fire(clinic, courses[0], NOTE)

    store(test)


def test_more_than_the_queue_holds_is_refused_at_once(store):
    async def test(clinic):
        watch(clinic, queue_max=2)
        events = [clinic.event(service_walk.THERAPIST, "read", f"number {number}") for number in range(6)]
        answers = await asyncio.gather(*(clinic.committer.commit(each) for each in events), return_exceptions=True)
        assert [type(each) for each in answers] == [type(None)] * 2 + [Busy] * 4

    store(test)


def test_a_cancelled_request_leaves_its_unit_whole_and_its_key_finds_the_outcome(store):
    async def test(clinic):
        course = (await ids(clinic))[0]
        key = IdempotencyKey("key", "body")
        running = asyncio.create_task(service_walk.fire(clinic, course, NOTE, key=key))
        while not clinic.committer._waiting and not running.done():
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        again = await service_walk.fire(clinic, course, NOTE, key=key)
        assert again.entries[-1].seq == 2
        assert (await versions(clinic))[course] == 2

    store(test)


def test_closing_commits_what_waits_and_takes_nothing_more(store):
    async def test(clinic):
        courses = await ids(clinic)
        running = [asyncio.create_task(service_walk.fire(clinic, course, NOTE)) for course in courses]
        while len(clinic.committer._waiting) < COURSES and not any(task.done() for task in running):
            await asyncio.sleep(0)
        await clinic.committer.close()
        await asyncio.gather(*running, return_exceptions=True)
        with pytest.raises(Busy):
            await service_walk.fire(clinic, courses[0], NOTE)
        assert sum((await versions(clinic)).values()) >= COURSES + sum(not task.exception() for task in running)

    store(test)


def test_what_a_statement_writes_is_what_a_transaction_writes(store):
    """Both ways of writing a unit, in a batch and alone, write the same rows."""

    async def test(clinic):
        one, two = (await ids(clinic))[:2]
        seen = {}

        async def captured(work, _meanwhile):
            seen[work.courses[0]] = work

        real, clinic.committer.commit = clinic.committer.commit, captured
        for course in (one, two):
            await service_walk.fire(clinic, course, NOTE, key=IdempotencyKey(course, "body"))
        clinic.committer.commit = real
        assert await clinic.database.put([seen[one]], []) == [True]
        await clinic.database.write(single.commit, seen[two])

        def of(course):
            def read(connection):
                for table in (tables.course, tables.entry, tables.entry_data, tables.outbox, tables.idempotency):
                    key = table.c.id if table is tables.course else table.c.course_id
                    for row in connection.execute(sa.select(table).where(key == course)):
                        yield table.name, [type(value) for value in row]

            return lambda connection: list(read(connection))

        assert await clinic.database.read(of(one)) == await clinic.database.read(of(two))
        assert (await verification.verify(clinic)).ok

    store(test)
