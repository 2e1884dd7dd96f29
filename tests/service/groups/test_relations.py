"""What a facilitator sees of a group's members: their courses as long as they are in the group, and less of a restricted one."""

import datetime as dt

import pytest
from support import databases, group_walk
from support.group_walk import AUDITOR, FACILITATOR, OUTSIDER, SUPERVISOR, GroupWalk

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters

ADMIN = Principal(person="admin-1", role="admin")


@pytest.fixture(scope="module")
def two(tmp_path_factory, server):
    """A database with a course of the facilitator and one of another therapist, and their ids."""
    made = group_walk.settings(tmp_path_factory.mktemp("members"), server)

    async def fill(clinic: GroupWalk):
        return [await clinic.prepared("EHR-1"), await clinic.prepared("EHR-2", OUTSIDER)]

    return made, group_walk.run(made, fill)


@pytest.fixture
def clinic(two, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, own, other)`."""
    made, ids = two
    settings = made.model_copy(update={"database_url": databases.copy(made, tmp_path).database_url})

    async def later(test, clinic):
        clinic.clock.advance(dt.timedelta(days=1))
        await test(clinic, *ids)

    return lambda test: group_walk.run(settings, lambda clinic: later(test, clinic))


async def listed(clinic: GroupWalk, who: Principal) -> set[str]:
    return {each.id for each in await CourseReads(clinic.clinic).caseload(who, Filters(), "", 10)}


async def transitions(clinic: GroupWalk, course: str) -> list[tuple]:
    filters = AuditFilters(kind="transition", course=course)
    found = await AuditLog(clinic.clinic).page(AUDITOR, filters, Position(), 1000)
    return [(each.actor.person, each.basis, each.purpose) for each in sorted(found, key=lambda each: each.seq)]


async def opened_in_an_emergency(clinic: GroupWalk, ref: str) -> None:
    """The facilitator takes emergency access to a client's courses."""
    duty = Principal(person=FACILITATOR.person, role="therapist", via="cli")
    new = NewEmergencyAccess(client_ref=ref, code="ETREAT", reason="She called.")
    await EmergencyAccesses(clinic.clinic).start(duty, lambda: new)


def test_a_facilitator_sees_a_members_course_until_it_leaves(clinic):
    async def test(clinic, own, other):
        assert await listed(clinic, FACILITATOR) == {own}
        group = await clinic.group(own, other)
        assert await listed(clinic, FACILITATOR) == {own, other}
        assert (await CourseReads(clinic.clinic).course(FACILITATOR, other)).therapist == OUTSIDER.person
        await clinic.leave(group, other)
        assert await listed(clinic, FACILITATOR) == {own}
        with pytest.raises(NotFound):
            await CourseReads(clinic.clinic).course(FACILITATOR, other)

    clinic(test)


def test_who_facilitates_no_more_sees_the_members_no_more(clinic):
    async def test(clinic, own, other):
        group = await clinic.group(own, other)
        await clinic.facilitate(group, "therapist-5")
        assert await listed(clinic, FACILITATOR) == {own}
        assert await listed(clinic, Principal(person="therapist-5", role="therapist")) == {own, other}

    clinic(test)


def test_a_course_that_somebody_sees_by_emergency_access_joins_no_group_of_theirs(clinic):
    async def test(clinic, own, other):
        group = await clinic.group(own)
        await opened_in_an_emergency(clinic, "EHR-2")
        assert await listed(clinic, FACILITATOR) == {own, other}
        with pytest.raises(Forbidden, match="with emergency access"):
            await clinic.join(group, other, FACILITATOR)
        assert [each.course for each in (await clinic.view(group)).members] == [own]
        clinic.clock.advance(dt.timedelta(hours=1))
        assert await listed(clinic, FACILITATOR) == {own}

    clinic(test)


def test_sessions_are_recorded_on_the_basis_of_the_group_or_as_ones_own(clinic):
    async def test(clinic, own, other):
        group = await clinic.group(own, other)
        await clinic.session(group, {own: "5", other: "5"})
        assert (await transitions(clinic, own))[-1] == (FACILITATOR.person, "own", "TREAT")
        assert (await transitions(clinic, other))[-1] == (FACILITATOR.person, "group", "TREAT")

    clinic(test)


def test_a_restricted_member_is_recorded_and_not_named(clinic):
    async def test(clinic, own, other):
        group = await clinic.group(own, other)
        restriction = NewRestriction(people=(SUPERVISOR.person,), reason="The client works here.")
        await Restrictions(clinic.clinic).restrict(ADMIN, other, lambda: restriction)
        assert await listed(clinic, FACILITATOR) == {own}
        recorded = await clinic.session(group, {own: "5", other: "5"})
        assert {each.course for each in recorded.accepted} == {own, other}
        refs = {each.course: each.client_ref for each in (await clinic.view(group, FACILITATOR)).members}
        assert refs == {own: "EHR-1", other: None}
        refs = {each.course: each.client_ref for each in (await clinic.view(group, SUPERVISOR)).members}
        assert refs == {own: "EHR-1", other: "EHR-2"}

    clinic(test)


def test_the_session_of_a_restricted_member_rests_on_the_group_also_during_emergency_access(clinic):
    async def test(clinic, own, other):
        group = await clinic.group(own, other)
        restriction = NewRestriction(people=(), reason="The client works here.")
        await Restrictions(clinic.clinic).restrict(ADMIN, other, lambda: restriction)
        clinic.clock.advance(group_walk.WEEK)
        await opened_in_an_emergency(clinic, "EHR-2")
        recorded = (await clinic.record(group, {own: "5", other: "5"})).recorded
        assert {each.course for each in recorded.accepted} == {own, other}
        assert (await transitions(clinic, other))[-1] == (FACILITATOR.person, "group", "TREAT")

    clinic(test)
