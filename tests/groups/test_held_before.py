"""What a group had held before a client could take part."""

import datetime as dt

from support.course_walk import START, WEEK, Walk, group_of_eight, replaced

from ipt_workflow import groups
from ipt_workflow.course import Course
from ipt_workflow.course.course import HeldBefore
from ipt_workflow.groups import Group, GroupSession, Member

FIRST = START + WEEK  # the group's first session
NOW = START + 20 * WEEK


def session(week: int, *, held: bool = True, kind: str = "session") -> GroupSession:
    """The group's session of a week, from 1 on."""
    at = FIRST + (week - 1) * WEEK
    return GroupSession(
        id=f"session-{week}",
        seq=week,
        occurred_at=at,
        recorded_at=at,
        recorded_by="therapist-1",
        kind=kind,
        medium="face_to_face",
        minutes=90,
        scheduled_for=None,
        held=held,
        told={},
    )


def group(*sessions: GroupSession, joined_in: tuple[float, ...] = (3,)) -> Group:
    """A group that the course joined an hour before the session of each of these weeks."""
    joined = (FIRST + (week - 1) * WEEK - dt.timedelta(hours=1) for week in joined_in)
    return Group(
        id="group-1",
        label="thursdays",
        protocol="group-of-eight",
        protocol_version=1,
        created_at=START,
        created_by="therapist-1",
        version=len(sessions) + 1,
        facilitators=("therapist-1",),
        members=tuple(Member(course="course-1", joined_at=at) for at in joined),
        sessions=sessions,
    )


def course(*weeks: int, **changes: object) -> Course:
    """A started course with sessions of these weeks."""
    walk = Walk(group_of_eight()).in_initial()
    walk.session()
    (known,) = walk.c.sessions
    sessions = tuple(replaced(known, seq=20 + week, at=FIRST + (week - 1) * WEEK) for week in weeks)
    return replaced(walk.c, sessions=sessions, **changes)


def test_who_joins_in_the_third_week_has_missed_two_sessions():
    found = groups.held_before(group(session(1), session(2), session(3)), course(), NOW)
    assert found == HeldBefore(sessions=2, since=FIRST)


def test_who_was_there_from_the_first_session_on_or_is_in_no_group_has_missed_nothing():
    assert groups.held_before(group(session(1), session(2), joined_in=(1,)), course(), NOW) is None
    assert groups.held_before(group(session(1), joined_in=()), course(), NOW) is None
    assert groups.held_before(group(session(1), session(2)), course(), FIRST) is None, "not a member yet"


def test_only_sessions_that_the_group_held_and_that_count_are_missed():
    sessions = (session(1, held=False), session(2, kind="additional"), session(2), session(3))
    assert groups.held_before(group(*sessions), course(), NOW) == HeldBefore(sessions=1, since=FIRST + WEEK)


def test_a_session_that_was_taken_back_and_recorded_again_is_missed_once():
    again = replaced(session(1), id="session-again", seq=9)
    assert groups.held_before(group(session(1), again), course(), NOW) == HeldBefore(sessions=1, since=FIRST)


def test_what_the_course_counts_from_an_earlier_stay_or_another_group_is_not_missed():
    rejoined = group(*(session(week) for week in range(1, 6)), joined_in=(1, 5))
    assert groups.held_before(rejoined, course(1, 2), NOW) == HeldBefore(sessions=2, since=FIRST)
    assert groups.held_before(group(session(1), session(2)), course(1, 2), NOW) is None
    assert groups.held_before(group(session(1), session(2)), course(1, 2, 3, 4), NOW) is None


def test_what_the_group_held_before_the_course_started_is_missed_by_a_member_too():
    joined_first = group(session(1), session(2), joined_in=(1,))
    started_later = course(started_at=FIRST + 1.5 * WEEK)
    assert groups.held_before(joined_first, started_later, NOW) == HeldBefore(sessions=2, since=FIRST)
