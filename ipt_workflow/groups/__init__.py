"""Clients who meet as a group: the group is the fold of its log."""

from ipt_workflow.groups.group import (
    LOG_MAX,
    Group,
    GroupSession,
    Member,
    MemberAttendance,
    MemberEvent,
    check_facilitators,
    members,
    moved,
)
from ipt_workflow.groups.held_records import HELD_RECORD_TYPE, SOURCE, HeldRecord, command_of, held_record
from ipt_workflow.groups.rules import MESSAGES, RULES, join_refusals, leave_refusals, session_refusals
from ipt_workflow.groups.sessions import (
    attendance_faults,
    command,
    group_held,
    held_before,
    is_held,
    link,
    moment,
    participants,
    signature,
    warnings,
)

__all__ = [
    "HELD_RECORD_TYPE",
    "LOG_MAX",
    "MESSAGES",
    "RULES",
    "SOURCE",
    "Group",
    "GroupSession",
    "HeldRecord",
    "Member",
    "MemberAttendance",
    "MemberEvent",
    "attendance_faults",
    "check_facilitators",
    "command",
    "command_of",
    "group_held",
    "held_before",
    "held_record",
    "is_held",
    "join_refusals",
    "leave_refusals",
    "link",
    "members",
    "moment",
    "moved",
    "participants",
    "session_refusals",
    "signature",
    "warnings",
]
