"""Groups, on both databases: one commit records a session on the courses that accept it, and refused records wait."""

import asyncio
import datetime as dt

import msgspec
import pytest
from support import databases, group_walk
from support.group_walk import AUDITOR, COFACILITATOR, FACILITATOR, LAST_PHASE, OUTSIDER, SUPERVISOR, WEEK, GroupWalk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Forbidden, GroupRefused, GroupSessionRefused, GroupStale, NotFound
from ipt_workflow.groups.bodies import Signing
from ipt_workflow.protocols.definition import Bounds
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.protocols.replay import Trial
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import AuditFilters, Position

KEY = IdempotencyKey("scope", "body")


@pytest.fixture(scope="module")
def three(tmp_path_factory, server):
    """A database with three prepared courses (the third another therapist's) and one that was only referred, and their ids."""
    folder = tmp_path_factory.mktemp("groups")
    made = group_walk.settings(folder, server)

    async def fill(clinic: GroupWalk):
        ids = [await clinic.prepared("EHR-1"), await clinic.prepared("EHR-2"), await clinic.prepared("EHR-3", OUTSIDER)]
        return [*ids, await clinic.course("EHR-4")]

    return made, group_walk.run(made, fill)


@pytest.fixture
def clinic(three, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, a, b, c, referred)`."""
    made, ids = three
    copied = databases.copy(made, tmp_path)
    settings = made.model_copy(update={"database_url": copied.database_url})

    def run(test):
        async def later(clinic):
            clinic.clock.advance(dt.timedelta(days=1))  # all that was prepared lies behind
            return await test(clinic, *ids)

        return group_walk.run(settings, later)

    return run


async def triggers(clinic: GroupWalk, course: str) -> list[str]:
    return [entry.written.trigger for entry in await clinic.clinic.entries(course)]


async def committed_at_once(clinic: GroupWalk, session: str) -> list[tuple]:
    """The entries of a group's session, as the database finds them."""
    found = await clinic.clinic.database.read(
        lambda c: c.exec_driver_sql(
            f"SELECT course_id, seq, person FROM entry WHERE group_session = '{session}' ORDER BY course_id"
        ).all()
    )
    return [tuple(row) for row in found]


# One commit


def test_one_session_is_an_entry_on_every_members_course(clinic):
    async def test(clinic, a, b, c, _):
        group = await clinic.group(a, b, c)
        recorded = await clinic.session(group, {a: "5", b: "6", c: "3"}, minutes=90)
        assert {each.course for each in recorded.accepted} == {a, b, c}
        assert recorded.refused == ()
        session = recorded.session.id
        entries = await committed_at_once(clinic, session)
        assert entries == [
            (each.course, each.seq, "therapist-1") for each in sorted(recorded.accepted, key=lambda each: each.course)
        ]
        for course, attendance, participants in ((a, "5", ["client", "group"]), (b, "6", ["client", "group"]), (c, "3", ["group"])):
            written = (await clinic.clinic.entries(course))[-1].written
            assert (written.data["attendance"], written.data["participants"]) == (attendance, participants)
            assert (written.data["group_session"], written.data["group_held"]) == (session, True)
            assert (await clinic.counted(course)).attended["initial"] == 1
        assert (await clinic.view(group)).version == recorded.version

    clinic(test)


def test_facilitators_give_a_session_together_and_each_signs_on_their_own_course(clinic):
    async def test(clinic, a, _b, c, _):
        group = await clinic.group(a, c, facilitators=("therapist-1", "therapist-2"))
        await clinic.session(group, {a: "5", c: "5"}, COFACILITATOR)
        assert (await clinic.fold(a)).sessions[-1].given_by == "therapist-1"  # its own therapist, who is a facilitator
        assert (await clinic.fold(c)).sessions[-1].given_by == "therapist-2"  # whose therapist is none
        await clinic.sign_all(a)

    clinic(test)


# What is refused


def test_a_refused_signature_is_recorded_as_a_signature(clinic):
    async def test(clinic, a, b, _c, _):
        recorded = await clinic.session(await clinic.group(a, b), {a: "5", b: "5"})
        group = (await clinic.groups.page(SUPERVISOR, None, "", 1))[0].id
        signing = Signing(focus={a: "no_such_area", b: "grief"})
        signed = await clinic.signatures.sign(FACILITATOR, group, recorded.session.id, lambda: signing)
        assert [each.course for each in signed.refused] == [a]
        records = await AuditLog(clinic.clinic).page(AUDITOR, AuditFilters(kind="refusal"), Position(), 10)
        assert [(each.action, each.courses, each.rules) for each in records] == [("sign_session", (a,), ("focus_area_allowed",))]

    clinic(test)


def test_refused_records_wait_and_the_others_are_written(clinic):
    async def test(clinic, a, b, _c, referred):
        group = await clinic.group(a, b, referred)
        recorded = await clinic.session(group, {a: "5", b: "5", referred: "5"})
        assert {each.course for each in recorded.accepted} == {a, b}
        (refused,) = recorded.refused
        assert (refused.course, refused.state) == (referred, "referred")
        assert [refusal.rule for refusal in refused.refusals] == ["attendance_fits_state"]
        assert await triggers(clinic, referred) == ["refer"]
        stored = await clinic.clinic.courses.get(referred)
        assert set(stored.asked) == {"notices"}
        assert await clinic.clinic.database.read(lambda c: c.exec_driver_sql("SELECT body_hash FROM notice").scalar_one()) == ""
        attendance = (await clinic.view(group)).sessions[0].attendance[referred]
        assert (attendance.told, attendance.became, attendance.notice, attendance.seq) == ("5", "waiting", refused.notice, None)
        asking = await clinic.clinic.database.read(
            lambda c: stored_courses.caseload(
                c, clinic.clinic.organisation, stored_courses.Filters(attention="notices"), "", 10, clinic.clock.now()
            )
        )
        assert [each.course.id for each in asking] == [referred]

    clinic(test)


def test_what_a_course_refused_of_a_groups_session_is_judged_again_under_a_candidate(clinic):
    async def test(clinic, a, b, _c, referred):
        group = await clinic.group(a, b, referred)
        await clinic.session(group, {a: "5", b: "5", referred: "5"})
        with pytest.raises(GroupSessionRefused):
            await clinic.session(group, {a: "5", b: "5", referred: "5"}, all=True)
        protocol = clinic.clinic.protocol(group_walk.PROTOCOL, None)
        initial, middle, final = protocol.phases
        longer = msgspec.structs.replace(initial, sessions_max=2), msgspec.structs.replace(middle, sessions_min=5), final
        same = await Trial(clinic.clinic, protocol).run(AUDITOR)
        candidate = msgspec.structs.replace(protocol, digest="longer", phases=longer)
        tried = await Trial(clinic.clinic, candidate).run(AUDITOR)
        assert (same.refusals, same.not_judged, same.newly_allowed) == (4, 0, 0)
        assert {rule: each.count for rule, each in tried.allowed_by.items()} == {"phase_session_cap": 2}
        assert (tried.not_judged, tried.newly_allowed) == (0, 2)

    clinic(test)


def test_what_a_group_did_is_judged_again_under_a_candidate(clinic):
    """Its sessions on every member's course, and its joinings. What no protocol decides is not judged."""

    async def test(clinic, a, b, c, _):
        group = await clinic.group(a, b, c)
        await clinic.session(group, {a: "5", b: "5", c: "3"})
        for course in (a, b):
            await clinic.sign_all(course)
            await clinic.fire(course, "begin_middle")
        await clinic.leave(group, c)
        await clinic.session(group, {a: "5", b: "2"})
        with pytest.raises(GroupRefused):
            await clinic.record(group, {a: "5", b: "2"})
        protocol = clinic.clinic.protocol(group_walk.PROTOCOL, None)
        initial, middle, final = protocol.phases
        candidate = msgspec.structs.replace(
            protocol,
            digest="smaller",
            phases=(initial, msgspec.structs.replace(middle, sessions_max=0), final),
            group=msgspec.structs.replace(protocol.group, members=Bounds(1, 2)),
        )
        same = await Trial(clinic.clinic, protocol).run(AUDITOR)
        assert (same.groups, same.newly_refused, same.refusals, same.not_judged) == (1, 0, 0, 0)
        tried = await Trial(clinic.clinic, candidate).run(AUDITOR)
        assert {rule: each.count for rule, each in tried.refused_by.items()} == {"phase_session_cap": 2, "group_room": 1}
        (joined,) = tried.refused_by["group_room"].examples
        assert (joined.course, joined.seq, joined.trigger) == (c, None, "join a group")
        assert tried.newly_refused == 3

    clinic(test)


def test_a_session_that_every_course_refuses_is_recorded_in_the_group(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        for course in (a, b):
            await clinic.fire(course, "end_early", reason="Moved away.")
        recorded = await clinic.session(group, {a: "5", b: "5"})
        assert (recorded.accepted, [each.state for each in recorded.refused]) == ((), ["ended_early", "ended_early"])
        assert [session.seq for session in (await clinic.view(group)).sessions] == [recorded.version]

    clinic(test)


def test_with_all_either_every_course_accepts_or_nothing_is_written(clinic):
    async def test(clinic, a, b, _c, referred):
        group = await clinic.group(a, b, referred)
        before = {course: await triggers(clinic, course) for course in (a, b, referred)}
        version = (await clinic.view(group)).version
        with pytest.raises(GroupSessionRefused) as caught:
            await clinic.session(group, {a: "5", b: "5", referred: "5"}, all=True)
        assert [(each.course, each.notice) for each in caught.value.members] == [(referred, None)]
        assert {course: await triggers(clinic, course) for course in (a, b, referred)} == before
        assert (await clinic.view(group)).version == version
        assert (await clinic.clinic.courses.get(referred)).asked == {}
        for trigger in ("record_consent", "start"):
            await clinic.fire(referred, trigger)
        assert len((await clinic.session(group, {a: "5", b: "5", referred: "3"}, all=True)).accepted) == 3

    clinic(test)


@pytest.mark.parametrize("fields", ({"minutes": 90}, {"kind": "additional"}, {"occurred_at": "ahead"}, {"occurred_at": "before"}))
def test_a_session_with_faults_is_refused_whole_and_nothing_of_it_is_written(clinic, fields):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        before = await triggers(clinic, a)
        days = {"ahead": 1, "before": -400}.get(fields.get("occurred_at"), 0)
        more = {**fields, **({"occurred_at": clinic.clock.now() + dt.timedelta(days=days)} if days else {})}
        attendance = {a: "5"} if "minutes" in fields else {a: "5", b: "5"}
        with pytest.raises(CommandInvalid):
            await clinic.record(group, attendance, **more)
        assert await triggers(clinic, a) == before
        assert (await clinic.view(group)).sessions == ()

    clinic(test)


def test_a_groups_session_can_be_called_off_before_it_was_to_be(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        ahead = clinic.clock.now() + WEEK
        recorded = (await clinic.record(group, {a: "4", b: "4"}, occurred_at=ahead)).recorded
        assert (recorded.session.held, len(recorded.accepted)) == (False, 2)
        assert (await clinic.counted(a)).attended["initial"] == 0

    clinic(test)


# Once


def test_the_same_key_is_answered_as_the_first_time_and_writes_nothing(clinic):
    async def test(clinic, a, b, _c, referred):
        group = await clinic.group(a, b, referred)
        clinic.clock.advance(WEEK)
        attendance = {a: "5", b: "3", referred: "5"}
        first = await clinic.record(group, attendance, key=KEY)
        before = {course: await triggers(clinic, course) for course in attendance}
        again = await clinic.record(group, attendance, key=KEY)
        assert (first.replayed, again.replayed) == (False, True)
        assert again.recorded == first.recorded
        assert {course: await triggers(clinic, course) for course in attendance} == before
        assert len((await clinic.view(group)).sessions) == 1

    clinic(test)


def test_of_two_facilitators_at_once_one_writes_and_the_other_gets_group_stale(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b, facilitators=("therapist-1", "therapist-2"))
        version = (await clinic.view(group)).version
        clinic.clock.advance(WEEK)
        answers = await asyncio.gather(
            clinic.record(group, {a: "5", b: "5"}, version=version),
            clinic.record(group, {a: "5", b: "3"}, COFACILITATOR, version=version),
            return_exceptions=True,
        )
        lost = [answer for answer in answers if isinstance(answer, Exception)]
        assert [type(each) for each in lost] == [GroupStale]
        assert lost[0].current == version + 1
        for course in (a, b):
            assert (await triggers(clinic, course)).count("record_session") == 1

    clinic(test)


def test_without_a_version_a_session_sent_twice_is_refused_as_already_recorded(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        clinic.clock.advance(WEEK)
        answers = await asyncio.gather(*(clinic.record(group, {a: "5", b: "5"}) for _ in range(3)), return_exceptions=True)
        assert sorted(type(each).__name__ for each in answers) == ["GroupRefused", "GroupRefused", "SessionCommitted"]
        assert (await triggers(clinic, a)).count("record_session") == 1

    clinic(test)


def test_of_two_processes_that_record_a_session_at_once_one_writes(three, tmp_path):
    made, (a, b, *_) = three
    settings = made.model_copy(update={"database_url": databases.copy(made, tmp_path).database_url})

    async def race():
        async with group_walk.opened(settings) as here, group_walk.opened(settings) as there:
            for clinic in (here, there):
                clinic.clock.advance(WEEK)
            group = await here.group(a, b, facilitators=("therapist-1", "therapist-2"))
            sessions = [here.record(group, {a: "5", b: "5"}), there.record(group, {a: "5", b: "3"}, COFACILITATOR)]
            notes = [clinic.courses.fire(FACILITATOR, course, note()) for clinic in (here, there) for course in (a, b)]
            answers = await asyncio.gather(*sessions, *notes, return_exceptions=True)
            assert sorted(type(each).__name__ for each in answers[:2]) == ["GroupRefused", "SessionCommitted"]
            assert not [each for each in answers[2:] if isinstance(each, Exception)]
            for course in (a, b):
                assert sorted((await triggers(here, course))[-3:]) == ["note", "note", "record_session"]
            assert await here.is_whole()

    asyncio.run(race())


def test_if_a_course_changes_before_the_commit_the_session_is_decided_again_and_written_once(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        clinic.clock.advance(WEEK)
        commit, overtaken = clinic.clinic.committer.commit, []

        async def overtake(work, *given):
            if getattr(work, "line", None) and not overtaken:
                overtaken.append(work)
                await clinic.courses.fire(FACILITATOR, b, note())
            return await commit(work, *given)

        clinic.clinic.committer.commit = overtake
        recorded = (await clinic.record(group, {a: "5", b: "5"})).recorded
        assert len(overtaken) == 1
        assert (await triggers(clinic, b))[-2:] == ["note", "record_session"]
        assert len(recorded.accepted) == 2
        assert (await triggers(clinic, a)).count("record_session") == 1

    clinic(test)


def test_a_refusal_of_a_session_that_is_decided_again_is_counted_once(clinic):
    async def test(clinic, a, _b, _c, referred):
        group = await clinic.group(a, referred)
        clinic.clock.advance(WEEK)
        commit, overtaken = clinic.clinic.committer.commit, []

        async def overtake(work, *given):
            if getattr(work, "line", None) and not overtaken:
                overtaken.append(work)
                await clinic.courses.fire(FACILITATOR, a, note())
            return await commit(work, *given)

        def counted():
            labels = {"protocol": group_walk.PROTOCOL, "trigger": "record_session", "rule": "attendance_fits_state"}
            return clinic.clinic.metrics.registry.get_sample_value("ipt_refusals_total", labels)

        clinic.clinic.committer.commit = overtake
        await clinic.record(group, {a: "5", referred: "5"})
        assert (len(overtaken), counted()) == (1, 1)
        with pytest.raises(GroupSessionRefused):
            await clinic.session(group, {a: "5", referred: "5"}, all=True)
        assert counted() == 2

    clinic(test)


def note() -> Write:
    return Write(decode=lambda: (Command("note", {"text": "Called."}),), version_required=False)


def test_no_write_is_lost_when_many_reach_the_members_at_once(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        clinic.clock.advance(WEEK)
        await asyncio.gather(
            clinic.record(group, {a: "5", b: "5"}), *(clinic.courses.fire(FACILITATOR, course, note()) for course in (a, b) * 5)
        )
        for course in (a, b):
            assert sorted((await triggers(clinic, course))[-6:]) == ["note"] * 5 + ["record_session"]

    clinic(test)


# From the first session to the last


def test_a_member_who_misses_the_only_initial_session_can_complete(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        for number in range(1, 9):
            recorded = await clinic.session(group, {a: "5", b: "3" if number in {1, 4} else "5"}, minutes=90)
            assert recorded.refused == (), number
            await clinic.sign_all(a, b)
            for course in (a, b):
                if number == 1:
                    await clinic.fire(course, "begin_middle")
                if number == 7:
                    await clinic.fire(course, "announce_ending")
                    await clinic.fire(course, "begin_final")
        for course in (a, b):
            for trigger in LAST_PHASE:
                await clinic.fire(course, trigger)
            await clinic.measure(course)
            assert (await clinic.fire(course, "complete")).course.state == "completed"
        assert (await clinic.counted(b)).attended == {"initial": 1, "middle": 6, "final": 1}

    clinic(test)


def test_a_member_who_misses_the_only_final_session_completes_with_an_override(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a, b)
        for number in range(1, 9):
            await clinic.session(group, {a: "5", b: "2" if number == 8 else "6"})
            await clinic.sign_all(a, b)
            if number == 1:
                await clinic.fire(b, "begin_middle")
                await clinic.fire(a, "begin_middle")
            if number == 7:
                for course in (a, b):
                    await clinic.fire(course, "announce_ending")
                    await clinic.fire(course, "begin_final")
        for trigger in LAST_PHASE:
            await clinic.fire(b, trigger)
        await clinic.measure(b)
        assert (await clinic.override(b, "complete", "final_attended")).course.state == "completed"

    clinic(test)


# Who is in the group


def test_the_attendance_of_a_member_who_left_is_not_required_and_they_may_return(clinic):
    async def test(clinic, a, b, c, _):
        group = await clinic.group(a, b, c)
        await clinic.session(group, {a: "5", b: "5", c: "5"})
        clinic.clock.advance(dt.timedelta(hours=1))
        view = await clinic.leave(group, b, reason="moved")
        stay = next(member for member in view.members if member.course == b)
        assert (stay.reason, stay.left_at) == ("moved", clinic.clock.now())
        with pytest.raises(CommandInvalid, match="was no member of the group then"):
            await clinic.session(group, {a: "3", b: "5", c: "3"})
        await clinic.session(group, {a: "3", c: "3"}, kind="additional", reason="Met once more.")
        view = await clinic.join(group, b)
        assert [(member.course, member.left_at is None) for member in view.members] == [(a, True), (b, False), (c, True), (b, True)]

    clinic(test)


def test_a_late_session_takes_the_attendance_of_those_who_were_members_then(clinic):
    async def test(clinic, a, b, c, _):
        group = await clinic.group(a, b)
        clinic.clock.advance(dt.timedelta(days=2))
        met = clinic.clock.now()
        clinic.clock.advance(dt.timedelta(days=1))
        await clinic.leave(group, b)
        await clinic.join(group, c)
        with pytest.raises(CommandInvalid) as caught:
            await clinic.record(group, {a: "5", c: "5"}, occurred_at=met)
        assert {fault.where: fault.message for fault in caught.value.faults} == {
            "attendance": f"lacks the member {b}",
            f"attendance.{c}": "was no member of the group then",
        }
        recorded = (await clinic.record(group, {a: "5", b: "5"}, occurred_at=met)).recorded
        assert len(recorded.accepted) == 2
        assert (await clinic.fold(a)).sessions[-1].at == met

    clinic(test)


def test_the_attendance_of_an_ended_course_may_be_left_out(clinic):
    async def test(clinic, a, b, c, _):
        group = await clinic.group(a, b, c)
        await clinic.fire(b, "end_early", reason="Moved away.")
        recorded = await clinic.session(group, {a: "5", c: "5"})
        assert set(recorded.session.attendance) == {a, c}

    clinic(test)


async def refused_by(attempt) -> list[str]:
    with pytest.raises(GroupRefused) as caught:
        await attempt
    return [refusal.rule for refusal in caught.value.refusals]


def test_a_course_joins_where_it_fits_and_one_group_at_a_time(clinic):
    async def test(clinic, a, b, _c, _):
        group, other = await clinic.group(a), await clinic.group()
        assert await refused_by(clinic.join(group, a)) == ["group_one_at_a_time"]
        assert await refused_by(clinic.join(other, a)) == ["group_one_at_a_time"]
        alone = await clinic.course("EHR-7", protocol="ipt")
        assert await refused_by(clinic.join(group, alone)) == ["group_protocol"]
        await clinic.fire(b, "end_early", reason="Moved away.")
        assert await refused_by(clinic.join(group, b)) == ["group_course_open"]
        await clinic.leave(group, a)
        assert [member.course for member in (await clinic.join(other, a)).members] == [a]

    clinic(test)


def test_a_group_takes_no_more_members_than_its_protocol_allows(clinic):
    async def test(clinic, a, b, c, referred):
        group = await clinic.group(a, b, c, referred)
        assert (await clinic.view(group)).size.now == 4
        fifth = await clinic.course("EHR-5")
        assert await refused_by(clinic.join(group, fifth)) == ["group_room"]
        await clinic.leave(group, referred)
        await clinic.join(group, fifth)

    clinic(test)


def test_a_group_smaller_than_its_protocol_requires_gets_a_warning_and_meets(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a)
        assert (await clinic.session(group, {a: "5"})).warnings == ("The group has 1 member; its protocol asks for 2 to 4.",)
        await clinic.sign_all(a)
        await clinic.fire(a, "begin_middle")
        await clinic.join(group, b)
        assert (await clinic.session(group, {a: "5", b: "3"})).warnings == ()

    clinic(test)


def test_times_of_joining_and_leaving_are_in_order(clinic):
    async def test(clinic, a, b, _c, _):
        group = await clinic.group(a)
        opened = (await clinic.fold(b)).opened_at
        assert await refused_by(clinic.join(group, b, joined_at=opened - dt.timedelta(minutes=1))) == ["group_times_in_order"]
        await clinic.join(group, b, joined_at=opened)
        met = (await clinic.session(group, {a: "5", b: "5"})).session.occurred_at
        clinic.clock.advance(dt.timedelta(days=1))
        assert await refused_by(clinic.leave(group, b, left_at=met - dt.timedelta(minutes=1))) == ["group_times_in_order"]
        with pytest.raises(CommandInvalid, match="left_at: lies ahead"):
            await clinic.leave(group, b, left_at=clinic.clock.now() + dt.timedelta(hours=1))
        await clinic.leave(group, b, left_at=met + dt.timedelta(minutes=1))
        assert await refused_by(clinic.leave(group, b)) == ["group_member"]
        assert await refused_by(clinic.join(group, b, joined_at=met)) == ["group_times_in_order"]

    clinic(test)


def test_of_two_groups_that_add_a_course_at_once_one_gets_it(clinic):
    async def test(clinic, a, _b, _c, _):
        groups = [await clinic.group(), await clinic.group()]
        answers = await asyncio.gather(*(clinic.join(group, a) for group in groups), return_exceptions=True)
        assert sorted(type(each).__name__ for each in answers) == ["GroupRefused", "GroupView"]
        assert sorted([len((await clinic.view(group)).members) for group in groups]) == [0, 1]

    clinic(test)


# Who may


def test_a_group_is_visible_to_its_facilitators_supervisors_and_auditors(clinic):
    async def test(clinic, a, _b, _c, _):
        group = await clinic.group(a)
        for who in (FACILITATOR, SUPERVISOR, AUDITOR):
            assert (await clinic.view(group, who)).id == group
            assert [each.id for each in await clinic.groups.page(who, None, "", 10)] == [group]
        with pytest.raises(NotFound):
            await clinic.view(group, COFACILITATOR)
        assert await clinic.groups.page(COFACILITATOR, None, "", 10) == []
        await clinic.facilitate(group, "therapist-2")
        assert [each.id for each in await clinic.groups.page(COFACILITATOR, None, "", 10)] == [group]
        assert await clinic.groups.page(FACILITATOR, None, "", 10) == []
        with pytest.raises(NotFound):
            await clinic.session(group, {a: "5"})
        assert len((await clinic.session(group, {a: "5"}, COFACILITATOR)).accepted) == 1

    clinic(test)


def test_only_a_therapist_who_facilitates_the_group_records_its_sessions(clinic):
    async def test(clinic, a, _b, _c, _):
        group = await clinic.group(a)
        for who, error in ((SUPERVISOR, Forbidden), (AUDITOR, Forbidden), (OUTSIDER, NotFound)):
            with pytest.raises(error):
                await clinic.session(group, {a: "5"}, who)
        assert "record_session" not in await triggers(clinic, a)

    clinic(test)


def test_a_facilitator_adds_only_courses_that_they_may_see(clinic):
    async def test(clinic, a, _b, c, _):
        group = await clinic.group()
        await clinic.join(group, a, FACILITATOR)
        with pytest.raises(CommandInvalid, match="is no course that you may see"):
            await clinic.join(group, c, FACILITATOR)

    clinic(test)


def test_a_therapist_who_makes_a_group_must_be_a_facilitator(clinic):
    async def test(clinic, *_):
        with pytest.raises(CommandInvalid, match="must name you"):
            await clinic.group(facilitators=("therapist-2",))
        with pytest.raises(CommandInvalid, match="at least one therapist"):
            await clinic.group(by=SUPERVISOR)
        assert await clinic.group(by=SUPERVISOR, facilitators=("therapist-2",))

    clinic(test)


def test_what_was_done_with_a_group_is_in_the_audit_log(clinic):
    async def test(clinic, a, b, _c, referred):
        group = await clinic.group(a, b, referred)
        await clinic.session(group, {a: "5", b: "5", referred: "5"})
        await clinic.leave(group, b)
        found = await clinic.clinic.database.read(
            lambda c: c.exec_driver_sql(
                "SELECT kind, action, rules FROM audit_event WHERE kind <> 'read' ORDER BY recorded_at, id"
            ).all()
        )
        events = [tuple(row) for row in found if row.kind in {"config", "refusal"}]
        assert events == [
            ("config", f"group {group} created", None),
            *[("config", f"group {group} member joined", None)] * 3,
            ("refusal", "record_session", "attendance_fits_state"),
            ("config", f"group {group} member left", None),
        ]

    clinic(test)
