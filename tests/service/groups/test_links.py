"""A session of a group that a member's course has recorded already, by a notice or by a person: either order comes to the same."""

import datetime as dt

import msgspec
import pytest
from support import databases, group_walk
from support.group_walk import AUDITOR, FACILITATOR, OUTSIDER, WEEK, GroupWalk

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.groups import HeldRecord
from ipt_workflow.groups.bodies import MemberDetails, Signing
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.store.audit import AuditFilters, Position

EHR = Principal(person="ehr:epa", role="ehr", via="ehr")
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)
# What a session of a course is whichever came first: all but its seq, its own time and length, its names, and who signed it.
ALIKE = ("phase", "attendance", "kind", "given_by", "group_session", "group_held", "late_notice", "excused")


@pytest.fixture(scope="module")
def three(tmp_path_factory, server):
    made = group_walk.settings(tmp_path_factory.mktemp("links"), server)

    async def fill(clinic: GroupWalk):
        return [await clinic.prepared("EHR-1"), await clinic.prepared("EHR-2"), await clinic.prepared("EHR-3", OUTSIDER)]

    return made, group_walk.run(made, fill)


@pytest.fixture
def clinic(three, tmp_path):
    """Runs an async test on a copy: `clinic(test)` with `test(clinic, group, a, b, c)`, a week after the members joined."""
    made, ids = three
    settings = made.model_copy(update={"database_url": databases.copy(made, tmp_path).database_url})

    def run(test):
        async def later(clinic):
            return await test(clinic, await met_weekly(clinic, *ids), *ids)

        return group_walk.run(settings, later)

    return run


async def met_weekly(clinic: GroupWalk, *courses: str) -> str:
    """A group of these courses, a week after they joined it."""
    clinic.clock.advance(dt.timedelta(days=1))  # all that was prepared lies behind
    group = await clinic.group(*courses)
    clinic.clock.advance(WEEK)
    return group


async def visit(clinic: GroupWalk, course: str, attendance: str, at: dt.datetime, by: Principal = EHR, **data):
    await clinic.fire(course, "record_session", {"attendance": attendance, **data}, by=by, occurred_at=at)


async def seen(clinic: GroupWalk, group: str, *courses: str) -> list:
    """What a group's session is to each course, what counts there, and what the group's log shows."""
    (session,) = (await clinic.view(group)).sessions
    found = []
    for course in courses:
        fold = await clinic.fold(course)
        (recorded,) = fold.sessions
        attendance = session.attendance[course]
        assert (recorded.group_session, attendance.seq) == (session.id, recorded.seq)
        found.append(
            (
                {name: getattr(recorded, name) for name in ALIKE} | {"group_session": "the group's"},
                await clinic.counted(course),
                fold.begun_at.date() if fold.begun_at else None,
                fold.met,
                (attendance.told, attendance.became, attendance.attendance),
            )
        )
    return found


@pytest.mark.parametrize("minutes", (-40, 0, 5))
def test_either_order_comes_to_the_same_courses_and_the_same_log(three, tmp_path, minutes):
    """Of the members one attended, one missed and one cancelled. An EHR tells of each before the group's session is recorded."""
    made, ids = three
    attendance = dict(zip(ids, ("5", "3", "2"), strict=True))

    def run(name: str, test):
        (tmp_path / name).mkdir()
        settings = made.model_copy(update={"database_url": databases.copy(made, tmp_path / name).database_url})
        return group_walk.run(settings, test)

    async def group_first(clinic: GroupWalk):
        group = await met_weekly(clinic, *ids)
        await clinic.record(group, attendance, minutes=90)
        return await seen(clinic, group, *ids)

    async def members_first(clinic: GroupWalk):
        group = await met_weekly(clinic, *ids)
        met = clinic.clock.now()
        clinic.clock.advance(HOUR)
        for number, (course, code) in enumerate(attendance.items()):
            await visit(clinic, course, code, met + minutes * MINUTE, ref=f"Encounter/{number}")
        recorded = (await clinic.record(group, attendance, occurred_at=met, minutes=90)).recorded
        assert (len(recorded.accepted), recorded.refused) == (3, ())
        return await seen(clinic, group, *ids)

    assert run("members", members_first) == run("group", group_first)


