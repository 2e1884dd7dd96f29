"""The demonstration caseload: about sixty courses at every stage, of nine forms of IPT, and one group.

A virtual clock dates them back.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec

from ipt_workflow.access import people
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import examples
from ipt_workflow.course.triggers import Command, Role
from ipt_workflow.errors import TransitionRefused
from ipt_workflow.groups.bodies import Joining, NewGroup, NewSession, Signing
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access import sign_in_links
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.demo_day import make_day
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.sessions import GroupSessions
from ipt_workflow.service.groups.signatures import GroupSignatures
from ipt_workflow.service.installation import Installation
from ipt_workflow.service.writes import GroupWrite, Opening, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.database import Connection
from ipt_workflow.store.people import StoredPerson

NAMES = {
    "supervisor-1": ("Miriam Adler", "supervisor"),
    "therapist-1": ("Jonas Brandt", "therapist"),
    "therapist-2": ("Leyla Demir", "therapist"),
    "therapist-3": ("Nora Lindqvist", "therapist"),
    "auditor-1": ("Paul Okafor", "auditor"),
    "admin-1": ("Ines Moreau", "admin"),
}
THERAPISTS = tuple(person for person, (_, role) in NAMES.items() if role == "therapist")
SUBJECTS: dict[Role, str] = {
    "therapist": THERAPISTS[0],
    "supervisor": "supervisor-1",
    "auditor": "auditor-1",
    "ehr": "ehr-1",
    "admin": "admin-1",
}

Step = tuple[str, dict[str, Any]]  # a trigger, and the fields that replace those of its example


def _steps(*steps: str | Step) -> list[Step]:
    return [each if isinstance(each, tuple) else (each, {}) for each in steps]


def session(attendance: str = "5", **data: Any) -> Step:
    return "record_session", {"data": {"attendance": attendance, **data}}


HELD = _steps("record_session", "sign_session")
STARTED = _steps("record_consent", "start")
FIRST = [*STARTED, *_steps("record_measure"), *HELD, *_steps("record_evaluation", "record_history", "assign_sick_role")]
SECOND = [*HELD, *_steps("record_inventory", "record_timeline", "record_formulation", "accept_formulation", "select_focus")]
AGREED = _steps(
    "agree_contract",
    ("record_measure", {"data": {"instrument": "ifr", "total": 4}}),
    ("record_measure", {"data": {"instrument": "mspss", "total": 50}}),
)
MIDDLE = [*FIRST, *SECOND, *AGREED, *_steps("begin_middle")]
FINAL = [*MIDDLE, *HELD * 7, *_steps("announce_ending", "begin_final")]
WORK = _steps(
    "record_gains",
    "record_independence",
    "plan_for_recurrence",
    "decide_continuation",
    "relinquish_sick_role",
    ("record_measure", {"data": {"instrument": "phq9", "items": [1, 0, 1, 1, 0, 1, 0, 0, 0]}}),
    ("record_measure", {"data": {"instrument": "ifr", "total": 7}}),
    ("record_measure", {"data": {"instrument": "mspss", "total": 66}}),
)
WEEKS = {"override": {"rules": ["contracted_weeks_served"], "reason": "The client moves away sooner than planned."}}
DONE = [*FINAL, *HELD * 3, *WORK, *_steps(("complete", {"data": {"outcome": "remission"}, **WEEKS}))]
RISK = {"data": {"instrument": "phq9", "items": [2, 2, 2, 2, 1, 2, 1, 1, 1]}}
LATE_SUPPORT = {
    "override": {"rules": ["baseline_of_every_aim", "timeline_recorded"], "reason": "The forms come with the next session."}
}


# Other forms of IPT. The examples follow what each protocol requires.
WORKED = _steps(
    *("record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation"),
    *("assign_sick_role", "select_focus", "agree_contract", "record_measure", "record_measure", "record_measure"),
)
BOTH_CONSENTED = _steps("record_consent", "record_consent", "start")
RHYTHM = _steps("record_rhythm", "record_rhythm", "record_prescriber_review")
COUNSELLED = _steps("record_inventory", "select_focus", "agree_contract", "record_measure", "record_measure", "record_measure")
WITHOUT_PARTNER = {
    "data": {"attendance": "5", "participants": ["client"]},
    "override": {"rules": ["participants_present"], "reason": "The partner was on call."},
}
READY_FOR_GROUP = _steps(
    "record_consent", "start", "record_contact", *("record_inventory", "select_focus", "agree_contract"), *["record_measure"] * 3
)
MEMBERS = 6
GROUP_WEEKS = ("555555", "553555", "555555", "525555")  # each week, one attendance code a member


class Plan(msgspec.Struct, frozen=True):
    """`count` courses that take these steps, the last of them `idle_weeks` ago."""

    count: int
    steps: list[Step]
    idle_weeks: int = 0
    protocol: str = "ipt"


PLANS: tuple[Plan, ...] = (
    Plan(2, []),
    Plan(1, _steps(session("3"))),
    Plan(1, _steps("book_session")),
    Plan(2, STARTED),
    Plan(3, FIRST),
    Plan(1, [*FIRST, *HELD, *HELD, session()]),  # the last is a fourth session: the course refuses it
    Plan(
        1,
        [
            *FIRST,
            *HELD,
            *HELD,
            ("record_session", {"data": {"attendance": "5", "kind": "additional"}, "reason": "It was a crisis."}),
        ],
    ),
    Plan(2, [*FIRST, *SECOND]),
    Plan(2, MIDDLE),
    Plan(2, [*FIRST, *SECOND, *_steps("agree_contract"), ("begin_middle", LATE_SUPPORT), *HELD]),
    Plan(2, [*MIDDLE, *HELD * 2, session("3"), *HELD]),
    Plan(2, [*MIDDLE, session("4"), session("2", late_notice=True), *HELD]),
    Plan(2, [*MIDDLE, *HELD * 4, *_steps(("record_measure", RISK))]),
    Plan(
        1, [*MIDDLE, *HELD * 2, session("3"), ("amend", {"data": {"data": {"attendance": "6"}}, "reason": "The client came late."})]
    ),
    Plan(2, [*MIDDLE, *HELD * 5, *_steps("record_session")]),
    Plan(2, [*MIDDLE, *HELD * 3, *_steps("pause")]),
    Plan(1, [*MIDDLE, *HELD * 2], idle_weeks=5),
    Plan(3, FINAL),
    Plan(2, [*FINAL, *HELD * 2]),
    Plan(1, [*FINAL, *HELD * 3, *WORK[:3]]),
    Plan(4, DONE),
    Plan(1, [*MIDDLE, *HELD * 2, session("3"), session("3"), *_steps("end_early")]),
    Plan(1, [*STARTED, *_steps("end_early")]),
    Plan(1, _steps("decline")),
    Plan(1, [*FIRST, *_steps("decline")]),
    Plan(
        1,
        [*STARTED, *HELD * 3, *WORKED, *RHYTHM, *_steps("begin_middle", "set_rhythm_target"), *HELD * 4, *_steps("record_rhythm")],
        protocol="ipsrt",
    ),
    Plan(1, [*STARTED, *HELD, *_steps("record_rhythm")], protocol="ipsrt"),
    Plan(2, [*BOTH_CONSENTED, *HELD, *_steps("record_contact"), *WORKED, *_steps("begin_middle"), *HELD * 3], protocol="ipt-a"),
    Plan(
        1,
        [*BOTH_CONSENTED, *HELD * 2, *WORKED, *_steps("begin_middle"), *HELD * 2, ("record_session", WITHOUT_PARTNER)],
        protocol="ipt-couples",
    ),
    Plan(1, [*STARTED, *HELD * 2, *WORKED, *_steps("begin_middle"), *HELD * 2], protocol="ipt-telephone"),
    Plan(1, [*STARTED, *HELD, *WORKED], protocol="ipt-perinatal"),
    Plan(1, [*STARTED, *HELD, *COUNSELLED, *_steps("begin_middle", "announce_ending"), *HELD], protocol="ipc"),
    Plan(1, [*STARTED, *_steps("agree_contract"), *HELD * 3, *_steps("record_review")], protocol="ipt-maintenance"),
)
COURSES = sum(plan.count for plan in PLANS) + MEMBERS


class DemoResult(msgspec.Struct, frozen=True):
    """How many courses were made, in how many states, and a token for each role whose person has not left.

    `links` holds the paths of one-time links that sign a person of each role in, where the service is for this machine alone.
    """

    courses: int
    states: int
    tokens: dict[Role, str]
    links: dict[Role, str] = {}


async def make(clinic: Clinic, progress: Callable[[], None] = lambda: None, *, token_days: int = 1) -> DemoResult:
    """Makes the courses, unless a former run made them, and a new token for every role. Calls `progress` after each course."""
    await clinic.write(_staff, clinic.clock.now())
    courses = states = 0
    if await clinic.read(stored_courses.client_id, "DEMO-001") is None:
        clock = VirtualClock(clinic.clock.now())
        rehearsal = Clinic(
            Installation(clinic.database, clinic.catalogue, clinic.settings, clock), clinic.organisation, clinic.zone
        )
        each_course = [plan for plan in PLANS for _ in range(plan.count)]
        for number, plan in enumerate(each_course, start=1):
            await _course(rehearsal, clock, clinic.clock.now(), number, plan)
            progress()
        await _group(rehearsal, clock, clinic.clock.now(), len(each_course), progress)
        therapist = Principal(person=SUBJECTS["therapist"], role="therapist", via="cli")
        supervisor = Principal(person=SUBJECTS["supervisor"], role="supervisor", via="cli")
        await make_day(rehearsal, clock, clinic.clock.now(), therapist, supervisor)
        counts = await clinic.read(stored_courses.courses_by_state)
        courses, states = sum(count for *_, count in counts), len({state for _, state, _ in counts})
    operator = Principal(person="demo", role="admin", via="cli")
    manager = Tokens(clinic)
    tokens: dict[Role, str] = {}
    here = await _here(clinic)
    for role, subject in here.items():
        tokens[role] = (
            await manager.create(operator, NewToken(role=role, name=f"demo {role}", subject=subject, days=token_days))
        ).token
    return DemoResult(courses, states, tokens, await _links(clinic, here))


async def _here(clinic: Clinic) -> dict[Role, str]:
    """Whom each role's token is for, without those who were made to leave since a former run."""
    left = {each.id for each in await clinic.read(stored_people.page, stored_people.PersonFilters(status="left"), "", None)}
    return {role: subject for role, subject in SUBJECTS.items() if subject not in left}


