"""Proposals on both databases: decided once, whoever decides at the same time, and lapsed with the commit that makes them impossible."""

import asyncio

import pytest
from support import databases, service_walk
from support.service_walk import SUPERVISOR, THERAPIST, fire, opened, walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, ProposalDecided
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.writes import IdempotencyKey, Write

EXTEND = Command("extend_phase", reason="One more session is needed.")
MEASURE = Command("record_measure", {"instrument": "phq9", "total": 16})
SECOND = Principal(person="supervisor-2", role="supervisor")


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    """A database with a started course, and the course's id."""
    ids = []

    async def fill(clinic):
        ids.append(await service_walk.open_course(clinic))
        await walk(clinic, ids[0], "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("proposals"), fill, server), ids[0]


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(settings, clinic, course)`."""
    settings, course = made
    copied = databases.copy(settings, tmp_path)

    def run(test):
        service_walk.with_clinic(copied, lambda clinic: test(copied, clinic, course))

    return run


async def propose(clinic, course: str, command: Command = EXTEND) -> str:
    write = Write(decode=lambda: (command,), version_required=False)
    return (await Proposals(clinic).propose(THERAPIST, course, write)).id


async def shown(clinic, proposal: str):
    return (await Proposals(clinic).one(SUPERVISOR, proposal)).proposal


async def triggers(clinic, course: str) -> list[str]:
    return [entry.written.trigger for entry in await clinic.entries(course)]


def test_a_cosign_is_judged_on_the_course_as_it_is_and_a_lapse_is_part_of_the_commit(clinic):
    async def test(_settings, clinic, course):
        first, second = await propose(clinic, course), await propose(clinic, course)
        await fire(clinic, course, MEASURE)
        assert [each.trigger for each in (await shown(clinic, first)).since] == ["record_measure"]
        assert (await Proposals(clinic).cosign(SUPERVISOR, first)).version == 5
        await walk(clinic, course, "end_early")
        lapsed = await shown(clinic, second)
        assert (lapsed.status, lapsed.reason, lapsed.command) == ("lapsed", "course_ended", None)
        assert [each.id for each in await Proposals(clinic).page(SUPERVISOR, "lapsed", "", 10)] == [second]
        with pytest.raises(ProposalDecided, match="the course has ended"):
            await Proposals(clinic).cosign(SUPERVISOR, second)

    clinic(test)


def test_of_two_processes_that_cosign_at_once_one_fires_it(clinic):
    async def test(settings, clinic, course):
        proposal = await propose(clinic, course)
        async with opened(settings) as other:
            decided = await asyncio.gather(
                Proposals(clinic).cosign(SUPERVISOR, proposal),
                Proposals(other).cosign(SECOND, proposal),
                return_exceptions=True,
            )
        assert sorted(type(each).__name__ for each in decided) == ["Committed", "ProposalDecided"]
        assert (await triggers(clinic, course)).count("extend_phase") == 1

    clinic(test)


def test_of_two_processes_that_cosign_and_write_the_course_at_once_both_succeed(clinic):
    async def test(settings, clinic, course):
        proposal = await propose(clinic, course)
        async with opened(settings) as other:
            await asyncio.gather(Proposals(clinic).cosign(SUPERVISOR, proposal), *(fire(other, course, MEASURE) for _ in range(3)))
        assert sorted((await triggers(clinic, course))[3:]) == ["extend_phase", *["record_measure"] * 3]

    clinic(test)


def test_a_cosign_sent_again_with_its_key_is_answered_again_after_the_course_has_moved_on(clinic):
    async def test(_settings, clinic, course):
        proposal, key = await propose(clinic, course), IdempotencyKey("scope", "body")
        first = await Proposals(clinic).cosign(SUPERVISOR, proposal, key)
        await walk(clinic, course, "end_early")
        again = await Proposals(clinic).cosign(SUPERVISOR, proposal, key)
        assert (again.replayed, again.entries) == (True, first.entries)

    clinic(test)


def test_a_reopening_that_was_proposed_lapses_with_the_ending_that_it_would_take_back(clinic):
    """Another ending is another decision."""

    async def test(_settings, clinic, course):
        await walk(clinic, course, "end_early")
        clinic.clock.advance(40 * service_walk.dt.timedelta(days=1))
        reopen = Command("reopen", reason="She came back.")
        write = Write(decode=lambda: (reopen,), version_required=False)
        first, second = [(await Proposals(clinic).propose(SUPERVISOR, course, write)).id for _ in range(2)]
        await Proposals(clinic).cosign(SECOND, first)
        lapsed = await shown(clinic, second)
        assert (lapsed.status, lapsed.reason) == ("lapsed", "moved_on")

    clinic(test)


def test_what_needs_no_second_signature_is_not_proposed(clinic):
    async def test(_settings, clinic, course):
        with pytest.raises(CommandInvalid):
            await propose(clinic, course, MEASURE)

    clinic(test)
