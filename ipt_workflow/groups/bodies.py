"""What is told of groups: the bodies of `/v1/groups`, and what the command line makes of its options."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ipt_workflow.protocols.checks import MEMBERS_MAX
from ipt_workflow.values.types import AttendanceCode, Code, Codes, ExternalRef, Medium, Moment, Person, Seq, Text

FACILITATORS_MAX = 5

LeaveReason = Literal["completed", "own_wish", "not_reached", "moved", "referred_on", "not_suitable", "other"]
CourseId = Annotated[str, Meta(pattern="^[0-9a-f-]{36}$")]
Facilitators = Annotated[tuple[Person, ...], Meta(max_length=FACILITATORS_MAX)]


class NewGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group to be made. `label` is an opaque name, nobody's; a therapist who makes a group is one of its facilitators."""

    protocol: Code
    protocol_version: Seq | None = None
    label: Code
    facilitators: Facilitators = ()


class Joining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A course that becomes a member's; now, unless told otherwise."""

    course: CourseId
    joined_at: Moment | None = None


class Leaving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a member leaves, as a code; now, unless told otherwise."""

    reason: LeaveReason
    left_at: Moment | None = None


class Facilitating(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who facilitates the group from now on."""

    facilitators: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=FACILITATORS_MAX)]


class MemberDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be told of a session to one member's course alone."""

    late_notice: bool = False
    excused: bool = False
    ref: ExternalRef | None = None
    comment: Text | None = None


class NewSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A session of a group: who attended, by course. `all`: it is recorded for every member or for nobody."""

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
    """What the facilitator who gave a session stands by; `focus` is the problem area worked on, by course."""

    techniques: Codes = ()
    summary: Text | None = None
    focus: Annotated[dict[CourseId, Code], Meta(max_length=MEMBERS_MAX)] = {}
