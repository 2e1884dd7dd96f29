"""Exports of the audit log: how far each is, and how it ended."""

import datetime as dt

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.audit import runs
from ipt_workflow.service.audit.runs import KeptRun
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import audit_runs
from ipt_workflow.store.audit import AuditFilters
from ipt_workflow.store.audit_runs import StoredExport


class ExportRun(msgspec.Struct, frozen=True, kw_only=True):
    """An export that runs or has ended. `status` is running, done or stopped. `records` have gone out, up to `reached_at`."""

    id: str
    format: str
    filters: AuditFilters
    person: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    status: str
    records: int
    reached_at: dt.datetime | None


class Exports:
    """The exports of a clinic's audit log."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    def new(self, principal: Principal, filters: AuditFilters, export_format: str) -> KeptRun[StoredExport]:
        """An export that is about to begin."""
        now = self.clinic.clock.now()
        given = {name: value for name, value in msgspec.structs.asdict(filters).items() if value is not None}
        return KeptRun(
            self.clinic,
            StoredExport(
                id=new_id(),
                format=export_format,
                filters=msgspec.json.encode(given),
                person=principal.person,
                role=principal.role,
                via=principal.via,
                started_at=now,
                seen_at=now,
            ),
        )

    async def newest(self, principal: Principal, limit: int) -> list[ExportRun]:
        """The exports that began last."""
        await self.clinic.require(principal, "export the audit log")
        found = await self.clinic.read(audit_runs.newest, StoredExport, limit)
        await self.clinic.log(principal, "read", "exports")
        now = self.clinic.clock.now()
        return [
            ExportRun(
                id=run.id,
                format=run.format,
                filters=msgspec.json.decode(run.filters, type=AuditFilters),
                person=run.person,
                started_at=run.started_at,
                ended_at=run.ended_at,
                status=runs.status(run, now),
                records=run.records,
                reached_at=run.reached_at,
            )
            for run in found
        ]
