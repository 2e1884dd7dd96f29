"""Processing of a client's data is restricted: those who treat the client go on, everybody else is refused with the reason, nothing is sent."""

import datetime as dt

import pytest
from support import databases, group_walk, service_walk
from support.marks import DEED, end, mark
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST, fire

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.cover import NewCover
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.fhir_reads import FhirReader
from ipt_workflow.ehr.fhir_searches import FhirSearches, Query, SearchPosition
from ipt_workflow.errors import CommandInvalid, ProcessingRestricted, TransitionRefused
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.client_labels import ClientLabels, NewClientLabel
from ipt_workflow.service.access.cover import Covers
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import consents
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters

EHR = Principal(person="ehr:pas", role="ehr")
COLLEAGUE = Principal(person="therapist-2", role="therapist")
STRANGER = Principal(person="therapist-9", role="therapist", via="cli")
GROUND = "accuracy_contested"
NOTE = Command("note", {"text": "She called."})
RISK = Command("raise_risk", {"level": "monitored"})
SESSION = Command("record_session", {"attendance": "5"})


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def fill(clinic):
        ids.extend([await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")])
        for each in ids:
            await service_walk.walk(clinic, each, "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("restrictions"), fill, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, restricted course, other course)`."""
    settings, courses = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, *courses))


async def restrict(clinic):
    return await mark(clinic, "restriction", GROUND)


async def listed(clinic, principal: Principal) -> list[str]:
    return [each.id for each in await CourseReads(clinic).caseload(principal, Filters(), "", 10)]


async def records(clinic, kind: str) -> list:
    return await AuditLog(clinic).page(AUDITOR, AuditFilters(kind=kind), Position(), 100)


@pytest.mark.parametrize("who", (SUPERVISOR, AUDITOR, EHR), ids=lambda who: who.role)
def test_everybody_else_is_refused_with_the_reason_and_lists_leave_the_course_out(clinic, who):
    async def test(clinic, course, other):
        assert await listed(clinic, who) == [course, other]
        restricted = await restrict(clinic)
        assert await listed(clinic, who) == [other]
        reader = FhirReader(clinic)
        site = reader.site("http://test/fhir/R4")
        found = await FhirSearches(clinic).search(who, site, "EpisodeOfCare", Query(), SearchPosition(), 100)
        assert [each.id for each in found.resources] == [other]
        for read in (
            CourseReads(clinic).course(who, course),
            CourseReads(clinic).history(who, course, 0, 10),
            reader.read(who, site, "EpisodeOfCare", course),
            reader.read(who, site, "Patient", restricted_client(found, await clinic.courses.get(course))),
        ):
            with pytest.raises(ProcessingRestricted, match=GROUND):
                await read
        refused = [each for each in await records(clinic, "refusal") if each.actor.person == who.person]
        assert {(each.rules, each.courses, each.basis) for each in refused} == {
            (("processing_restriction", GROUND), (course,), None)
        }
        await end(clinic, restricted.id)
        assert await listed(clinic, who) == [course, other]
        assert (await CourseReads(clinic).course(who, course)).id == course

    clinic(test)


def restricted_client(_found, stored) -> str:
    return stored.course.client


def test_for_whom_a_course_never_existed_it_does_not_exist_now(clinic):
    async def test(clinic, course, _other):
        await restrict(clinic)
        with pytest.raises(Exception, match="There is no such course"):
            await CourseReads(clinic).course(STRANGER, course)

    clinic(test)


def test_the_therapist_cover_and_emergency_access_read_and_the_record_has_the_ground(clinic):
    async def test(clinic, course, other):
        until = clinic.clock.now() + dt.timedelta(days=7)
        cover = NewCover(therapist=THERAPIST.person, colleague=COLLEAGUE.person, until=until, client_told=True, reason="Leave")
        await Covers(clinic).arrange(SUPERVISOR, lambda: cover)
        await restrict(clinic)
        taken = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
        await EmergencyAccesses(clinic).start(STRANGER, lambda: taken)
        for who in (THERAPIST, COLLEAGUE, STRANGER):
            assert (await CourseReads(clinic).course(who, course)).id == course
            assert course in await listed(clinic, who)
        read = [each for each in await records(clinic, "read") if each.action == "course"]
        assert [(each.basis, each.rules) for each in read] == [
            (basis, ("processing_restriction", GROUND)) for basis in ("own", "cover", "emergency")
        ]
        lists = [each for each in await records(clinic, "read") if each.action == "caseload"]
        assert {(each.courses, each.rules) for each in lists if each.basis == "own"} == {
            ((course,), ("processing_restriction", GROUND)),
            ((other,), ()),
        }

    clinic(test)


def test_writes_are_refused_but_what_is_never_blocked(clinic):
    async def test(clinic, course, other):
        restricted = await restrict(clinic)
        with pytest.raises(TransitionRefused) as refused:
            await fire(clinic, course, SESSION)
        assert [each.rule for each in refused.value.refusals] == ["processing_not_restricted"]
        assert GROUND in refused.value.refusals[0].message
        with pytest.raises(ProcessingRestricted):
            await ClientLabels(clinic).give(THERAPIST, course, lambda: NewClientLabel(label="Ms A."))
        with pytest.raises(ProcessingRestricted):
            await fire(clinic, course, NOTE, SUPERVISOR)
        await fire(clinic, course, NOTE)
        await fire(clinic, course, RISK)
        await fire(clinic, other, SESSION)
        offered = {each.trigger: each.allowed for each in (await CourseReads(clinic).options(THERAPIST, course)).items}
        assert (offered["record_session"], offered["raise_risk"]) == (False, True)
        with pytest.raises(TransitionRefused):
            await Courses(clinic).open_course(THERAPIST, lambda: service_walk.opening("EHR-1"))
        await end(clinic, restricted.id)
        await fire(clinic, course, SESSION)
        assert (await verification.verify(clinic)).ok

    clinic(test)


def test_a_course_is_moved_to_no_restricted_client(clinic):
    async def test(clinic, _course, other):
        await restrict(clinic)
        with pytest.raises(TransitionRefused) as refused:
            await fire(
                clinic,
                other,
                Command("relink_client", {"kind": "wrong_client", "client_ref": "EHR-1"}, reason="Mixed up."),
                SUPERVISOR,
            )
        assert "processing_not_restricted" in {each.rule for each in refused.value.refusals}

    clinic(test)


def test_nothing_of_the_course_may_go_out_and_subscribers_are_sent_that_it_is_withheld_and_resumed(clinic):
    async def test(clinic, course, other):
        restricted = await restrict(clinic)
        await fire(clinic, course, NOTE)
        await fan_out.fan_out_all(clinic)
        sharing = await clinic.read(consents.sharing, [course, other])
        assert (sharing[course].open_to, sharing[other].of_care) == (frozenset(), True)
        seen = [each.type for each in (await Feed(clinic).page(EHR, None, 100)).items if each.data.course == course]
        assert seen == ["course.withheld"]
        await end(clinic, restricted.id)
        items = (await Feed(clinic).page(EHR, None, 100)).items
        assert [each.type for each in items if each.data.course == course][-1] == "course.resumed"

    clinic(test)


def test_a_restriction_beside_another_or_without_sharing_tells_subscribers_nothing_new(clinic):
    async def test(clinic, course, other):
        first = await restrict(clinic)
        second = await mark(clinic, "restriction", "legal_claims")
        await end(clinic, first.id)
        await fire(clinic, course, Command("withdraw_consent", {"scope": "sharing"}))
        await end(clinic, second.id)
        await fan_out.fan_out_all(clinic)
        events = await clinic.read(stored_events.after, 0, 100)
        assert [each.kind for each in events if each.course == course and each.kind != "entry"] == ["withheld"]

    clinic(test)


def test_setting_it_twice_is_refused(clinic):
    async def test(clinic, _course, _other):
        await restrict(clinic)
        with pytest.raises(CommandInvalid):
            await mark(clinic, "restriction", GROUND, by=DEED)

    clinic(test)


def test_a_session_of_a_group_is_recorded_for_the_others_and_waits_for_who_is_restricted(tmp_path):
    async def test(walk):
        restricted, other = await walk.started("EHR-1"), await walk.started("EHR-2")
        group = await walk.group(restricted, other)
        lifted = await mark(walk.clinic, "restriction", GROUND)
        recorded = await walk.session(group, {restricted: "5", other: "5"})
        assert [each.course for each in recorded.accepted] == [other]
        assert [[refusal.rule for refusal in each.refusals] for each in recorded.refused] == [["processing_not_restricted"]]
        await end(walk.clinic, lifted.id)
        assert await walk.is_whole()

    group_walk.run(group_walk.settings(tmp_path), test)
