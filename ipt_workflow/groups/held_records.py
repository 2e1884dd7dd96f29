"""Records of sessions that a member's course refused. Each waits in the inbox until a person resolves it."""

from typing import Any, Literal

import msgspec

from ipt_workflow.course.context import Actor, GroupHeld, Via
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.groups.group import Group
from ipt_workflow.groups.sessions import participants
from ipt_workflow.values.types import ATTENDED, Moment

SOURCE = "group"  # the source of a held record in the inbox
HELD_RECORD_TYPE = "group.session"  # and its type there


class HeldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A session as one course refused it. `data` is that of a `record_session`, with `occurred_at`."""

    type: Literal["group.session"] = "group.session"
    group: str
    session: str
    held: bool
    given_by: str
    told_by: str  # the facilitator who recorded it, under the name it is stored by
    via: Via
    data: dict[str, Any]
    reason: str | None = None


def held_record(group: Group, session: GroupHeld, command: Command, actor: Actor) -> HeldRecord:
    assert command.occurred_at is not None  # `sessions.command` has set it
    return HeldRecord(
        group=group.id,
        session=session.id,
        held=session.held,
        given_by=session.given_by,
        told_by=actor.person,
        via=actor.via,
        data={"occurred_at": command.occurred_at.isoformat(), **command.data},
        reason=command.reason,
    )


def command_of(record: HeldRecord) -> tuple[Command, GroupHeld]:
    """The command of a held record, perhaps corrected since, and the group's session it belongs to. Raises CommandInvalid."""
    data = dict(record.data)
    try:
        at = msgspec.convert(data.pop("occurred_at", None), Moment)
    except msgspec.ValidationError:
        raise CommandInvalid([Fault("data.occurred_at", "must be an RFC 3339 time with an offset")]) from None
    attendance = data.get("attendance")
    held = record.held or attendance in ATTENDED
    data["participants"] = participants(str(attendance), held=held)
    return Command("record_session", data, at, record.reason), GroupHeld(id=record.session, held=held, given_by=record.given_by)
