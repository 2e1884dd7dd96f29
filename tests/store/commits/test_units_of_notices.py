"""Units that store notices: with a course's change or without one, in a batch or alone, each is written whole or not at all."""

import asyncio

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import StaleVersion
from ipt_workflow.store.committer import Committer
from ipt_workflow.store.notices import NewNotice, NoticeResult, NoticeTaken, SettledNotice
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import Unit

COURSES = 5
NOTE = Command("note", {"text": "She called."})


@pytest.fixture(scope="module")
def filled(tmp_path_factory, server):
    async def fill(clinic):
        for number in range(COURSES):
            await service_walk.open_course(clinic, f"EHR-{number}")

    return service_walk.database(tmp_path_factory.mktemp("notices"), fill, server)


@pytest.fixture
def store(filled, tmp_path):
    """Runs an async test with an open clinic on a database of a few courses."""
    settings = databases.copy(filled, tmp_path)
    return lambda test: service_walk.with_clinic(settings, test)


class Batches:
    """A database that records the sizes of the batches."""

    def __init__(self, database) -> None:
        self._database = database
        self.sizes: list[int] = []

    async def put(self, units, events):
        self.sizes.append(len(units))
        return await self._database.put(units, events)

    def __getattr__(self, name):
        return getattr(self._database, name)


def watch(clinic) -> Batches:
    watched = Batches(clinic.database)
    clinic.committer = Committer(watched, queue_max=100, batch_max=64, patience=2.0)
    return watched


def notice(clinic, number: int, **more) -> NewNotice:
    known = {"id": f"notice-{number}", "source_id": "north", "key": f"key-{number}", "body_hash": "x", "type": "fhir.Encounter"}
    return NewNotice(**{**known, "received_at": clinic.clock.now(), "status": "applied", **more})


def event(clinic, number: int):
    return clinic.event(service_walk.THERAPIST, "notice", f"fhir.Encounter {number}", [])


def alone(clinic, number: int, **more) -> Unit:
    """A unit that changes no course."""
    return Unit(
        organisation=clinic.organisation, changes=(), notices=(notice(clinic, number, **more),), events=(event(clinic, number),)
    )


async def units(clinic) -> list[Unit]:
    """For each course, a unit that is decided on its present version, with a notice and its record."""
    decided = []

    async def captured(work, _meanwhile):
        decided.append(work)

    real, clinic.committer.commit = clinic.committer.commit, captured
    ids = await clinic.database.read(
        lambda c: list(c.execute(sa.select(tables.course.c.id).order_by(tables.course.c.id)).scalars())
    )
    for each in ids:
        await service_walk.fire(clinic, each, NOTE)
    clinic.committer.commit = real
    return [
        msgspec.structs.replace(each, notices=(notice(clinic, number, course_id=each.courses[0]),), events=(event(clinic, number),))
        for number, each in enumerate(decided)
    ]


async def stored(clinic) -> tuple[list[str], list[str], int]:
    """The ids of the notices, the actions of their records, and the number of entries."""

    def read(connection):
        found = connection.execute(sa.select(tables.notice.c.id).order_by(tables.notice.c.id)).scalars()
        actions = (
            sa.select(tables.audit_event.c.action)
            .where(tables.audit_event.c.kind == "notice")
            .order_by(tables.audit_event.c.action)
        )
        entries = sa.select(sa.func.count()).select_from(tables.entry)
        return list(found), list(connection.execute(actions).scalars()), connection.execute(entries).scalar()

    return await clinic.database.read(read)


async def commit_all(clinic, works: list[Unit]) -> list[str]:
    answers = await asyncio.gather(*(clinic.committer.commit(each) for each in works), return_exceptions=True)
    return [type(each).__name__ if isinstance(each, Exception) else "won" for each in answers]


def names(*numbers: int) -> tuple[list[str], list[str]]:
    return [f"notice-{number}" for number in numbers], [f"fhir.Encounter {number}" for number in numbers]


def test_units_with_and_without_a_change_share_a_batch(store):
    async def test(clinic):
        works = [*(await units(clinic)), *(alone(clinic, number) for number in (5, 6, 7))]
        watched = watch(clinic)
        assert await commit_all(clinic, works) == ["won"] * 8
        assert watched.sizes == [8]
        assert await stored(clinic) == (*names(*range(8)), 2 * COURSES)

    store(test)


