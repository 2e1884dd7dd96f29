"""People as the verbs see them, on both databases: who may be named, what ends when somebody leaves, and what others then have to do."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from support import databases, group_walk, service_walk
from support.http_client import OPERATOR
from support.service_walk import SUPERVISOR, THERAPIST, fire, walk

from ipt_workflow.access.people import LEFT, NOT_IN_ROLE, UNKNOWN
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, ProposalDecided, Unauthenticated
from ipt_workflow.groups.bodies import NewGroup
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.attestations import Attestations
from ipt_workflow.service.access.credentials import Credentials
from ipt_workflow.service.access.people import ACTION_MAX, TAKEN, NewPerson, People, PersonChange
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.writes import Write
from ipt_workflow.store.audit import AuditFilters, Position, page
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.people import PersonFilters

SECOND = Principal(person="therapist-2", role="therapist")
SUPERVISOR_2 = Principal(person="supervisor-2", role="supervisor")
AS_EHR = Principal(person="ehr-1", role="ehr")
EXTEND = Command("extend_phase", reason="One more session is needed.")


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    """A database with a started course of therapist-1 with an unsigned session, one of somebody who left, and the first course's id."""
    ids = []

    async def fill(clinic):
        ids.append(await service_walk.open_course(clinic))
        await walk(clinic, ids[0], "record_consent", "start", "record_session")
        people = People(clinic)
        await people.add(OPERATOR, lambda: NewPerson(id="gone", name="Gone", roles=("therapist", "supervisor")))
        await people.leave(OPERATOR, "gone")

    return service_walk.database(tmp_path_factory.mktemp("people"), fill, server), ids[0]


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, course)`."""
    settings, course = made
    copied = databases.copy(settings, tmp_path)

    def run(test):
        service_walk.with_clinic(
            copied, lambda clinic: test(clinic, course), VirtualClock(service_walk.START + dt.timedelta(days=1))
        )

    return run


def transfer(therapist: str) -> Command:
    return Command("transfer", {"therapist": therapist, "handover": "Told."}, reason="Leave")


async def asked(clinic: Clinic, course: str) -> set[str]:
    """The kinds of attention that a supervisor sees."""
    return set((await CourseReads(clinic).course(SUPERVISOR, course)).attention)


async def listed(clinic: Clinic, kind: str) -> list[str]:
    found = await CourseReads(clinic).caseload(SUPERVISOR, Filters(attention=kind), "", 100)
    return [each.id for each in found]


async def bearer(clinic: Clinic, token: str) -> Principal:
    return (await Credentials(Clinics(clinic)).identify(token))[1]


def faults(raised: pytest.ExceptionInfo[CommandInvalid]) -> list[tuple[str, str]]:
    return [(each.where, each.message) for each in raised.value.faults]


# Naming

REFUSED = (("nobody", UNKNOWN), ("gone", LEFT), ("supervisor-1", NOT_IN_ROLE.format("therapist")))


@pytest.mark.parametrize(("named", "why"), REFUSED, ids=("unknown", "left", "other role"))
def test_a_course_goes_to_nobody_who_may_not_give_therapy_here(clinic, named, why):
    async def test(clinic, course):
        for command in (transfer(named), Command("amend", {"supersedes": 2, "data": {"therapist": named}})):
            place = "data.data.therapist" if command.trigger == "amend" else "data.therapist"
            write = Write(decode=lambda command=command: (command,), version_required=False)
            for verb in (Courses(clinic).fire, Courses(clinic).preview, Proposals(clinic).propose):
                with pytest.raises(CommandInvalid) as raised:
                    await verb(THERAPIST, course, write)
                assert faults(raised)[0] == (place, why)
        with pytest.raises(CommandInvalid) as raised:
            await Courses(clinic).open_course(SUPERVISOR, lambda: service_walk.opening("EHR-2", therapist=named))
        assert faults(raised) == [("therapist", why)]
        assert len(await clinic.entries(course)) == 4

    clinic(test)


def test_the_fault_of_a_name_comes_with_every_other_fault_of_the_commands(clinic):
    async def test(clinic, course):
        commands = (Command("note", {}), transfer("nobody"))
        with pytest.raises(CommandInvalid) as raised:
            await Courses(clinic).fire(THERAPIST, course, Write(decode=lambda: commands, version_required=False))
        assert {where for where, _ in faults(raised)} >= {"together[1].data.therapist", "together[0].data.text"}

    clinic(test)


def test_a_supervisor_who_is_named_is_one(clinic):
    async def test(clinic, _course):
        course = (await Courses(clinic).open_course(THERAPIST, lambda: service_walk.opening("EHR-3", protocol="ipc"))).course_id
        await walk(clinic, course, "record_consent")
        command = await service_walk.example(clinic, course, "start")
        for named, why in (("nobody", UNKNOWN), ("gone", LEFT), ("therapist-2", NOT_IN_ROLE.format("supervisor"))):
            other = msgspec.structs.replace(command, data={**command.data, "supervisor": named})
            with pytest.raises(CommandInvalid) as raised:
                await fire(clinic, course, other)
            assert faults(raised) == [("data.supervisor", why)]
        assert (await fire(clinic, course, command)).course.state == "initial"

    clinic(test)


def test_examples_name_people_who_may_be_named(clinic):
    async def test(clinic, _course):
        tokens = Tokens(clinic)
        course = (await Courses(clinic).open_course(THERAPIST, lambda: service_walk.opening("EHR-4", protocol="ipc"))).course_id
        await walk(clinic, course, "record_consent")
        await People(clinic).leave(OPERATOR, "supervisor-1")
        await People(clinic).change(OPERATOR, "therapist-2", lambda: PersonChange(roles=("supervisor",)))
        assert (await example_of(clinic, THERAPIST, course, "start"))["data"]["supervisor"] == "supervisor-2"
        await People(clinic).change(OPERATOR, "therapist-1", lambda: PersonChange(supervisors=("therapist-2",)))
        assert (await example_of(clinic, THERAPIST, course, "start"))["data"]["supervisor"] == "therapist-2"
        await tokens.create(OPERATOR, NewToken(role="therapist", name="a first one"))
        assert (await example_of(clinic, THERAPIST, course, "transfer"))["data"]["therapist"] == "therapist-1"
        await People(clinic).leave(OPERATOR, "therapist-1")
        example = await example_of(clinic, SUPERVISOR_2, course, "transfer")
        assert example["data"]["therapist"] == "a first one"
        await fire(clinic, course, msgspec.convert(example, Command), SUPERVISOR_2)

    clinic(test)


async def example_of(clinic: Clinic, principal: Principal, course: str, trigger: str) -> dict[str, Any]:
    """The example that options offers, which must be allowed."""
    found = await CourseReads(clinic).options(principal, course)
    (item,) = [each for each in found.items if each.trigger == trigger]
    assert item.allowed
    return item.example


def test_facilitators_are_therapists_who_are_here(tmp_path, server):
    async def test(clinic):
        for named, why in (("nobody", UNKNOWN), ("supervisor-1", NOT_IN_ROLE.format("therapist"))):
            body = NewGroup(protocol=group_walk.PROTOCOL, label="g", facilitators=("therapist-1", named))
            with pytest.raises(CommandInvalid) as raised:
                await Groups(clinic).create(SUPERVISOR, lambda body=body: body)
            assert faults(raised) == [("facilitators[1]", why)]

    service_walk.with_clinic(group_walk.settings(tmp_path, server), test)


def test_whom_an_ehr_or_an_import_names_is_kept_and_the_course_is_unassigned(clinic):
    async def test(clinic, _course):
        answers = []
        for number, by in enumerate((AS_EHR, service_walk.importing("x")), start=5):
            opening = service_walk.opening(f"EHR-{number}", therapist="Dr X")
            answers.append((await Courses(clinic).open_course(by, lambda opening=opening: opening)).course)
        assert [(each.therapist, each.attention) for each in answers] == [("Dr X", ("unassigned",))] * 2
        assert await listed(clinic, "unassigned") == [each.id for each in answers]
        await People(clinic).add(OPERATOR, lambda: NewPerson(id="Dr X", name="X", roles=("therapist",)))
        assert await listed(clinic, "unassigned") == []

    clinic(test)


# Leaving


def test_who_left_has_no_token_and_their_open_courses_need_a_therapist(clinic):
    async def test(clinic, course):
        tokens, people = Tokens(clinic), People(clinic)
        mine = [
            await tokens.create(OPERATOR, NewToken(role=role, name=role, subject="therapist-1")) for role in ("therapist", "ehr")
        ]
        other = await tokens.create(OPERATOR, NewToken(role="therapist", name="other", subject="therapist-2"))
        ended = service_walk.opening("EHR-7")
        declined = (await Courses(clinic).open_course(THERAPIST, lambda: ended)).course_id
        await walk(clinic, declined, "decline")
        departure = await people.leave(OPERATOR, "therapist-1")
        assert (departure.person.status, departure.ended["tokens"]) == ("left", 2)
        assert departure.person.left_at == clinic.clock.now()
        for each in mine:
            with pytest.raises(Unauthenticated):
                await bearer(clinic, each.token)
        assert (await bearer(clinic, other.token)).person == "therapist-2"
        assert "unassigned" in await asked(clinic, course)
        assert await listed(clinic, "unassigned") == [course]
        assert await asked(clinic, declined) == set()
        answer = (await fire(clinic, course, transfer("therapist-2"), SUPERVISOR)).course
        assert "unassigned" not in answer.attention
        assert await listed(clinic, "unassigned") == []

    clinic(test)


def test_a_subject_who_left_gets_no_token_until_they_come_back(clinic):
    async def test(clinic, _course):
        tokens, people = Tokens(clinic), People(clinic)
        for role in ("therapist", "auditor", "ehr"):
            with pytest.raises(CommandInvalid) as raised:
                await tokens.create(OPERATOR, NewToken(role=role, name="x", subject="gone"))
            assert [where for where, _ in faults(raised)] == ["subject"]
        with pytest.raises(CommandInvalid) as raised:
            await people.add(OPERATOR, lambda: NewPerson(id="gone", name="Another", roles=("auditor",)))
        assert faults(raised) == [("id", TAKEN)]
        back = await people.come_back(OPERATOR, "gone")
        assert (back.status, back.left_at, back.name) == ("active", None, "Gone")
        await tokens.create(OPERATOR, NewToken(role="therapist", name="x", subject="gone"))
        with pytest.raises(CommandInvalid):
            await people.come_back(OPERATOR, "gone")
        await people.leave(OPERATOR, "gone")
        with pytest.raises(CommandInvalid):
            await people.leave(OPERATOR, "gone")

    clinic(test)


def test_unsigned_sessions_of_who_left_are_on_the_supervisors_list_until_they_are_attested(clinic):
    async def test(clinic, course):
        attestations = Attestations(clinic)
        assert await attestations.page(SUPERVISOR, "", 10) == []
        await fire(clinic, course, transfer("therapist-2"))
        await People(clinic).leave(OPERATOR, "therapist-1")
        (item,) = await attestations.page(SUPERVISOR, "", 10)
        assert (item.course, item.therapist) == (course, "therapist-2")
        assert [(each.session, each.given_by) for each in item.sessions] == [(4, "therapist-1")]
        for role in ("therapist", "auditor", "ehr", "admin"):
            with pytest.raises(Forbidden):
                await attestations.page(Principal(person="x", role=role), "", 10)
        attest = Command("attest_session", {"session": item.sessions[0].session}, reason="The therapist left.")
        await fire(clinic, course, attest, SUPERVISOR)
        assert await attestations.page(SUPERVISOR, "", 10) == []

    clinic(test)


def test_the_supervisors_list_comes_in_pages_however_many_other_sessions_are_unsigned(clinic, monkeypatch):
    async def test(clinic, _course):
        theirs = []
        for number in range(4):
            by = SECOND if number % 2 else THERAPIST
            course = await service_walk.open_course(clinic, f"EHR-p{number}", by)
            for trigger in ("record_consent", "start", "record_session"):
                await fire(clinic, course, await service_walk.example(clinic, course, trigger, by), by)
            theirs += [course] if by is SECOND else []
        await People(clinic).leave(OPERATOR, "therapist-2")
        monkeypatch.setattr("ipt_workflow.service.access.attestations.BATCH", 1)
        first = await Attestations(clinic).page(SUPERVISOR, "", 1)
        rest = await Attestations(clinic).page(SUPERVISOR, first[0].course, 5)
        assert [each.course for each in first + rest] == theirs

    clinic(test)


def test_what_was_proposed_lapses_when_the_proposer_has_left(clinic):
    async def test(clinic, course):
        write = Write(decode=lambda: (EXTEND,), version_required=False)
        proposal = await Proposals(clinic).propose(THERAPIST, course, write)
        await People(clinic).leave(OPERATOR, "therapist-1")
        with pytest.raises(ProposalDecided):
            await Proposals(clinic).cosign(SUPERVISOR, proposal.id)
        assert (await Proposals(clinic).one(SUPERVISOR, proposal.id)).proposal.reason == "proposer"

    clinic(test)


# Roles


def test_who_gets_a_token_is_a_known_person_with_its_role(clinic):
    async def test(clinic, _course):
        tokens, people = Tokens(clinic), People(clinic)
        for role in ("supervisor", "therapist"):
            await tokens.create(OPERATOR, NewToken(role=role, name="new one"))
        await tokens.create(OPERATOR, NewToken(role="ehr", name="north"))
        made = await people.one(OPERATOR, "new one")
        assert (made.name, made.roles, made.status) == ("new one", ("therapist", "supervisor"), "active")
        with pytest.raises(NotFound):
            await people.one(OPERATOR, "north")

    clinic(test)


def test_a_role_that_is_taken_away_ends_its_tokens_and_no_others(clinic):
    async def test(clinic, course):
        tokens, people = Tokens(clinic), People(clinic)
        made = {
            role: await tokens.create(OPERATOR, NewToken(role=role, name=role, subject="therapist-1"))
            for role in ("therapist", "supervisor", "ehr")
        }
        assert (await people.one(OPERATOR, "therapist-1")).roles == ("therapist", "supervisor")
        changed = await people.change(OPERATOR, "therapist-1", lambda: PersonChange(roles=("supervisor",)))
        assert changed.roles == ("supervisor",)
        with pytest.raises(Unauthenticated):
            await bearer(clinic, made["therapist"].token)
        for role in ("supervisor", "ehr"):
            assert (await bearer(clinic, made[role].token)).role == role
        assert await listed(clinic, "unassigned") == [course]

    clinic(test)


def test_supervisors_of_a_person_are_supervisors_who_are_here(clinic):
    async def test(clinic, _course):
        people = People(clinic)
        body = NewPerson(
            id="new", name="New", roles=("therapist",), supervisors=("supervisor-2", "gone", "new", "therapist-1"), zone="Mars"
        )
        with pytest.raises(CommandInvalid) as raised:
            await people.add(OPERATOR, lambda: body)
        assert dict(faults(raised)) == {
            "supervisors[1]": LEFT,
            "supervisors[2]": "is the person; name somebody else",
            "supervisors[3]": NOT_IN_ROLE.format("supervisor"),
            "zone": "must be an IANA time zone such as Europe/Berlin",
        }
        good = msgspec.structs.replace(body, supervisors=("supervisor-2", "supervisor-1"), zone="Europe/Berlin", language="de")
        made = await people.add(OPERATOR, lambda: good)
        assert (made.supervisors, made.zone, made.language) == (("supervisor-1", "supervisor-2"), "Europe/Berlin", "de")
        with pytest.raises(CommandInvalid):
            await people.change(OPERATOR, "new", lambda: PersonChange(supervisors=("new",)))
        kept = await people.change(OPERATOR, "new", lambda: PersonChange(language=None, supervisors=()))
        assert (kept.supervisors, kept.zone, kept.language, kept.name) == ((), "Europe/Berlin", None, "New")

    clinic(test)


def test_only_administrators_manage_people_and_each_change_is_in_the_audit_log(clinic):
    async def test(clinic, _course):
        people, long = People(clinic), "x" * 128
        for role in ("therapist", "supervisor", "auditor", "ehr"):
            with pytest.raises(Forbidden):
                await people.page(Principal(person="x", role=role), PersonFilters())
        await people.add(OPERATOR, lambda: NewPerson(id=long, name="Long", roles=("therapist", "supervisor", "auditor", "admin")))
        await people.change(OPERATOR, long, lambda: PersonChange(name="Longer"))
        await people.change(OPERATOR, long, lambda: PersonChange(name="Longer"))
        await people.change(OPERATOR, long, lambda: PersonChange(roles=("admin", "auditor")))
        await people.leave(OPERATOR, long)
        await people.come_back(OPERATOR, long)
        records = await page(clinic.database, clinic.organisation, AuditFilters(kind="config"), Position(), 100)
        actions = [each.action for each in records if "xxx" in each.action]
        assert [action.partition("… ")[2] for action in actions] == [
            *("added", "changed: name", "has roles auditor admin", "left", "came back")
        ]
        assert {len(action) for action in actions} == {ACTION_MAX}

    clinic(test)