async def _links(clinic: Clinic, here: dict[Role, str]) -> dict[Role, str]:
    """A link for a person of each role that people have."""
    if not sign_in_links.are_on(clinic.settings):
        return {}
    made = sign_in_links.SignInLinks(clinic)
    return {role: await made.make(subject) for role, subject in here.items() if role in people.STAFF_ROLES}


def _staff(connection: Connection, organisation: str, now: dt.datetime) -> None:
    """Adds the people of the demonstration, unless they are known already."""
    for person, (name, role) in NAMES.items():
        supervisors = ("supervisor-1",) if role == "therapist" else ()
        stored_people.insert(
            connection,
            organisation,
            StoredPerson(id=person, name=name, roles=(role,), created_at=now, supervisors=supervisors),
        )


async def _course(clinic: Clinic, clock: VirtualClock, end: dt.datetime, number: int, plan: Plan) -> None:
    """Makes one course, with a week for each session, so that its last step was a few days ago."""
    weeks = plan.idle_weeks + sum(trigger == "record_session" for trigger, _ in plan.steps)
    clock.set(end - dt.timedelta(weeks=weeks, days=number % 5 + 2))
    principal = Principal(person=THERAPISTS[number % len(THERAPISTS)], role="therapist", via="cli")
    course = await _opened(clinic, principal, number, plan.protocol)
    for step in plan.steps:
        clock.advance(dt.timedelta(days=7) if step[0] == "record_session" else dt.timedelta(minutes=7))
        await _fire(clinic, Courses(clinic), principal, course, step)


