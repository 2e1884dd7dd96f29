"""A covered fortnight: what the colleague sees and writes before, during and after it."""

import datetime as dt

import pytest
from support import databases, service_walk
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST, fire

from ipt_workflow.access.cover import NewCover
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, ProposalDecided
from ipt_workflow.service.access.cover import Covers
from ipt_workflow.service.access.people import People, PersonChange
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.writes import Write
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters

COLLEAGUE = Principal(person="therapist-2", role="therapist")
STRANGER = Principal(person="therapist-3", role="therapist")
ADMIN = Principal(person="admin-1", role="admin")
DAY = dt.timedelta(days=1)
MEASURE = Command("record_measure", {"instrument": "phq9", "total": 16})


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def fill(clinic):
        for ref in ("EHR-1", "EHR-2"):
            ids.append(await service_walk.open_course(clinic, ref))
            await service_walk.walk(clinic, ids[-1], "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("cover"), fill, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, courses)`."""
    settings, courses = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, courses))


def cover(clinic, first: float, last: float, **more) -> NewCover:
    now = clinic.clock.now()
    body = {"therapist": THERAPIST.person, "colleague": COLLEAGUE.person, "client_told": True, "reason": "Annual leave", **more}
    return NewCover(from_=now + first * DAY, until=now + last * DAY, **body)


async def arrange(clinic, first: float, last: float, by: Principal = THERAPIST, **more):
    new = cover(clinic, first, last, **more)
    return await Covers(clinic).arrange(by, lambda: new)


async def listed(clinic, principal: Principal) -> list[str]:
    return [each.id for each in await CourseReads(clinic).caseload(principal, Filters(), "", 10)]


async def sees(clinic, principal: Principal, course: str) -> bool:
    try:
        await CourseReads(clinic).course(principal, course)
    except NotFound:
        return False
    return True


async def logged(clinic, **filters) -> list:
    return await AuditLog(clinic).page(AUDITOR, AuditFilters(**filters), Position(), 1000)


def test_the_colleague_sees_and_writes_during_the_cover_and_not_before_or_after(clinic):
    async def test(clinic, courses):
        arranged = await arrange(clinic, 1, 15)
        assert arranged.status == "planned"
        for days, during in ((0, False), (1, True), (13, True), (1, False)):
            clinic.clock.advance(days * DAY)
            assert await listed(clinic, COLLEAGUE) == (courses if during else [])
            assert [await sees(clinic, COLLEAGUE, each) for each in courses] == [during, during]
            assert await listed(clinic, THERAPIST) == courses  # who keeps sight of them
            assert not await sees(clinic, STRANGER, courses[0])
        with pytest.raises(NotFound):
            await fire(clinic, courses[0], MEASURE, COLLEAGUE)
        assert (await Covers(clinic).one(COLLEAGUE, arranged.id)).status == "over"

    clinic(test)


def test_entries_name_whom_the_colleague_covered_for_and_the_chain_holds_it(clinic):
    async def test(clinic, courses):
        await arrange(clinic, 0, 14)
        clinic.clock.advance(dt.timedelta(minutes=1))
        session = await service_walk.example(clinic, courses[0], "record_session", COLLEAGUE)
        await fire(clinic, courses[0], session, COLLEAGUE)
        seq = (await clinic.entries(courses[0]))[-1].written.seq
        clinic.clock.advance(dt.timedelta(minutes=1))
        signed = Command("sign_session", {"session": seq})
        await fire(clinic, courses[0], signed, COLLEAGUE)  # as who gave it
        await fire(clinic, courses[0], MEASURE)
        *_, session, signature, measure = await clinic.entries(courses[0])
        assert session.written.trigger == "record_session"
        for entry in (session, signature):
            assert entry.written.actor.person == COLLEAGUE.person
            assert entry.written.on_behalf_of == THERAPIST.person
        assert b"on_behalf_of" not in measure.canonical  # the bytes of who does not cover are as they always were
        assert (await verification.verify(clinic)).ok
        told = sorted(await logged(clinic, kind="transition", course=courses[0]), key=lambda each: each.seq)
        shown = [(each.actor.person, each.basis, each.purpose, each.on_behalf_of) for each in told]
        assert shown[-3:] == [
            (COLLEAGUE.person, "cover", "TREAT", THERAPIST.person),
            (COLLEAGUE.person, "cover", "TREAT", THERAPIST.person),
            (THERAPIST.person, "own", "TREAT", None),
        ]
        (view,) = await CourseReads(clinic).history(THERAPIST, courses[0], seq - 1, 1)
        assert view.on_behalf_of == THERAPIST.person

    clinic(test)


