"""The people of a clinic's staff: the roles that they can have, who may be named for what, and where commands name somebody."""

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.course.triggers import Command, Role
from ipt_workflow.values.identities import is_identity

StaffRole = Literal["therapist", "supervisor", "auditor", "admin"]
STAFF_ROLES: tuple[Role, ...] = get_args(StaffRole)  # every role of a person; `ehr` is a system's, `operator` the installation's
NamedAs = Literal["therapist", "facilitator", "cover", "supervisor", "supervisee"]
ROLE_OF: dict[NamedAs, Role] = {
    "therapist": "therapist",
    "facilitator": "therapist",
    "cover": "therapist",  # who covers gives and signs sessions
    "supervisor": "supervisor",
    "supervisee": "therapist",
}
NAMED_IN: dict[str, dict[str, NamedAs]] = {  # by trigger: the fields that name somebody, and for what
    "start": {"supervisor": "supervisor"},
    "transfer": {"therapist": "therapist"},
    "open_followup": {"therapist": "therapist"},
    "record_supervision": {"supervisor": "supervisor", "supervisees": "supervisee"},
}
AMENDED = {
    field: named for fields in NAMED_IN.values() for field, named in fields.items()
}  # an amendment's patch is on any of them
UNKNOWN = "names nobody who is known here; an administrator adds people, or name somebody else"
LEFT = "names a person who has left; name somebody else"
NOT_IN_ROLE = "names a person who is no {}; an administrator gives people their roles, or name somebody else"


class StaffMember(msgspec.Struct, frozen=True):
    """What is known of a person when they are named."""

    id: str
    roles: tuple[str, ...]
    status: str
    left_at: dt.datetime | None = None


class Named(msgspec.Struct, frozen=True):
    """A person whom a request names at a place, and for what."""

    where: str
    person: str
    named_as: NamedAs


def in_order(roles: Collection[str]) -> tuple[str, ...]:
    """Roles in the order in which they are shown, each once."""
    return tuple(role for role in STAFF_ROLES if role in roles)


def acts_as(member: StaffMember | None, role: str) -> bool:
    """Whether this is a person who is here and has the role."""
    return member is not None and member.status == "active" and role in member.roles


def why_not(member: StaffMember | None, named_as: NamedAs) -> str | None:
    """Why a person may not be named so, as the message of a fault. None if they may."""
    role = ROLE_OF[named_as]
    if member is None:
        return UNKNOWN
    if member.status != "active":
        return LEFT
    return None if acts_as(member, role) else NOT_IN_ROLE.format(role)


def unassigned_since(course: Course, therapist: StaffMember | None) -> dt.datetime | None:
    """Since when an open course has had a therapist who is no person that may give therapy here. None if it has none, or a known one."""
    if not course.open or course.therapist is None or acts_as(therapist, "therapist"):
        return None
    return (therapist and therapist.left_at) or course.opened_at


def names_anybody(principal: Principal) -> bool:
    """Whether the names of strangers are kept: an EHR and an import tell what is so elsewhere. Their courses then need a therapist."""
    return principal.role == "ehr" or principal.via == "ehr" or principal.importing


def named_by(commands: Sequence[Command]) -> Iterator[Named]:
    """Everybody whom commands name. What is no identity is left for decoding to refuse."""
    for index, command in enumerate(commands):
        place = f"together[{index}].data" if len(commands) > 1 else "data"
        if command.trigger == "amend":
            patch = command.data.get("data")
            yield from _named(f"{place}.data", patch if isinstance(patch, dict) else {}, AMENDED)
        elif command.trigger in NAMED_IN:
            yield from _named(place, command.data, NAMED_IN[command.trigger])


def _named(place: str, data: Mapping[str, Any], fields: Mapping[str, NamedAs]) -> Iterator[Named]:
    for field, named_as in fields.items():
        value = data.get(field)
        several = value if isinstance(value, list) else ()
        places = [(f"{place}.{field}[{index}]", each) for index, each in enumerate(several)] or [(f"{place}.{field}", value)]
        yield from (Named(where, person, named_as) for where, person in places if is_identity(person))
