"""What members' courses were told of a group's session and refused, in the inbox beside the notices of EHR systems.

`retry` tells the course again as the facilitator who told it, after the course has been changed; `correct` tells what should have been
told, and is done by the person.
"""

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.notices.handler import NoticeOutcome
from ipt_workflow.errors import CommandInvalid, TransitionRefused, TriggerNotPermitted
from ipt_workflow.groups import HeldRecord
from ipt_workflow.service.groups.sessions import GroupSessions


class HeldRecords:
    """Over the verbs of groups' sessions."""

    def __init__(self, sessions: GroupSessions) -> None:
        self.sessions = sessions

    async def again(self, principal: Principal, course: str, body: bytes, *, corrected: bool) -> NoticeOutcome:
        """Raises CommandInvalid where a correction cannot be used."""
        record = msgspec.json.decode(body, type=HeldRecord)
        teller = principal if corrected else _teller(record, principal)
        try:
            seq = await self.sessions.again(teller, course, record)
        except TransitionRefused as error:
            return NoticeOutcome(status="waiting", course=course, refusals=error.refusals, why=error.summary)
        except TriggerNotPermitted as error:
            return NoticeOutcome(status="waiting", course=course, why=str(error))
        except CommandInvalid as error:
            if corrected:
                raise
            return NoticeOutcome(status="waiting", course=course, faults=error.faults, why="Some of it cannot be used.")
        return NoticeOutcome(status="applied", course=course, seq=seq, about_seq=seq)


def command(body: bytes) -> Command:
    """What a record comes to on the machine."""
    return groups.command_of(msgspec.json.decode(body, type=HeldRecord))[0]


def _teller(record: HeldRecord, principal: Principal) -> Principal:
    """The facilitator who told it: only therapists tell of a group's sessions."""
    return Principal(person=record.told_by, role="therapist", via=record.via, request_id=principal.request_id)
