"""The bodies of `/v1/groups`. The command line builds them from its options."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ipt_workflow.protocols.checks import MEMBERS_MAX
from ipt_workflow.values.types import AttendanceCode, Code, Codes, ExternalRef, Medium, Moment, Person, Seq, Text, whole

FACILITATORS_MAX = 5
SIGNED_AT_ONCE_MAX = 20  # sessions; each is one command on a course, and as many are fired together

LeaveReason = Literal["completed", "own_wish", "not_reached", "moved", "referred_on", "not_suitable", "other"]
CourseId = Annotated[str, Meta(pattern=whole("[0-9a-f-]{36}"))]
Facilitators = Annotated[tuple[Person, ...], Meta(max_length=FACILITATORS_MAX)]


class NewGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group to be made. `label` is an opaque name, not a person's. A therapist who makes a group is one of its facilitators."""

    protocol: Code
    protocol_version: Seq | None = None
    label: Code
    facilitators: Facilitators = ()


class Joining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A course that joins the group: at `joined_at`, or now without one."""

    course: CourseId
    joined_at: Moment | None = None


class Leaving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a member leaves, as a code: at `left_at`, or now without one."""

    reason: LeaveReason
    left_at: Moment | None = None


class Facilitating(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The group's facilitators from now on."""

    facilitators: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=FACILITATORS_MAX)]


class MemberDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one member's course alone records of a session."""

    late_notice: bool = False
    excused: bool = False
    ref: ExternalRef | None = None
    comment: Text | None = None


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session of a group, with the attendance by course. `all`: it is recorded for every member or for nobody."""

    attendance: Annotated[dict[CourseId, AttendanceCode], Meta(min_length=1, max_length=MEMBERS_MAX)]
    details: Annotated[dict[CourseId, MemberDetails], Meta(max_length=MEMBERS_MAX)] = {}
    occurred_at: Moment | None = None
    scheduled_for: Moment | None = None
    minutes: Annotated[int, Meta(ge=1, le=600)] | None = None
    medium: Medium = "face_to_face"
    kind: Literal["session", "additional"] = "session"
    reason: Text | None = None
    all: bool = False


class Signing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signature of the facilitator who gave a session: at `occurred_at`, or now without one.

    `focus` is the problem area worked on, by course.
    """

    occurred_at: Moment | None = None
    techniques: Codes = ()
    summary: Text | None = None
    focus: Annotated[dict[CourseId, Code], Meta(max_length=MEMBERS_MAX)] = {}


class SigningSeveral(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signatures of several sessions of a group, by the session's id."""

    sessions: Annotated[dict[str, Signing], Meta(min_length=1, max_length=SIGNED_AT_ONCE_MAX)]
