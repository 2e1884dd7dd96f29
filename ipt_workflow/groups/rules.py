"""The rules of a group's log. They are all hard. What a session means to a member's course, the rules of courses decide."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ipt_workflow.course import Course, visits
from ipt_workflow.course.rules.messages import render
from ipt_workflow.errors import Parameter, Refusal
from ipt_workflow.groups.bodies import NewSession
from ipt_workflow.groups.group import LOG_MAX, Group, MemberEvent
from ipt_workflow.groups.sessions import is_held
from ipt_workflow.protocols.definition import GroupSpec
from ipt_workflow.values.types import ATTENDED

RULES = {
    "group_protocol": "The member's course runs the group's protocol, at the group's version.",
    "group_course_open": "The member's course is open.",
    "group_one_at_a_time": "A course is in one group at a time.",
    "group_room": "A group has no more members than its protocol's `[group] members` allows.",
    "group_times_in_order": "A course joins after it was opened and after it last left a group; it leaves after it joined and after the last session it attended.",
    "group_member": "Only a member leaves.",
    "group_session_once": "A session is recorded once, as long as an entry of it is in force: not two of one moment, nor two that were held and overlap.",
    "group_log_bounded": f"A group's log has at most {LOG_MAX} lines.",
}

MESSAGES = {
    "group_course_open": "The course has ended. Choose an open course.",
    "group_log_bounded": "The group's log is full. Make a new group.",
    "group_member": "The course is not in this group. Choose a member.",
    "group_one_at_a_time.another": "The course is in another group. It must leave that group before it joins this one.",
    "group_one_at_a_time.this": "The course is in this group already. Choose another course.",
    "group_protocol": "The course runs {protocol}, and the group runs {wanted}. Choose a course or a group of the same protocol and version.",
    "group_room": "The group is full: it has {count} of {most} members. Choose another group.",
    "group_session_once": (
        "This session is already recorded. Amend the entries that are wrong, and resolve in the inbox the records that wait there."
    ),
    "group_times_in_order.join": "The course cannot have joined before {earliest}. Give a later time.",
    "group_times_in_order.leave": "The member cannot have left before {earliest}. Give a later time.",
}


def join_refusals(group: Group, spec: GroupSpec, course: Course, at: dt.datetime, last: MemberEvent | None) -> tuple[Refusal, ...]:
    """The refusals of a course that joins. `last` is the last line about it in the log of any group."""
    refusals = _log_refusals(group)
    runs, wanted = f"{course.protocol}@{course.protocol_version}", f"{group.protocol}@{group.protocol_version}"
    if runs != wanted:
        refusals.append(
            _refusal("group_protocol", current=runs, required=wanted, source="domain I30", protocol=runs, wanted=wanted)
        )
    if not course.open:
        refusals.append(_refusal("group_course_open", current=course.state, required="an open course"))
    if last and last.joined:
        here = last.group == group.id
        message_id = "group_one_at_a_time.this" if here else "group_one_at_a_time.another"
        current = "this group" if here else "another group"
        refusals.append(_refusal(message_id, current=current, required="no group", source="domain I30"))
    count, most = len(group.present), spec.members.max
    if count >= most:
        refusals.append(
            _refusal("group_room", current=count, required=f"fewer than {most}", source="domain 2", count=count, most=most)
        )
    earliest = max(course.opened_at, last.at) if last else course.opened_at
    return (*refusals, *_time_refusals("group_times_in_order.join", at, earliest))


def leave_refusals(group: Group, course: str, at: dt.datetime) -> tuple[Refusal, ...]:
    """The refusals of a member who leaves."""
    member = group.member(course)
    if member is None:
        return (_refusal("group_member", current=None, required="a member"),)
    attended = [each.occurred_at for each in group.sessions if course in each.told and each.told[course].attendance in ATTENDED]
    earliest = max([member.joined_at, *attended])
    return (*_log_refusals(group), *_time_refusals("group_times_in_order.leave", at, earliest))


def session_refusals(group: Group, body: NewSession, at: dt.datetime, courses: Mapping[str, Course]) -> tuple[Refusal, ...]:
    """The refusals of a session as a whole. The machine of each course judges what the session means to that course."""
    span, held = visits.timed(at, body.minutes), is_held(body.attendance.values())
    same = {
        session.id
        for session in group.sessions
        if session.occurred_at == at
        or (held and session.held and span.overlaps(visits.timed(session.occurred_at, session.minutes)))
    }
    recorded = {each.group_session for course in courses.values() for each in course.sessions} & same
    if not recorded:
        return tuple(_log_refusals(group))
    current = sorted(filter(None, recorded))
    return (*_log_refusals(group), _refusal("group_session_once", current=current, required="a session not yet recorded"))


def _log_refusals(group: Group) -> list[Refusal]:
    if group.version < LOG_MAX:
        return []
    return [_refusal("group_log_bounded", current=group.version, required=f"fewer than {LOG_MAX}")]


def _time_refusals(message_id: str, at: dt.datetime, earliest: dt.datetime) -> list[Refusal]:
    if at >= earliest:
        return []
    moment = earliest.isoformat()
    return [_refusal(message_id, current=at.isoformat(), required=f"{moment} or later", earliest=moment)]


def _refusal(message_id: str, *, current: Any, required: Any, source: str = "design", **parameters: Parameter) -> Refusal:
    rule = message_id.partition(".")[0]
    return Refusal(
        rule=rule,
        severity="hard",
        message=render(MESSAGES[message_id], parameters, rule=rule, severity="hard"),
        message_id=message_id,
        parameters=parameters,
        current=current,
        required=required,
        source=source,
    )