def test_a_unit_that_loses_its_course_leaves_neither_notice_nor_record(store):
    async def test(clinic):
        works = [*(await units(clinic)), alone(clinic, 7)]
        await service_walk.fire(clinic, works[1].courses[0], NOTE)
        await service_walk.fire(clinic, works[3].courses[0], NOTE)
        watched = watch(clinic)
        became = await commit_all(clinic, works)
        assert became == ["won", StaleVersion.__name__, "won", StaleVersion.__name__, "won", "won"]
        assert watched.sizes == [6]
        assert await stored(clinic) == (*names(0, 2, 4, 7), 2 * COURSES)

    store(test)


VERSION = {"resource_key": "r", "part": "", "ordinal": 1}


@pytest.mark.parametrize("same", ({"key": "key-6"}, VERSION), ids=("key", "version"))
def test_of_two_that_store_the_same_one_is_taken_and_all_others_win(store, same):
    async def test(clinic):
        if same is VERSION:
            await clinic.committer.commit(alone(clinic, 6, **VERSION))
        else:
            await clinic.committer.commit(alone(clinic, 6))
        works = [*(await units(clinic)), alone(clinic, 8, **same), alone(clinic, 9)]
        works[2] = msgspec.structs.replace(works[2], notices=(notice(clinic, 2, **same),))
        watched = watch(clinic)
        became = await commit_all(clinic, works)
        assert became == ["won", "won", NoticeTaken.__name__, "won", "won", NoticeTaken.__name__, "won"]
        assert watched.sizes == [7]
        assert await stored(clinic) == (*names(0, 1, 3, 4, 6, 9), 2 * COURSES - 1)

    store(test)


def test_the_next_version_of_a_part_is_free_and_so_is_the_same_of_another_part(store):
    async def test(clinic):
        parts = [
            VERSION,
            {**VERSION, "ordinal": 2},
            {**VERSION, "part": "scale phq9"},
            {**VERSION, "ordinal": None},
            {"ordinal": None},
        ]
        watch(clinic)
        assert await commit_all(clinic, [alone(clinic, number, **each) for number, each in enumerate(parts)]) == ["won"] * 5
        again = [alone(clinic, 5, **VERSION), alone(clinic, 6, **{**VERSION, "ordinal": None})]
        assert await commit_all(clinic, again) == [NoticeTaken.__name__, "won"]

    store(test)


def test_a_notice_is_settled_once_and_loses_its_body_when_it_no_longer_waits(store):
    async def test(clinic):
        await clinic.committer.commit(alone(clinic, 1, status="waiting", body=b"{}"))
        result = NoticeResult(status="ignored", course_id=None, seq=None, about_seq=None, detail=None)
        works = [
            msgspec.structs.replace(alone(clinic, number), settled=(SettledNotice("notice-1", "waiting", result),))
            for number in (2, 3)
        ]
        assert sorted(await commit_all(clinic, works)) == [NoticeTaken.__name__, "won"]
        found, actions, _ = await stored(clinic)
        assert (len(found), len(actions)) == (2, 2)
        row = await clinic.database.read(
            lambda c: c.execute(
                sa.select(tables.notice.c.status, tables.notice.c.body).where(tables.notice.c.id == "notice-1")
            ).one()
        )
        assert tuple(row) == ("ignored", None)

    store(test)


def test_a_notice_in_a_batch_is_stored_as_one_alone(store):
    async def test(clinic):
        whole = {
            "body": b"{\x00}",
            "risk": True,
            "void": True,
            "status": "waiting",
            "resource": "Encounter/1",
            "awaits_course": True,
        }
        whole |= {"resource_at": clinic.clock.now(), "resource_version": "1", "content_digest": "d", **VERSION}
        one, two = alone(clinic, 1, **whole), alone(clinic, 2, **{**whole, "ordinal": 2})
        assert await clinic.database.put([one], []) == [True]
        settled = NoticeResult(status="waiting", course_id=None, seq=None, about_seq=None, detail=None, awaits_course=True)
        await clinic.committer.commit(two)
        alone_too = msgspec.structs.replace(
            alone(clinic, 3, **{**whole, "ordinal": 3}), settled=(SettledNotice("notice-2", "waiting", settled),)
        )
        assert not alone_too.plain
        await clinic.committer.commit(alone_too)
        rows = await clinic.database.read(lambda c: [dict(each._mapping) for each in c.execute(sa.select(tables.notice))])
        differing = {"id", "key", "ordinal"}
        assert len({repr({name: each for name, each in row.items() if name not in differing}) for row in rows}) == 1

    store(test)
