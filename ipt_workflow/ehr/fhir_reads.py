"""Reading one resource as FHIR. Each is made from its course's journal, and each read is in the audit log."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import fhir_audit_log
from ipt_workflow.ehr.fhir.kinds import served_as
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import AuditEvent
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_charts import NOT_THERE, ChartReader
from ipt_workflow.ehr.fhir_searches import courses_in
from ipt_workflow.errors import NotFound
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses

NOBODY = "00000000-0000-0000-0000-000000000000"  # the id of no client


class FhirReader:
    """The FHIR verbs over a clinic, except searches and histories."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.charts = ChartReader(clinic)

    def site(self, base: str) -> Site:
        """This service's names, with the URL `base` for FHIR."""
        settings = self.clinic.settings
        site = Site(
            canonical=settings.fhir_canonical,
            patient_system=settings.fhir_patient_system,
            organisation=self.clinic.organisation,
            base=base,
        )
        return site if site.patient_system else msgspec.structs.replace(site, patient_system=site.own("client-ref"))

    async def audit_events(self, site: Site, records: Sequence[AuditRecord]) -> list[AuditEvent]:
        """Records of the audit log as AuditEvents. The caller has read the records already."""
        return await fhir_audit_log.events(self.clinic, site, records)

    async def require(self, principal: Principal, kind: str) -> None:
        """Raises NotFound for an unknown kind, Forbidden if the caller may not read that kind."""
        await self.clinic.require(principal, served_as(kind).question)

    async def client(self, principal: Principal, site: Site, system: str | None, value: str) -> str:
        """Our id of the client that the EHR's identifier names; NOBODY if there is none, or none that the caller may see."""
        await self.clinic.require(principal, "search courses by client")
        if system not in {None, site.patient_system}:
            return NOBODY
        found = await self.clinic.read(stored_courses.client_id, value)
        return found if found and await self.charts.patient(principal, site, found) else NOBODY

    async def require_client(self, principal: Principal, site: Site, client: str) -> None:
        """Raises NotFound unless the caller may see a course of this client."""
        await self.clinic.require(principal, "search courses by client")
        await self.charts.visible_patient(principal, site, client)

    async def read(self, principal: Principal, site: Site, kind: str, resource_id: str, version: int | None = None) -> Resource:
        """A resource now or at one of its versions. Raises NotFound."""
        served = served_as(kind)
        await self.clinic.require(principal, served.question)
        found = await self._found(principal, site, kind, resource_id, version)
        if version is not None and (found.meta is None or found.meta.version_id != str(version)):
            raise NotFound(NOT_THERE)
        if kind != "PlanDefinition":
            await self.clinic.log(principal, "read", f"fhir {'read' if version is None else 'vread'} {kind}", courses_in(found))
        return found

    async def _found(self, principal: Principal, site: Site, kind: str, resource_id: str, version: int | None) -> Resource:
        served = served_as(kind)
        if served.make is None:
            return await self._without_course(principal, site, kind, resource_id)
        course_id = resource_id.partition(".")[0]
        stored = await self.clinic.visible_course(principal, course_id)
        entries = await self.clinic.entries_for(principal, course_id)
        record = self.charts.record(site, stored, entries, None if served.versions == "one" else version)
        return _only(served.make(record) if record else (), resource_id)

    async def _without_course(self, principal: Principal, site: Site, kind: str, resource_id: str) -> Resource:
        if kind == "Patient":
            return await self.charts.visible_patient(principal, site, resource_id)
        if kind == "AuditEvent":
            event = await fhir_audit_log.one(self.clinic, principal, site, resource_id)
            return _only([event] if event else (), resource_id)
        return _only(self.charts.plans(site), resource_id)


def _only(resources: Sequence[Resource], resource_id: str) -> Resource:
    for each in resources:
        if each.id == resource_id:
            return each
    raise NotFound(NOT_THERE)
