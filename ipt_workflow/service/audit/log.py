"""The verbs of auditors: read the audit log, export it, verify the journal. The log records each of them."""

from collections.abc import AsyncIterator, Callable

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import Relation
from ipt_workflow.errors import ReadOnly
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.journal.proof.ipt_verify import Checkpoint
from ipt_workflow.service.access.streams import RunningStream
from ipt_workflow.service.audit.exports import Exports
from ipt_workflow.service.audit.runs import KeptRun
from ipt_workflow.service.audit.shown import shown
from ipt_workflow.service.audit.verification import Progress
from ipt_workflow.service.audit.verifications import Verifications
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.secondary_use import exportable
from ipt_workflow.service.views import Verification
from ipt_workflow.store import audit
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.audit_runs import StoredExport
from ipt_workflow.values.types import SharingPurpose

Unrecorded = Callable[[str], None]  # hears why what is done could not be recorded


class AuditLog:
    """What an auditor can do in a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.verifications = Verifications(clinic)

    async def page(
        self, principal: Principal, filters: AuditFilters, after: Position, limit: int, *, newest_first: bool = False
    ) -> list[AuditRecord]:
        """Records in the order they were written or backwards, as far as they are about courses that the caller may see."""
        await self.clinic.require(principal, "read the audit log")
        records: list[AuditRecord] = []
        while len(records) < limit:
            read = await audit.page(
                self.clinic.database, self.clinic.organisation, filters, after, limit, newest_first=newest_first
            )
            records += (await shown(self.clinic, principal, read))[: limit - len(records)]
            if len(read) < limit:
                break
            after = Position(read[-1].recorded_at, read[-1].id)
        await self.clinic.log(principal, "read", "audit", [course for each in records for course in each.courses])
        return records

    async def require_export(self, principal: Principal) -> None:
        """Raises Forbidden unless the principal may export the log."""
        await self.clinic.require(principal, "export the audit log")

    async def export(
        self,
        principal: Principal,
        filters: AuditFilters,
        unrecorded: Unrecorded | None = None,
        export_format: str = "ndjson",
        purpose: SharingPurpose = "HOPERAT",
    ) -> AsyncIterator[list[AuditRecord]]:
        """The whole log up to now, a chunk at a time. The export is recorded before the first chunk, with its purpose, and how far it is.

        Where the filters name no course, it leaves out what `secondary_use` says.

        With `unrecorded` it goes on where the database can only be read; without, it raises ReadOnly then. Raises LongRequestsFull. The chunks raise an
        IptError once the principal's access has ended.
        """
        await self.require_export(principal)
        until = self.clinic.clock.now()
        bounded = msgspec.structs.replace(filters, to=min(filters.to or until, until))
        run = Exports(self.clinic).new(principal, filters, export_format)
        chunks = self._chunks(principal, bounded, unrecorded, run, purpose)
        await anext(chunks)  # a generator that has begun also ends, whatever becomes of its reader
        return chunks

    async def _chunks(
        self,
        principal: Principal,
        filters: AuditFilters,
        unrecorded: Unrecorded | None,
        run: KeptRun[StoredExport],
        purpose: SharingPurpose,
    ) -> AsyncIterator[list[AuditRecord]]:
        """First an empty chunk, when the export is recorded."""
        with self.clinic.installation.long_requests.one():
            keep = await self._record(principal, "export", "audit", filters.course, unrecorded, purpose)
            if keep:
                await run.begin()
            outcome, of_all = "stopped", filters.course is None and filters.courses is None
            try:
                yield []
                async for records in self._read(principal, filters):
                    sent = await exportable(self.clinic, records, purpose) if of_all else records
                    yield sent
                    if keep:
                        await run.note(records=run.run.records + len(sent), reached_at=records[-1].recorded_at)
                outcome = "done"
            finally:
                if keep:
                    await run.end(outcome)

    async def _read(self, principal: Principal, filters: AuditFilters) -> AsyncIterator[list[AuditRecord]]:
        after, size = Position(), self.clinic.settings.export_chunk
        stream = RunningStream(self.clinic, principal)
        while True:
            await stream.check()
            records = await audit.page(self.clinic.database, self.clinic.organisation, filters, after, size)
            if records:
                yield records
                after = Position(records[-1].recorded_at, records[-1].id)
            if len(records) < size:
                return

    async def require_verification(self, principal: Principal) -> None:
        """Raises Forbidden unless the principal may verify the journal."""
        await self.clinic.require(principal, "verify the journal")

    async def verify(
        self,
        principal: Principal,
        course_id: str | None = None,
        progress: Progress | None = None,
        unrecorded: Unrecorded | None = None,
        *,
        processes: int = 1,
        chains_only: bool = False,
        since: Checkpoint | None = None,
        whole: bool = True,
    ) -> Verification:
        """Verifies one course or all, and records that. The arguments are those of `Verifications.run`.

        `unrecorded` is as in `export`. Raises LongRequestsFull.
        """
        await self.require_verification(principal)
        if course_id is not None:
            await self.clinic.visible_course(principal, course_id)
        with self.clinic.installation.long_requests.one():
            keep = await self._record(principal, "read", "verify", course_id, unrecorded)
            return await self.verifications.run(
                principal,
                course_id,
                progress,
                processes=processes,
                chains_only=chains_only,
                keep=keep,
                since=since,
                whole=whole,
            )

    async def _record(
        self,
        principal: Principal,
        kind: str,
        action: str,
        course: str | None,
        unrecorded: Unrecorded | None,
        purpose: SharingPurpose | None = None,
    ) -> bool:
        """Whether it could be recorded."""
        touched = [course] if course else []
        try:
            if purpose is None:
                await self.clinic.log(principal, kind, action, touched)
            else:
                why = Relation("organisation", purpose)
                await self.clinic.committer.commit(self.clinic.event(principal, kind, action, touched, why=why))
        except ReadOnly as error:
            if unrecorded is None:
                raise
            unrecorded(str(error))
            return False
        return True
