"""Records of group sessions that a member's course refused. They wait in the inbox beside the notices of EHR systems.

`retry` fires the record again as the facilitator who sent it, after the course has been changed. `correct` fires the corrected record
as the person who corrected it.
"""

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.notices.commands import UNUSABLE, NoticeOutcome
from ipt_workflow.errors import CommandInvalid, TransitionRefused, TriggerNotPermitted
from ipt_workflow.groups import HeldRecord
from ipt_workflow.service.groups.sessions import GroupSessions


class HeldRecords:
    """Resolves the held records of group sessions."""

    def __init__(self, sessions: GroupSessions) -> None:
        self.sessions = sessions

    async def retry(self, principal: Principal, course: str, body: bytes, *, corrected: bool) -> NoticeOutcome:
        """Raises CommandInvalid if a correction cannot be used."""
        record = msgspec.json.decode(body, type=HeldRecord)
        sender = principal if corrected else _facilitator(record, principal)
        try:
            seq = await self.sessions.again(sender, course, record)
        except TransitionRefused as error:
            return NoticeOutcome(status="waiting", course=course, refusals=error.refusals, why=error.summary)
        except TriggerNotPermitted as error:
            return NoticeOutcome(status="waiting", course=course, why=str(error))
        except CommandInvalid as error:
            if corrected:
                raise
            return NoticeOutcome(status="waiting", course=course, faults=error.faults, why=UNUSABLE)
        return NoticeOutcome(status="applied", course=course, seq=seq, about_seq=seq)


def command(body: bytes) -> Command:
    """The command that a held record fires."""
    return groups.command_of(msgspec.json.decode(body, type=HeldRecord))[0]


def _facilitator(record: HeldRecord, principal: Principal) -> Principal:
    """The facilitator who sent the record. The role is fixed: only therapists record group sessions."""
    return Principal(person=record.told_by, role="therapist", via=record.via, request_id=principal.request_id)
