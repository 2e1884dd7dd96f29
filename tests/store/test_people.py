"""People in a database: found by role and status, never twice under an id, and what is asked of courses whose therapist is nobody here."""

import asyncio
import datetime as dt
import itertools

import pytest
from support import databases, service_walk, staff

from ipt_workflow.access import people as rules
from ipt_workflow.access.people import STAFF_ROLES
from ipt_workflow.store import courses, people, tokens
from ipt_workflow.store.clinic_database import ClinicDatabase
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.people import PersonFilters, PersonLeft, PersonUpdate, StoredPerson
from ipt_workflow.store.tokens import TokenRecord

AT = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
EVERY_SET = [roles for size in range(5) for roles in itertools.combinations(STAFF_ROLES, size)]


def stored(person: str, *roles: str, **more) -> StoredPerson:
    return StoredPerson(id=person, name=person, roles=roles, created_at=AT, **more)


class ForAll(ClinicDatabase):
    """A database as all the organisations of these tests see it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "other")
        self._ours = ("other", "another", *(f"clinic-{number}" for number in range(10)))

    async def close(self) -> None:
        await self._database.close()


@pytest.fixture
def on(database_url):
    """Runs what is done with a database, open for all the organisations here."""

    def run(work):
        async def inside():
            database = ForAll(open_database(database_url))
            try:
                return await work(database)
            finally:
                await database.close()

        return asyncio.run(inside())

    return run


def test_people_are_found_by_exactly_their_roles_and_status(on):
    async def test(database):
        for number, roles in enumerate(EVERY_SET):
            await database.write(people.insert, "other", stored(f"p{number:02}", *roles))
        await database.write(people.change, "other", "p05", PersonUpdate(status="left", left_at=AT))
        for role in STAFF_ROLES:
            found = await database.read(people.page, "other", PersonFilters(role=role), "", None)
            assert [each.id for each in found] == [f"p{number:02}" for number, roles in enumerate(EVERY_SET) if role in roles]
        left = await database.read(people.page, "other", PersonFilters(status="left"), "", None)
        assert [(each.id, each.left_at) for each in left] == [("p05", AT)]
        page = await database.read(people.page, "other", PersonFilters(), "p03", 2)
        assert [each.id for each in page] == ["p04", "p05"]

    on(test)


def test_an_id_is_given_once_also_after_the_person_left(on):
    async def test(database):
        assert await database.write(people.insert, "other", stored("a", "therapist"))
        await database.write(people.change, "other", "a", PersonUpdate(status="left", left_at=AT))
        assert not await database.write(people.insert, "other", stored("a", "supervisor"))
        assert await database.write(people.insert, "another", stored("a", "supervisor"))
        (kept,) = await database.read(people.page, "other", PersonFilters(), "", None)
        assert (kept.roles, kept.status) == (("therapist",), "left")

    on(test)


def test_supervisors_are_replaced_as_a_whole(on):
    async def test(database):
        await database.write(people.insert, "other", stored("a", "therapist", supervisors=("s", "t")))
        await database.write(people.change, "other", "a", PersonUpdate(supervisors=("u",)))
        assert (await database.read(people.find, "other", "a")).supervisors == ("u",)
        await database.write(people.change, "other", "a", PersonUpdate(name="A"))
        assert (await database.read(people.find, "other", "a")).supervisors == ("u",)
        await database.write(people.change, "other", "a", PersonUpdate(supervisors=()))
        assert (await database.read(people.find, "other", "a")).supervisors == ()

    on(test)


def test_nobody_who_leaves_keeps_a_token_that_is_made_meanwhile(on):
    def leave(connection, organisation):
        people.lock(connection, organisation, "a")
        people.change(connection, organisation, "a", PersonUpdate(status="left", left_at=AT))
        tokens.revoke_roles(connection, organisation, "a", STAFF_ROLES, AT)

    async def test(database):
        for number in range(10):
            organisation = f"clinic-{number}"
            token = TokenRecord(id=f"{number}", role="therapist", name="a", subject="a", created_at=AT, expires_at=AT)
            await database.write(people.insert, organisation, stored("a", "therapist"))
            results = await asyncio.gather(
                database.write(tokens.insert, organisation, token, "0" * 64),
                database.write(leave, organisation),
                return_exceptions=True,
            )
            assert results[0] is None or isinstance(results[0], PersonLeft)
            assert results[1] is None
            assert all(each.revoked_at for each in await database.read(tokens.every, organisation))

    on(test)


@pytest.fixture(scope="module")
def caseload(server, tmp_path_factory):
    """Courses whose therapists are unknown, here, without the role, or have left; open and ended ones."""
    strangers = ("unknown", "left", "auditor", *staff.THERAPISTS[:2])

    def known(connection, organisation):
        people.insert(connection, organisation, stored("left", "therapist", status="left", left_at=AT))
        people.insert(connection, organisation, stored("auditor", "auditor"))

    async def fill(clinic):
        await clinic.write(known)
        for number, therapist in enumerate(strangers * 2):
            by = service_walk.importing(therapist)
            course = await service_walk.open_course(clinic, f"EHR-{number}", by)
            if number >= len(strangers):
                command = await service_walk.example(clinic, course, "decline", by)
                await service_walk.fire(clinic, course, command, by)

    return service_walk.database(tmp_path_factory.mktemp("people"), fill, server)


def test_the_list_of_unassigned_courses_is_what_each_course_says_of_itself(caseload):
    async def read():
        database = databases.opened(caseload.database_url)
        now = dt.datetime.now(dt.UTC)
        every = await database.read(courses.caseload, "default", Filters(), "", 100, now)
        found = await database.read(courses.caseload, "default", Filters(attention="unassigned"), "", 100, now)
        of_one = [
            each
            for name in ("left", "therapist-1")
            for each in await database.read(
                courses.caseload, "default", Filters(attention="unassigned", therapist=name), "", 100, now
            )
        ]
        members = await database.read(people.members, "default", {each.course.therapist for each in every})
        await database.close()
        return every, found, of_one, members

    every, found, of_one, members = asyncio.run(read())
    assert len(every) == 10
    assert sorted(each.course.therapist for each in found) == ["auditor", "left", "unknown"]
    assert [each.course.therapist for each in of_one] == ["left"]
    for each in every:
        since = rules.unassigned_since(each.course, members.get(each.course.therapist))
        assert each.asked.get("unassigned") == since
        assert (each.course.id in {one.course.id for one in found}) == (since is not None)
    assert {each.course.therapist: each.asked["unassigned"] for each in found}["left"] == AT
    assert databases.select(caseload, "SELECT count(*) FROM course WHERE unassigned_from IS NOT NULL") == [(0,)]
