"""The verbs about proposals: a command that waits until a supervisor cosigns it, declines it, or returns it for revision."""

from collections.abc import Callable, Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.rules import Actor, Context
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, Forbidden, IptError, NotFound, ProposalDecided, Refusal, StaleVersion
from ipt_workflow.machine import Accepted, Refused
from ipt_workflow.service import lapses, seal
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.courses import Courses, checked_commands
from ipt_workflow.service.decisions import retrying
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.views import Committed, ProposalReview, ProposalView
from ipt_workflow.service.views.answers import SINCE_MAX
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import proposals as stored_proposals
from ipt_workflow.store import tokens
from ipt_workflow.store.commits import single
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.proposals import EntrySince, LapseReason, StoredProposal
from ipt_workflow.store.units import DecidedProposal, KeptAnswer, OtherCourseStale
from ipt_workflow.values.types import Text

NOT_SEEN = "There is no such proposal, or none that you may see."
ANY_SUPERVISOR = Actor("-", "supervisor")  # a proposal is judged as if a supervisor had cosigned it


class NewReturn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that returns a proposal for revision."""

    comment: Text


class Proposals:
    """Makes and decides the proposals of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.courses = Courses(clinic)
        self.decisions = self.courses.decisions
        self._idempotency: Idempotency[Committed] = Idempotency(clinic)
        self._proposed: Idempotency[ProposalView] = Idempotency(clinic)

    async def propose(self, principal: Principal, course_id: str, write: Write) -> ProposalView:
        """Keeps a command until a supervisor decides. Refuses a command that needs no co-signature, or that none could help."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "propose", [course_id])
        await self.decisions.permit(principal, write.triggers, stored)
        await self.clinic.require_lasting(principal, "propose", stored)

        async def replay(kept: KeptAnswer) -> ProposalView:
            return _view(await self._find(kept.course_id))

        return await self._proposed.run(write.key, replay, lambda: self._propose(principal, stored, write))

    async def _propose(self, principal: Principal, stored: StoredCourse, write: Write) -> ProposalView:
        command, context = await self._to_propose(principal, stored, write)
        cosigned = msgspec.structs.replace(context, cosigner=ANY_SUPERVISOR)
        answer = self.decisions.decide(stored, (command,), cosigned)
        await self.decisions.accepted(principal, stored, answer, (command,), cosigned)
        proposal = StoredProposal(
            id=new_id(),
            course_id=stored.course.id,
            version=stored.course.version,
            trigger=command.trigger,
            body=msgspec.json.encode(command),
            proposed_by=principal.person,
            proposed_role=principal.role,
            proposed_at=context.now,
            status="waiting",
            therapist=stored.course.therapist,
        )
        kept = seal.kept_answer(self.clinic, write.key, proposal.id, 1, 1, context.now) if write.key else None
        await self.clinic.write(single.propose, proposal, kept)
        await self.clinic.log(principal, "proposal", "proposed", [stored])
        return _view(await self._find(proposal.id))

    async def _to_propose(self, principal: Principal, stored: StoredCourse, write: Write) -> tuple[Command, Context]:
        """The one command that needs a co-signature, with its context. Raises CommandInvalid if it needs none."""
        commands = checked_commands(write, stored.course)
        await self.decisions.check_named(principal, commands)
        if len(commands) != 1:
            raise CommandInvalid([Fault("together", "cannot be proposed; propose one command at a time")])
        context = await self.decisions.context(principal, stored, commands)
        if isinstance(self.decisions.decide(stored, commands, context), Accepted):
            raise CommandInvalid([Fault("trigger", f"{commands[0].trigger} needs no co-signature here; fire it instead")])
        return commands[0], context

    async def import_cosigned(self, principal: Principal, cosigner: Principal, course_id: str, write: Write) -> Committed:
        """Fires a command that a supervisor agreed to elsewhere, as if it were proposed and cosigned at once."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "propose", [course_id])
        await self.decisions.permit(principal, write.triggers, stored)
        await self._may_decide(cosigner, course_id, proposed_by=principal.person)

        async def attempt() -> Committed:
            stored = await self.clinic.visible_course(principal, course_id)
            command, alone = await self._to_propose(principal, stored, write)
            context = msgspec.structs.replace(alone, cosigner=cosigner.actor)
            answer = self.decisions.decide(stored, (command,), context)
            accepted = await self.decisions.accepted(principal, stored, answer, (command,), context)
            return await self.courses.commit(principal, stored, accepted, context, write.key, entries_only=True)

        replay = self.courses.replay_for(principal, entries_only=True)
        return await self._idempotency.run(write.key, replay, lambda: retrying(attempt, StaleVersion))

    async def cosign(
        self,
        principal: Principal,
        proposal_id: str,
        key: IdempotencyKey | None = None,
        problem: IptError | None = None,
        *,
        version: int | None = None,
        entries_only: bool = False,
    ) -> Committed:
        """Fires a proposal on the course as it is: its actor is the proposer, and the principal cosigns.

        With a `version`, only if the course is at it. `problem` is the error of malformed headers.
        Raises TransitionRefused if the course refuses it now: it goes on waiting. Raises ProposalDecided if it no longer waits.
        """
        await self._to_decide(principal, proposal_id)
        replay = self.courses.replay_for(principal, entries_only=entries_only)

        async def attempt() -> Committed:
            return await self._cosign(principal, proposal_id, version, key, entries_only=entries_only)

        async def write() -> Committed:
            if problem:
                raise problem
            overtaken = (StaleVersion,) if version is None else (OtherCourseStale,)
            return await retrying(attempt, *overtaken, unless=(ProposalDecided,))

        return await self._idempotency.run(key, replay, write)

    async def _cosign(
        self, principal: Principal, proposal_id: str, version: int | None, key: IdempotencyKey | None, *, entries_only: bool
    ) -> Committed:
        proposal, stored = await self._to_decide(principal, proposal_id)
        if proposal.status != "waiting" or proposal.body is None:
            raise ProposalDecided(stored.course.version, proposal.status, proposal.reason)
        if version is not None and version != stored.course.version:
            raise StaleVersion(stored.course.version)
        theirs = await self._as_proposed(principal, proposal, stored)
        command = msgspec.json.decode(proposal.body, type=Command)
        await self.decisions.check_named(principal, (command,))
        context = await self._context(proposal, stored, command, principal)
        answer = self.decisions.decide(stored, (command,), context)
        accepted = await self.decisions.accepted(principal, stored, answer, (command,), context)
        decided = DecidedProposal(
            id=proposal.id, by=principal.person, at=context.now, status="cosigned", entry_seq=accepted.course.version
        )
        proposer = _proposer(proposal, principal)
        return await self.courses.commit(proposer, theirs, accepted, context, key, decided=decided, entries_only=entries_only)

    async def _as_proposed(self, principal: Principal, proposal: StoredProposal, stored: StoredCourse) -> StoredCourse:
        """The course with the proposer's relation to it: the entry is theirs, and so is what it rests on.

        If the proposal can never pass any more, it lapses, also where that came about without an entry of the course. Then raises
        ProposalDecided.
        """
        theirs = await self.clinic.seen(_proposer(proposal, principal), stored)
        reason = await self._lapse(proposal, stored) if theirs else "proposer"
        if theirs and reason is None:
            return theirs
        lapsed = DecidedProposal(id=proposal.id, by=None, at=self.clinic.clock.now(), status="lapsed", reason=reason)
        if await self.clinic.write(single.decide_proposal, lapsed):
            await self.clinic.log(principal, "proposal", "lapsed", [stored])
        raise ProposalDecided(stored.course.version, "lapsed", reason)

    async def _lapse(self, proposal: StoredProposal, stored: StoredCourse) -> LapseReason | None:
        by, role = proposal.proposed_by, proposal.proposed_role
        if await self.clinic.read(tokens.stripped, by, role) or await self.decisions.staff.has_lost(by, role):
            return "proposer"
        entries = await self.clinic.read(stored_courses.load_entries, proposal.course_id, proposal.version)
        protocol = self.clinic.machine_of(stored.course).protocol
        return lapses.lapse(protocol, proposal, stored.course, has_moved=lapses.moved(each.written for each in entries))

    async def _context(self, proposal: StoredProposal, stored: StoredCourse, command: Command, cosigner: Principal) -> Context:
        """The context of the proposed command: the proposer fires it, and it is cosigned now."""
        context = await self.decisions.context(_proposer(proposal, cosigner), stored, (command,))
        return msgspec.structs.replace(context, cosigner=cosigner.actor if cosigner.role == "supervisor" else ANY_SUPERVISOR)

    async def decline(self, principal: Principal, proposal_id: str) -> ProposalView:
        """Closes a proposal without firing it."""
        proposal, stored = await self._to_decide(principal, proposal_id)
        return await self._close(principal, proposal, stored, "declined")

    async def send_back(self, principal: Principal, proposal_id: str, decode: Callable[[], NewReturn]) -> ProposalView:
        """Returns a proposal to its proposer for revision, with a comment. It waits no longer, and keeps its command for them."""
        proposal, stored = await self._to_decide(principal, proposal_id)
        return await self._close(principal, proposal, stored, "returned", msgspec.json.encode(decode().comment))

    async def _close(
        self, principal: Principal, proposal: StoredProposal, stored: StoredCourse, status: str, comment: bytes | None = None
    ) -> ProposalView:
        """Raises ProposalDecided if the proposal no longer waits."""
        at = self.clinic.clock.now()
        decided = DecidedProposal(id=proposal.id, by=principal.person, at=at, status=status, comment=comment)
        if proposal.status != "waiting" or not await self.clinic.write(single.decide_proposal, decided):
            found = await self._find(proposal.id)
            raise ProposalDecided(stored.course.version, found.status, found.reason)
        await self.clinic.log(principal, "proposal", status, [stored])
        return _view(await self._find(proposal.id))

    async def page(self, principal: Principal, status: str | None, after: str, limit: int) -> list[ProposalView]:
        """Proposals in the order they were made, on courses that the caller may see."""
        await self.clinic.require(principal, "read proposals")
        who, now = self.clinic.viewer(principal), self.clinic.clock.now()
        found = await self.clinic.read(stored_proposals.page, who, now, status=status, after=after, limit=limit)
        await self.clinic.log(principal, "read", "proposals", [proposal.course_id for proposal in found])
        return await self._views(principal, found)

    async def one(self, principal: Principal, proposal_id: str) -> ProposalReview:
        """A proposal, with what has been recorded since, and why it would be refused if a supervisor cosigned it now."""
        proposal, stored = await self._visible(principal, proposal_id)
        await self.clinic.require(principal, "read proposals", [proposal.course_id])
        await self.clinic.log(principal, "read", f"proposal {proposal.id}", [stored])
        refusals: tuple[Refusal, ...] = ()
        if proposal.status == "waiting" and proposal.body is not None:
            command = msgspec.json.decode(proposal.body, type=Command)
            context = await self._context(proposal, stored, command, principal)
            answer = self.decisions.decide(stored, (command,), context)
            refusals = answer.refusals if isinstance(answer, Refused) else ()
        (view,) = await self._views(principal, [proposal])
        return ProposalReview(proposal=view, course_version=stored.course.version, refusals=refusals)

    async def _views(self, principal: Principal, found: list[StoredProposal]) -> list[ProposalView]:
        masked = await self.clinic.masked(principal, [each.course_id for each in found])
        found = [msgspec.structs.replace(each, body=None, comment=None) if each.course_id in masked else each for each in found]
        waiting = [proposal for proposal in found if proposal.status == "waiting"]
        oldest: dict[str, int] = {}
        for proposal in waiting:
            oldest[proposal.course_id] = min(proposal.version, oldest.get(proposal.course_id, proposal.version))
        since = await self.clinic.read(stored_proposals.entries_since, oldest) if oldest else []
        return [_view(proposal, since if proposal.status == "waiting" else ()) for proposal in found]

    async def _find(self, proposal_id: str) -> StoredProposal:
        proposal = await self.clinic.read(stored_proposals.find, proposal_id)
        if proposal is None:
            raise NotFound(NOT_SEEN)
        return proposal

    async def _visible(self, principal: Principal, proposal_id: str) -> tuple[StoredProposal, StoredCourse]:
        """A proposal on a course that the principal may see, with the course. Raises NotFound.

        The proposal is read again after the course: where the course shows what became of it, the proposal does too.
        """
        course_id = (await self._find(proposal_id)).course_id
        try:
            stored = await self.clinic.visible_course(principal, course_id)
        except NotFound:
            raise NotFound(NOT_SEEN) from None
        return await self._find(proposal_id), stored

    async def _to_decide(self, principal: Principal, proposal_id: str) -> tuple[StoredProposal, StoredCourse]:
        """A proposal that the principal may decide, with its course."""
        proposal, stored = await self._visible(principal, proposal_id)
        await self.clinic.require_lasting(principal, "decide proposals", stored)
        await self._may_decide(principal, proposal.course_id, proposed_by=proposal.proposed_by)
        return proposal, stored

    async def _may_decide(self, principal: Principal, course_id: str, *, proposed_by: str) -> None:
        """Raises Forbidden unless the principal may decide what this person proposes."""
        await self.clinic.require(principal, "decide proposals", [course_id])
        if proposed_by == principal.person:
            await self.clinic.log(principal, "refusal", "decide own proposal", [course_id], ["role"])
            raise Forbidden("decide their own proposal", principal.role, ("another supervisor",))


def _proposer(proposal: StoredProposal, cosigner: Principal) -> Principal:
    """The proposer, in the request of who decides."""
    by, role = proposal.proposed_by, proposal.proposed_role
    return Principal(person=by, role=role, via=cosigner.via, request_id=cosigner.request_id)  # type: ignore[arg-type]  # as recorded


def _view(proposal: StoredProposal, entries: Sequence[EntrySince] = ()) -> ProposalView:
    since = [each for each in entries if each.course_id == proposal.course_id and each.seq > proposal.version]
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
        reason=proposal.reason,
        comment=msgspec.json.decode(proposal.comment) if proposal.comment else None,
        command=msgspec.json.decode(proposal.body) if proposal.body else None,
        since=tuple(since[-SINCE_MAX:]),
    )
