"""Takes messages in: decides what becomes of each thing that a message says, and commits it before the message is acknowledged.

A notice, the entries it makes and its record in the audit log are one unit of the committer. So a notice is never lost and never applied
twice: if the process stops before the unit is committed, the sender gets no answer and sends the message again. A notice becomes
`applied`, `waiting` for a person, or `ignored` if there is nothing to do. Only a waiting notice keeps its content.
"""

from ipt_workflow.ehr.notices import digests, salvage
from ipt_workflow.ehr.notices.desk import UNREADABLE, NoticeDesk
from ipt_workflow.ehr.notices.message_intake import MessageIntake
from ipt_workflow.ehr.notices.receipts import Message, Receipt, receipt_of
from ipt_workflow.ehr.notices.sources import Sources, VerifiedSender
from ipt_workflow.errors import CommandInvalid, CommandMalformed
from ipt_workflow.service.clinic import Clinic


class Notices(NoticeDesk):
    """Takes in the notices of a clinic. Raises ProtocolInvalid if `config/notices.toml` is faulty."""

    def __init__(self, clinic: Clinic) -> None:
        super().__init__(clinic)
        self.sources = Sources(clinic)

    async def receive(self, sender: VerifiedSender, body: bytes, problem: Exception | None, request_id: str | None) -> Receipt:
        """Takes a notice of our own types, signed by Standard Webhooks. Raises its problem after it is stored."""
        content = UNREADABLE
        if problem is None:
            try:
                content = self.types.read(body)
            except (CommandMalformed, CommandInvalid) as error:
                problem = error
        assert sender.message_id is not None  # the route lets only Standard Webhooks through
        content = await salvage.from_own_type(self.clinic, content, body) if problem else content
        contents = (self._with_risk(content, body),)
        complete = content.resource is not None and content.about in {"booking", "session", "measure"}
        message = Message(key=sender.message_id, body=body, contents=contents, problem=problem, complete=complete)
        return await self.take(sender, message, request_id)

    async def take(self, sender: VerifiedSender, message: Message, request_id: str | None) -> Receipt:
        """Takes a message once. Raises its problem after it is stored, NoticeReused if its key came before with another body."""
        taking = MessageIntake(self, sender, message, request_id)
        async with self.lock(taking.resource_key or digests.of_message(sender.source, message.key or taking.digest)):
            things = await taking.things()
        if message.problem and taking.is_new:
            raise message.problem
        return receipt_of(things)