def test_reads_are_recorded_by_what_they_rest_on_and_refused_ones_without_a_basis(clinic):
    async def test(clinic, courses):
        own = await service_walk.open_course(clinic, "EHR-9", COLLEAGUE)
        await arrange(clinic, 0, 14)
        assert await listed(clinic, COLLEAGUE) == [*courses, own]
        assert not await sees(clinic, STRANGER, courses[0])
        seen = [each for each in await logged(clinic, kind="read", actor=COLLEAGUE.person) if each.action == "caseload"]
        assert {(each.basis, each.purpose, each.courses) for each in seen} == {
            ("cover", "TREAT", tuple(courses)),
            ("own", "TREAT", (own,)),
        }
        (refused,) = await logged(clinic, kind="refusal", actor=STRANGER.person)
        assert (refused.rules, refused.basis, refused.purpose) == (("hidden",), None, "TREAT")
        assert refused.courses == (courses[0],)

    clinic(test)


def test_cover_may_be_for_some_courses_only(clinic):
    async def test(clinic, courses):
        await arrange(clinic, 0, 14, courses=(courses[1],))
        assert await listed(clinic, COLLEAGUE) == courses[1:]
        assert not await sees(clinic, COLLEAGUE, courses[0])

    clinic(test)


def test_cover_ends_when_somebody_ends_it(clinic):
    async def test(clinic, courses):
        arranged = await arrange(clinic, 0, 14)
        with pytest.raises(NotFound):
            await Covers(clinic).end(STRANGER, arranged.id)
        ended = await Covers(clinic).end(COLLEAGUE, arranged.id)
        assert (ended.status, ended.ended_by) == ("ended", COLLEAGUE.person)
        assert not await sees(clinic, COLLEAGUE, courses[0])
        assert await Covers(clinic).page(THERAPIST, "", 10) == []
        actions = [each.action for each in await logged(clinic, kind="access")]
        assert actions == [f"cover {arranged.id} arranged", f"cover {arranged.id} ended"]

    clinic(test)


def test_what_is_covered_cannot_be_shared_again(clinic):
    async def test(clinic, courses):
        await arrange(clinic, 0, 14)
        with pytest.raises(CommandInvalid, match="no course of the therapist"):
            await arrange(clinic, 0, 7, COLLEAGUE, therapist=COLLEAGUE.person, colleague=STRANGER.person, courses=tuple(courses))
        await arrange(clinic, 0, 7, COLLEAGUE, therapist=COLLEAGUE.person, colleague=STRANGER.person)
        assert await listed(clinic, STRANGER) == []

    clinic(test)


def test_a_course_with_another_therapist_is_covered_no_more(clinic):
    async def test(clinic, courses):
        await arrange(clinic, 0, 14, courses=tuple(courses))
        transfer = Command("transfer", {"therapist": STRANGER.person, "handover": "Told in person."}, reason="A place nearer home")
        await fire(clinic, courses[0], transfer, SUPERVISOR)
        assert await listed(clinic, COLLEAGUE) == courses[1:]

    clinic(test)


def test_more_than_three_weeks_take_a_supervisor_also_in_parts(clinic):
    async def test(clinic, courses):
        with pytest.raises(CommandInvalid, match="ask a supervisor"):
            await arrange(clinic, 0, 22)
        await arrange(clinic, 0, 14)
        with pytest.raises(CommandInvalid, match="ask a supervisor"):
            await arrange(clinic, 14.5, 28)
        assert (await arrange(clinic, 14.5, 28, SUPERVISOR)).set_role == "supervisor"
        assert (await arrange(clinic, 40, 50, ADMIN)).set_by == ADMIN.person
        with pytest.raises(Forbidden):
            await arrange(clinic, 0, 7, AUDITOR)

    clinic(test)


