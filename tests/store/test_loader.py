"""Lookups that share a statement, of several organisations too."""

import asyncio

import pytest
from support import databases, service_walk, staff

from ipt_workflow.service.clinic import Clinic, new_organisation
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import organisations


@pytest.fixture
def two(server, tmp_path):
    """Runs a test on the clinics of two organisations of one database."""

    def run(test):
        async def inside(first: Clinic):
            await first.database.write(organisations.insert, new_organisation("south", first.clock.now()))
            second = await Clinics(first).of("south")
            await second.write(staff.add)
            await test(first, second)

        service_walk.with_clinic(databases.empty(tmp_path, server), inside)

    return run


def test_lookups_of_several_organisations_at_once_find_each_its_own(two):
    async def test(first, second):
        ours = [await service_walk.open_course(first, f"EHR-{n}") for n in range(3)]
        theirs = [await service_walk.open_course(second, f"EHR-{n}") for n in range(3)]
        wanted = [(first, each) for each in ours] + [(second, each) for each in theirs]
        strangers = [(second, each) for each in ours] + [(first, theirs[0]), (first, "nobody")]
        pending = [clinic.courses.start(course) for clinic, course in wanted]
        hidden = [clinic.courses.start(course) for clinic, course in strangers]
        assert [each.course.id for each in await asyncio.gather(*pending)] == [*ours, *theirs]
        assert await asyncio.gather(*hidden) == [None] * len(strangers)
        clients = await asyncio.gather(*(clinic.clients.get(f"EHR-{n}") for clinic in (first, second) for n in range(3)))
        assert [each.courses[0].course.id for each in clients] == [*ours, *theirs]

    two(test)


def test_lookups_that_arrive_while_one_runs_share_the_next_statement_whatever_their_organisation(two):
    async def test(first, second):
        pairs = [(clinic, await service_walk.open_course(clinic, f"EHR-{n}")) for clinic in (first, second) for n in range(4)]
        statements = []
        database = first.installation.database
        for name in ("find", "find_each"):
            setattr(database, name, _counted(getattr(database, name), statements))
        found = await asyncio.gather(*(clinic.courses.get(course) for clinic, course in pairs))
        assert all(found)
        assert statements in (["find_each"], ["find_each", "find", "find"])  # SQLite has a statement for each organisation

    two(test)


def _counted(run, statements):
    async def counted(*args, **named):
        statements.append(run.__name__)
        return await run(*args, **named)

    return counted
