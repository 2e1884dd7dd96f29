"""The verbs of verifying: the journal is checked, at once or beside other requests, and its result is kept."""

import datetime as dt
from contextlib import ExitStack

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import NotFound
from ipt_workflow.journal.proof.ipt_verify import Checkpoint
from ipt_workflow.service.audit import runs, verification
from ipt_workflow.service.audit.runs import KeptRun
from ipt_workflow.service.audit.verification import Progress, VerificationTally
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.views import Verification
from ipt_workflow.store import audit_runs, verification_rounds
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit_runs import StoredVerification
from ipt_workflow.store.verification_rounds import RoundView, view

NOT_THERE = "There is no such verification, or none that you may see."


class VerificationRun(msgspec.Struct, frozen=True, kw_only=True):
    """A verification that runs or has ended. `status` is running, done or stopped; of one that is done, `ok` says what was found.

    `courses` of `total` are checked, and `leaves` positions of the log; with `since`, only those after a checkpoint of that size. `course` is the
    one that was asked for; None for all.
    """

    id: str
    course: str | None
    chains_only: bool
    person: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    status: str
    total: int
    courses: int
    entries: int
    erased: int
    ok: bool | None
    bad_course: str | None
    bad_seq: int | None
    fault: str | None
    leaves: int | None
    since: int | None
    bad_position: int | None


class Verifications:
    """Verifies a clinic's journal, and shows what was found."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def begin(self, principal: Principal, course_id: str | None = None) -> VerificationRun:
        """Begins a verification that goes on after this returns. Raises LongRequestsFull."""
        await self._require(principal, course_id)
        with ExitStack() as slot:
            slot.enter_context(self.clinic.installation.long_requests.one())
            await self.clinic.log(principal, "read", "verify", [course_id] if course_id else [])
            kept = await self._kept(principal, course_id, chains_only=False)
            self.clinic.installation.begin(self._go_on(kept, slot.pop_all()))
        return _view(kept.run, self.clinic.clock.now())

    async def _go_on(self, kept: KeptRun[StoredVerification], slot: ExitStack) -> None:
        with slot:
            await self._checked(kept)

    async def run(
        self,
        principal: Principal,
        course_id: str | None,
        progress: Progress | None,
        *,
        processes: int,
        chains_only: bool,
        keep: bool,
        since: Checkpoint | None = None,
        whole: bool = True,
    ) -> Verification:
        """Verifies, and returns when all is checked. The result is kept unless the database can only be read (`keep`).

        `since` is a checkpoint that the log must continue. Unless `whole`, only what came after it is checked.
        """
        size = since.size if since and not whole else None
        kept = await self._kept(principal, course_id, chains_only=chains_only, kept_size=size) if keep else None
        if kept is not None:
            return await self._checked(kept, progress, processes=processes, since=since)
        if since and not whole:
            return await verification.verify_since(self.clinic, since)
        return await verification.verify(self.clinic, course_id, progress, processes=processes, chains_only=chains_only, kept=since)

    async def _kept(
        self, principal: Principal, course_id: str | None, *, chains_only: bool, kept_size: int | None = None
    ) -> KeptRun[StoredVerification]:
        everything = course_id is None and kept_size is None
        counted = await self.clinic.read(stored_courses.courses_by_state) if everything else [("", "", 1 if course_id else 0)]
        now = self.clinic.clock.now()
        run = StoredVerification(
            id=new_id(),
            course_id=course_id,
            chains_only=chains_only,
            person=principal.person,
            role=principal.role,
            via=principal.via,
            started_at=now,
            seen_at=now,
            total=sum(count for *_, count in counted),
            kept_size=kept_size,
        )
        kept = KeptRun(self.clinic, run)
        await kept.begin()
        return kept

    async def _checked(
        self,
        kept: KeptRun[StoredVerification],
        progress: Progress | None = None,
        *,
        processes: int = 1,
        since: Checkpoint | None = None,
    ) -> Verification:
        async def heard(so_far: VerificationTally) -> None:
            await kept.note(courses=so_far.courses, entries=so_far.entries, erased=so_far.erased)

        run = kept.run
        try:
            if since and run.kept_size is not None:
                found = await verification.verify_since(self.clinic, since)
            else:
                found = await verification.verify(
                    self.clinic, run.course_id, progress, heard, processes=processes, chains_only=run.chains_only, kept=since
                )
        except BaseException:
            await kept.end("stopped")
            raise
        bad = found.first_bad or {}
        await kept.end(
            "done",
            courses=found.courses,
            entries=found.checked,
            erased=found.erased or 0,
            bad_course=bad.get("course"),
            bad_seq=bad.get("seq"),
            fault=bad.get("fault"),
            leaves=found.leaves,
            bad_position=bad.get("position"),
        )
        return found

    async def newest(self, principal: Principal, limit: int) -> list[VerificationRun]:
        """The verifications that began last, those of courses that the caller may not see left out."""
        await self._require(principal, None)
        found = await self.clinic.read(audit_runs.newest, StoredVerification, limit)
        named = {each for run in found for each in (run.course_id, run.bad_course) if each}
        unseen = await self.clinic.unseen(principal, sorted(named))
        now = self.clinic.clock.now()
        shown = [_view(run, now) for run in found if unseen.isdisjoint({run.course_id, run.bad_course})]
        await self.clinic.log(principal, "read", "verifications", sorted(named - unseen))
        return shown

    async def background(self, principal: Principal) -> RoundView | None:
        """How far the verifier in the background is. What it found about a course that the caller may not see is not named."""
        await self._require(principal, None)
        found = view(await self.clinic.read(verification_rounds.newest, 2))
        if found and found.course and await self.clinic.unseen(principal, [found.course]):
            return msgspec.structs.replace(found, course=None, seq=None)
        return found

    async def one(self, principal: Principal, run_id: str) -> VerificationRun:
        """A verification. Raises NotFound, also if it is about a course that the caller may not see."""
        await self._require(principal, None)
        found = await self.clinic.read(audit_runs.find, StoredVerification, run_id)
        named = [each for each in (found.course_id, found.bad_course) if each] if found else []
        if found is None or await self.clinic.unseen(principal, named):
            raise NotFound(NOT_THERE)
        await self.clinic.log(principal, "read", "verifications", named)
        return _view(found, self.clinic.clock.now())

    async def _require(self, principal: Principal, course_id: str | None) -> None:
        await self.clinic.require(principal, "verify the journal")
        if course_id is not None:
            await self.clinic.visible_course(principal, course_id)


def _view(run: StoredVerification, now: dt.datetime) -> VerificationRun:
    status = runs.status(run, now)
    return VerificationRun(
        id=run.id,
        course=run.course_id,
        chains_only=run.chains_only,
        person=run.person,
        started_at=run.started_at,
        ended_at=run.ended_at,
        status=status,
        total=run.total,
        courses=run.courses,
        entries=run.entries,
        erased=run.erased,
        ok=run.fault is None if status == "done" else None,
        bad_course=run.bad_course,
        bad_seq=run.bad_seq,
        fault=run.fault,
        leaves=run.leaves,
        since=run.kept_size,
        bad_position=run.bad_position,
    )