async def _opened(clinic: Clinic, principal: Principal, number: int, protocol: str) -> str:
    indication = "depression" if protocol == "ipt" else clinic.catalogue.get(protocol).indications[0]
    opening = Opening(
        client_ref=f"DEMO-{number:03}",
        protocol=protocol,
        therapist=principal.person,
        data={"source": "General practitioner", "indication": indication},
    )
    return (await Courses(clinic).open_course(principal, lambda: opening)).course_id


async def _group(clinic: Clinic, clock: VirtualClock, end: dt.datetime, before: int, progress: Callable[[], None]) -> None:
    """Makes a group in its fourth week. One member missed a session, another cancelled one, and both go on with the group."""
    clock.set(end - dt.timedelta(weeks=len(GROUP_WEEKS), days=1))
    principal = Principal(person=THERAPISTS[0], role="therapist", via="cli")
    groups, sessions, signatures = Groups(clinic), GroupSessions(clinic), GroupSignatures(clinic)
    made = await groups.create(principal, lambda: NewGroup(protocol="ipt-group", label="thursdays"))
    members = []
    for number in range(before + 1, before + MEMBERS + 1):
        members.append(await _opened(clinic, principal, number, "ipt-group"))
        for step in READY_FOR_GROUP:
            clock.advance(dt.timedelta(minutes=7))
            await _fire(clinic, Courses(clinic), principal, members[-1], step)
        joining = Joining(course=members[-1])
        await groups.join(principal, made.group.id, _write(joining))
        progress()
    for week, attendances in enumerate(GROUP_WEEKS):
        clock.advance(dt.timedelta(days=7) if week else dt.timedelta(hours=1))
        body = NewSession(attendance=dict(zip(members, attendances, strict=True)), minutes=90)  # type: ignore[arg-type]
        held = await sessions.record(principal, made.group.id, _write(body))
        await signatures.sign(
            principal, made.group.id, held.recorded.session.id, lambda: Signing(summary="Each spoke of the week.")
        )
        if week == 0:
            for course in members:
                await _fire(clinic, Courses(clinic), principal, course, ("begin_middle", {}))


def _write(body: Joining | NewSession) -> GroupWrite:
    return GroupWrite(decode=lambda: body, version_required=False)


async def _fire(clinic: Clinic, courses: Courses, principal: Principal, course_id: str, step: Step) -> None:
    """Fires the trigger's example, with the fields that the step replaces.

    A refused session is part of the demonstration: it is in the audit log.
    """
    name, fields = step
    stored = await clinic.visible_course(principal, course_id)
    context = clinic.context(principal, clinic.clock.now(), example_supervisor=SUBJECTS["supervisor"])
    if name == "amend":
        body: dict[str, Any] = {"trigger": name, **fields, "data": {"supersedes": stored.course.sessions[-1].seq, **fields["data"]}}
    else:
        body = {**examples.example(clinic.machine_of(stored.course).protocol, stored.course, name, context), **fields}
    command = msgspec.convert(body, Command)
    try:
        await courses.fire(principal, course_id, Write(decode=lambda: (command,), version_required=False))
    except TransitionRefused:
        if name != "record_session":
            raise