def test_where_supervisors_see_their_supervisees_they_arrange_cover_for_these(clinic):
    async def test(clinic, courses):
        clinic.access_rules = AccessRules(supervision="supervisees")
        with pytest.raises(CommandInvalid) as refused:
            await arrange(clinic, 0, 7, SUPERVISOR)
        assert [(each.where, "whom you supervise" in each.message) for each in refused.value.faults] == [("therapist", True)]
        assert await listed(clinic, COLLEAGUE) == []
        await People(clinic).change(ADMIN, THERAPIST.person, lambda: PersonChange(supervisors=(SUPERVISOR.person,)))
        assert (await arrange(clinic, 0, 7, SUPERVISOR)).set_role == "supervisor"
        assert await listed(clinic, COLLEAGUE) == courses

    clinic(test)


def test_a_colleagues_proposal_lapses_with_the_cover_and_not_before(clinic):
    async def test(clinic, courses):
        await arrange(clinic, 0, 14)
        write = Write(decode=lambda: (Command("extend_phase", reason="One more session is needed."),), version_required=False)
        first, second = [(await Proposals(clinic).propose(COLLEAGUE, each, write)).id for each in courses]
        await service_walk.walk(clinic, courses[0], "record_session")
        cosigned = (await Proposals(clinic).cosign(SUPERVISOR, first)).entries[-1]
        assert (cosigned.actor.person, cosigned.cosigned_by) == (COLLEAGUE.person, SUPERVISOR.person)
        assert cosigned.on_behalf_of == THERAPIST.person
        told = max(await logged(clinic, kind="transition", course=courses[0]), key=lambda each: each.seq)
        assert (told.basis, told.purpose, told.on_behalf_of) == ("cover", "TREAT", THERAPIST.person)
        assert (await verification.verify(clinic)).ok
        clinic.clock.advance(15 * DAY)
        with pytest.raises(ProposalDecided):
            await Proposals(clinic).cosign(SUPERVISOR, second)
        assert (await Proposals(clinic).one(SUPERVISOR, second)).proposal.reason == "proposer"

    clinic(test)


def test_lists_of_cover_show_a_therapist_their_own_and_a_supervisor_all(clinic):
    async def test(clinic, courses):
        arranged = await arrange(clinic, 1, 15)
        for who, seen in ((THERAPIST, True), (COLLEAGUE, True), (SUPERVISOR, True), (ADMIN, True), (STRANGER, False)):
            assert [each.id for each in await Covers(clinic).page(who, "", 10)] == ([arranged.id] if seen else [])

    clinic(test)


def test_who_covers_and_who_is_covered_for_are_known_therapists(clinic):
    async def test(clinic, courses):
        with pytest.raises(CommandInvalid) as refused:
            await arrange(clinic, 0, 7, SUPERVISOR, therapist="nobody", colleague=SUPERVISOR.person)
        assert [each.where for each in refused.value.faults] == ["therapist", "colleague"]

    clinic(test)


def test_cover_ends_when_one_of_the_two_leaves(clinic):
    async def test(clinic, courses):
        arranged = await arrange(clinic, 0, 14)
        departure = await People(clinic).leave(ADMIN, COLLEAGUE.person)
        assert departure.ended["cover"] == 1
        assert (await Covers(clinic).one(THERAPIST, arranged.id)).status == "ended"
        assert not await sees(clinic, COLLEAGUE, courses[0])

    clinic(test)


def test_an_own_course_and_a_reader_of_the_organisation_take_no_further_question(clinic):
    async def test(clinic, courses):
        asked = []
        ask = clinic.relations_of

        async def counted(principal, ids):
            asked.extend(ids)
            return await ask(principal, ids)

        clinic.relations_of = counted
        await fire(clinic, courses[0], MEASURE)
        await fire(clinic, courses[0], Command("note", {"text": "Discussed."}), SUPERVISOR)
        assert await sees(clinic, AUDITOR, courses[0])
        assert asked == []
        assert not await sees(clinic, STRANGER, courses[0])
        assert asked == [courses[0]]

    clinic(test)
