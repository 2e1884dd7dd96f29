"""The rules of a group's log, each with its sentence filled in."""

import datetime as dt

import pytest
from support.course_walk import HOUR, START, Walk, group_of_eight, places, replaced

from ipt_workflow import groups
from ipt_workflow.course.rules.messages import render
from ipt_workflow.groups.bodies import NewSession

SPEC = group_of_eight().group
JOINED = START + HOUR
GROUP = groups.Group(
    id="group-1",
    label="thursdays",
    protocol="group-of-eight",
    protocol_version=1,
    created_at=START,
    created_by="therapist-1",
    version=3,
    facilitators=("therapist-1",),
    members=(groups.Member(course="course-1", joined_at=JOINED),),
)
MET = NewSession(attendance={"course-1": "5"}, minutes=90)


def course(*triggers: str):
    walk = Walk(group_of_eight()).referred().do(*triggers)
    return replaced(walk.c, protocol=GROUP.protocol, protocol_version=GROUP.protocol_version, opened_at=START)


def joined(group: str) -> groups.MemberEvent:
    return groups.MemberEvent(course="course-1", group=group, nth=1, seq=1, joined=True, at=JOINED)


def joining(group=GROUP, *, of=None, at=JOINED + HOUR, last=None):
    return groups.join_refusals(group, SPEC, of or course(), at, last)


def full(count: int) -> groups.Group:
    return replaced(GROUP, members=tuple(groups.Member(course=f"course-{n}", joined_at=JOINED) for n in range(count)))


def recorded_twice(met=MET, at=JOINED):
    walk = Walk(group_of_eight()).in_initial()
    walk.session()
    session = groups.GroupSession(
        id="session-1",
        seq=3,
        occurred_at=JOINED,
        recorded_at=JOINED,
        recorded_by="therapist-1",
        kind="session",
        medium="face_to_face",
        minutes=None,
        scheduled_for=None,
        held=True,
        told={},
    )
    sessions = tuple(replaced(each, group_session="session-1") for each in walk.c.sessions)
    course_of_it = {"course-1": replaced(walk.c, sessions=sessions)}
    return groups.session_refusals(replaced(GROUP, sessions=(session,)), met, at, course_of_it)


CASES = {
    "group_course_open": lambda: joining(of=course("decline")),
    "group_log_bounded": lambda: joining(replaced(GROUP, version=groups.LOG_MAX)),
    "group_member": lambda: groups.leave_refusals(GROUP, "course-2", JOINED),
    "group_one_at_a_time.another": lambda: joining(last=joined("group-2")),
    "group_one_at_a_time.this": lambda: joining(last=joined("group-1")),
    "group_protocol": lambda: joining(of=replaced(course(), protocol="ipt")),
    "group_room": lambda: joining(full(SPEC.members.max)),
    "group_session_once": recorded_twice,
    "group_times_in_order.join": lambda: joining(at=START - HOUR),
    "group_times_in_order.leave": lambda: groups.leave_refusals(GROUP, "course-1", JOINED - HOUR),
}


def test_every_sentence_has_a_case():
    assert set(CASES) == set(groups.MESSAGES)


@pytest.mark.parametrize("message_id", CASES)
def test_a_rule_refuses_with_its_sentence(message_id):
    (refusal,) = CASES[message_id]()
    assert (refusal.message_id, refusal.rule, refusal.severity) == (message_id, message_id.partition(".")[0], "hard")
    assert set(refusal.parameters) == places(groups.MESSAGES[message_id])
    assert refusal.message == render(groups.MESSAGES[message_id], refusal.parameters, rule=refusal.rule, severity="hard")


def test_what_the_log_allows_is_not_refused():
    assert joining() == ()
    assert groups.leave_refusals(GROUP, "course-1", JOINED + dt.timedelta(days=1)) == ()
    assert groups.session_refusals(GROUP, MET, JOINED, {"course-1": course()}) == ()


@pytest.mark.parametrize("minutes", (-89, -1, 1, 49))
def test_two_sessions_of_a_group_that_were_held_and_overlap_are_one(minutes):
    later = JOINED + dt.timedelta(minutes=minutes)
    assert [each.rule for each in recorded_twice(MET, later)] == ["group_session_once"]
    assert recorded_twice(replaced(MET, attendance={"course-1": "3"}), later) == ()


@pytest.mark.parametrize("minutes", (-90, 50))
def test_sessions_of_a_group_that_follow_each_other_are_two(minutes):
    assert recorded_twice(MET, JOINED + dt.timedelta(minutes=minutes)) == ()