def test_a_session_that_was_told_of_before_is_linked_and_keeps_its_names(clinic):
    async def test(clinic, group, a, b, c):
        met = clinic.clock.now()
        await visit(clinic, a, "5", met - 5 * MINUTE, ref="Encounter/1")
        clinic.clock.advance(HOUR)
        details = {a: MemberDetails(ref="Appointment/7", comment="Said little.")}
        recorded = (await clinic.record(group, {a: "6", b: "5", c: "5"}, occurred_at=met, details=details)).recorded
        assert recorded.refused == ()
        (session,) = (await clinic.fold(a)).sessions
        assert (session.refs, session.attendance) == (("Encounter/1", "Appointment/7"), "5")
        entries = await clinic.clinic.entries(a)
        assert [each.written.trigger for each in entries][-2:] == ["record_session", "link_session"]
        link = entries[-1]
        assert journal.given(entries)[link.written.seq]["comment"] == "Said little."
        assert (link.written.data["group_session"], link.written.data["group_held"]) == (recorded.session.id, True)
        assert recorded.session.attendance[a].seq == session.seq
        found = await AuditLog(clinic.clinic).page(AUDITOR, AuditFilters(group_session=recorded.session.id), Position(), 20)
        assert [each.action for each in found].count("link_session") == 1
        assert len(found) == 3

    clinic(test)


def test_a_session_that_a_person_recorded_alone_is_linked_and_signed_with_the_group(clinic):
    async def test(clinic, group, a, b, c):
        met = clinic.clock.now()
        await visit(clinic, a, "5", met, by=FACILITATOR)
        await visit(clinic, c, "5", met, by=OUTSIDER)
        await clinic.sign_all(c, by=OUTSIDER)
        clinic.clock.advance(HOUR)
        session = (await clinic.record(group, {a: "5", b: "5", c: "5"}, occurred_at=met)).recorded.session
        signed = await clinic.signatures.sign(FACILITATOR, group, session.id, Signing)
        assert {each.course for each in signed.signed} == {a, b}
        assert (await clinic.fold(c)).sessions[0].given_by == OUTSIDER.person, "who signed it remains its therapist"

    clinic(test)


@pytest.mark.parametrize(
    ("recorded", "told"),
    (({"attendance": "3"}, "5"), ({"attendance": "5"}, "3"), ({"attendance": "2", "late_notice": True}, "2")),
    ids=("missed, then attended", "attended, then missed", "cancelled late, then cancelled"),
)
def test_records_that_contradict_each_other_wait_and_link_once_one_is_amended(clinic, recorded, told):
    async def test(clinic, group, a, b, c):
        met = clinic.clock.now()
        await clinic.fire(a, "record_session", recorded, by=FACILITATOR, occurred_at=met + MINUTE)
        seq = (await clinic.fold(a)).version
        clinic.clock.advance(HOUR)
        answer = (await clinic.record(group, {a: told, b: "5", c: "5"}, occurred_at=met)).recorded
        (refused,) = answer.refused
        assert [each.rule for each in refused.refusals] == ["overlaps_session"]
        assert refused.refusals[0].current == [seq]
        assert len((await clinic.fold(a)).sessions) == 1
        correction = {"attendance": told, "late_notice": False}
        await clinic.fire(a, "amend", {"supersedes": seq, "data": correction}, by=FACILITATOR, reason="It was told wrongly.")
        body = await clinic.clinic.database.read(lambda c: c.exec_driver_sql("SELECT body FROM notice").scalar_one())
        record = msgspec.json.decode(bytes(body), type=HeldRecord)
        assert await clinic.sessions.again(FACILITATOR, a, record) == seq
        assert await clinic.sessions.again(FACILITATOR, a, record) == seq, "and once more changes nothing"
        (session,) = (await clinic.fold(a)).sessions
        assert (session.group_session, session.group_held, session.attendance) == (answer.session.id, True, told)

    clinic(test)


def test_a_link_by_which_a_session_would_count_beyond_the_phase_waits(clinic):
    """The initial phase has one session. The member has had it when the EHR's cancellation turns out to be a meeting of the group."""

    async def test(clinic, group, a, b, c):
        await clinic.record(group, {a: "5", b: "5", c: "5"})
        clinic.clock.advance(WEEK)
        met = clinic.clock.now()
        await visit(clinic, a, "4", met + MINUTE)
        clinic.clock.advance(HOUR)
        answer = (await clinic.record(group, {a: "4", b: "5", c: "5"}, occurred_at=met)).recorded
        refusals = {refusal.rule for each in answer.refused if each.course == a for refusal in each.refusals}
        assert refusals == {"phase_session_cap"}
        assert (await clinic.counted(a)).attended["initial"] == 1

    clinic(test)


def test_another_meeting_of_the_group_is_no_record_of_this_one(clinic):
    async def test(clinic, group, a, b, c):
        first = (await clinic.record(group, {a: "5", b: "5", c: "5"})).recorded.session
        other = await clinic.group()
        await clinic.leave(group, a)
        clinic.clock.advance(MINUTE)
        await clinic.join(other, a)
        clinic.clock.advance(10 * MINUTE)
        answer = (await clinic.record(other, {a: "5"})).recorded
        assert [refusal.rule for refusal in answer.refused[0].refusals if refusal.severity == "soft"] == ["overlaps_session"]
        assert [each.group_session for each in (await clinic.fold(a)).sessions] == [first.id]

    clinic(test)
