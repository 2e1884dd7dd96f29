"""The verbs about proposals: a command that waits until a supervisor cosigns or declines it."""

import msgspec

from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.rules import Actor
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, Forbidden, IptError, NotFound, StaleVersion
from ipt_workflow.machine import Accepted
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.courses import Courses, checked_commands
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.views import Committed, ProposalView
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store import proposals as stored_proposals
from ipt_workflow.store.commits import single
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.proposals import StoredProposal
from ipt_workflow.store.units import DecidedProposal

NOT_SEEN = "There is no such proposal, or none that you may see."
ANY_SUPERVISOR = Actor("-", "supervisor")  # a proposal is judged as if a supervisor had cosigned it


class Proposals:
    """Makes and decides the proposals of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.courses = Courses(clinic)
        self.decisions = self.courses.decisions
        self._idempotency: Idempotency[Committed] = Idempotency(clinic)

    async def propose(self, principal: Principal, course_id: str, write: Write) -> ProposalView:
        """Keeps a command until a supervisor decides. Refuses a command that needs no co-signature, or that none could help."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "propose", [course_id])
        await self.decisions.permit(principal, write.triggers, [course_id])
        commands = checked_commands(write, stored.course)
        if len(commands) != 1:
            raise CommandInvalid([Fault("together", "cannot be proposed; propose one command at a time")])
        context = await self.decisions.context(principal, stored, commands)
        if isinstance(self.decisions.decide(stored, commands, context), Accepted):
            raise CommandInvalid([Fault("trigger", f"{commands[0].trigger} needs no co-signature here; fire it instead")])
        cosigned = msgspec.structs.replace(context, cosigner=ANY_SUPERVISOR)
        answer = self.decisions.decide(stored, commands, cosigned)
        await self.decisions.accepted(principal, stored, answer, commands, cosigned)
        proposal = StoredProposal(
            id=new_id(),
            course_id=course_id,
            version=stored.course.version,
            trigger=commands[0].trigger,
            body=msgspec.json.encode(commands[0]),
            proposed_by=principal.person,
            proposed_role=principal.role,
            proposed_at=context.now,
            status="waiting",
        )
        await self.clinic.write(stored_proposals.insert, proposal)
        await self.clinic.log(principal, "proposal", "proposed", [course_id])
        return _view(await self._find(proposal.id))

    async def cosign(
        self,
        principal: Principal,
        proposal_id: str,
        key: IdempotencyKey | None = None,
        problem: IptError | None = None,
        *,
        entries_only: bool = False,
    ) -> Committed:
        """Fires a proposal: its actor is the proposer, and the principal cosigns. `problem` is the error of a malformed key."""
        proposal, stored = await self._to_decide(principal, proposal_id)
        if problem:
            raise problem
        replay = self.courses.replay_for(principal, entries_only=entries_only)
        return await self._idempotency.run(
            key, replay, lambda: self._cosign(principal, proposal, stored, key, entries_only=entries_only)
        )

    async def _cosign(
        self,
        principal: Principal,
        proposal: StoredProposal,
        stored: StoredCourse,
        key: IdempotencyKey | None,
        *,
        entries_only: bool,
    ) -> Committed:
        if proposal.status != "waiting" or proposal.body is None or proposal.version != stored.course.version:
            raise StaleVersion(stored.course.version)
        command = msgspec.json.decode(proposal.body, type=Command)
        proposer = Principal(
            person=proposal.proposed_by,
            role=proposal.proposed_role,  # type: ignore[arg-type]  # the column holds roles only
            via=principal.via,
            request_id=principal.request_id,
        )
        context = msgspec.structs.replace(await self.decisions.context(proposer, stored, (command,)), cosigner=principal.actor)
        answer = self.decisions.decide(stored, (command,), context)
        accepted = await self.decisions.accepted(principal, stored, answer, (command,), context)
        decided = DecidedProposal(
            id=proposal.id, by=principal.person, at=context.now, status="cosigned", entry_seq=accepted.course.version
        )
        return await self.courses.commit(stored, accepted, context, key, decided=decided, entries_only=entries_only)

    async def decline(self, principal: Principal, proposal_id: str) -> ProposalView:
        """Closes a proposal without firing it."""
        proposal, stored = await self._to_decide(principal, proposal_id)
        decided = DecidedProposal(id=proposal.id, by=principal.person, at=self.clinic.clock.now(), status="declined")
        if proposal.status != "waiting" or not await self.clinic.write(single.decide_proposal, decided):
            raise StaleVersion(stored.course.version)
        await self.clinic.log(principal, "proposal", "declined", [proposal.course_id])
        return _view(await self._find(proposal_id))

    async def page(self, principal: Principal, status: str | None, after: str, limit: int) -> list[ProposalView]:
        """Proposals in the order they were made. A therapist sees those on their own courses."""
        policy.require(principal, "read proposals")
        own = principal.person if principal.role == "therapist" else None
        found = await self.clinic.read(stored_proposals.page, status=status, therapist=own, after=after, limit=limit)
        await self.clinic.log(principal, "read", "proposals", [proposal.course_id for proposal in found])
        return [_view(proposal) for proposal in found]

    async def _find(self, proposal_id: str) -> StoredProposal:
        proposal = await self.clinic.read(stored_proposals.find, proposal_id)
        if proposal is None:
            raise NotFound(NOT_SEEN)
        return proposal

    async def _to_decide(self, principal: Principal, proposal_id: str) -> tuple[StoredProposal, StoredCourse]:
        """A proposal that the principal may decide, with its course."""
        proposal = await self._find(proposal_id)
        try:
            stored = await self.clinic.visible_course(principal, proposal.course_id)
        except NotFound:
            raise NotFound(NOT_SEEN) from None
        await self.clinic.require(principal, "decide proposals", [proposal.course_id])
        if proposal.proposed_by == principal.person:
            raise Forbidden("decide their own proposal", principal.role, ("another supervisor",))
        return proposal, stored


def _view(proposal: StoredProposal) -> ProposalView:
    return ProposalView(
        id=proposal.id,
        course=proposal.course_id,
        version=proposal.version,
        trigger=proposal.trigger,
        status=proposal.status,
        proposed_by=proposal.proposed_by,
        proposed_at=proposal.proposed_at,
        decided_by=proposal.decided_by,
        decided_at=proposal.decided_at,
        entry_seq=proposal.entry_seq,
        command=msgspec.json.decode(proposal.body) if proposal.body else None,
    )
