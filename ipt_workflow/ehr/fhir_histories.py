"""Versions of resources: of one, or of all of a kind. The latest comes first, each as it was known when it was recorded."""

import asyncio
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import fhir_audit_log
from ipt_workflow.ehr.fhir.kinds import Served, served_as
from ipt_workflow.ehr.fhir.record import Record, Site, about
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_charts import CHUNK, NOT_THERE, ChartReader
from ipt_workflow.ehr.fhir_searches import courses_in
from ipt_workflow.errors import NotFound
from ipt_workflow.journal import Entry
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import NEWEST, Position
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.recorded import PlaceInTime, newest_entries

NO_VERSIONS = "A Patient has no versions. Read the Patient itself."


class HistoryPosition(msgspec.Struct, frozen=True):
    """Where a history continues: below the version `version` of one resource, before an entry of all courses, or after `skip` plans."""

    version: Annotated[int, Meta(ge=1)] | None = None
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    entry: Position | None = None


class Versions(msgspec.Struct, frozen=True):
    """One page. `total` is known for one resource only, and `next` is None on the last page."""

    resources: tuple[Resource, ...]
    total: int | None = None
    next: HistoryPosition | None = None


class FhirHistories:
    """The history verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.charts = ChartReader(clinic)

    async def of_resource(
        self,
        principal: Principal,
        site: Site,
        kind: str,
        resource_id: str,
        since: dt.datetime | None,
        before: HistoryPosition,
        limit: int,
    ) -> Versions:
        """Versions of one resource below `before`. Raises NotFound."""
        served = _versioned(kind)
        await self.clinic.require(principal, served.question)
        if served.make is None:
            return await self._only_version(principal, site, kind, resource_id, since, limit)
        course_id, _, number = resource_id.partition(".")
        stored = await self.clinic.visible_course(principal, course_id)
        entries = await self.clinic.entries_for(principal, course_id)
        now = self.charts.record(site, stored, entries)
        if now is None or all(each.id != resource_id for each in _resources(served, now)):
            raise NotFound(NOT_THERE)

        def version(seq: int) -> list[Resource]:
            return [each for each in self._made_by(served, site, stored, entries, seq) if each.id == resource_id]

        seqs = [seq for seq in _seqs_of(served, entries, number) if since is None or entries[seq - 1].written.recorded_at >= since]
        seqs = seqs if served.versions == "course" else [seq for seq in seqs if version(seq)]
        page = [seq for seq in reversed(seqs) if before.version is None or seq < before.version]
        await self.clinic.log(principal, "read", f"fhir history {kind}", [stored])
        found = [each for seq in page[:limit] for each in version(seq)]
        rest = HistoryPosition(page[limit - 1]) if 0 < limit < len(page) else None
        return Versions(tuple(found), len(seqs), rest)

    async def of_kind(
        self, principal: Principal, site: Site, kind: str, since: dt.datetime | None, before: HistoryPosition, limit: int
    ) -> Versions:
        """Versions of all resources of a kind that the caller may see. A page reads at most `page_limit_max` entries."""
        served = _versioned(kind)
        await self.clinic.require(principal, served.question)
        if kind == "AuditEvent":
            page = await fhir_audit_log.search(
                self.clinic, principal, site, (), None, before.entry, limit, newest_first=True, since=since
            )
            await self.clinic.log(
                principal, "read", "fhir history AuditEvent", [name for each in page.events for name in courses_in(each)]
            )
            return Versions(page.events, next=HistoryPosition(entry=page.rest) if page.rest and limit else None)
        if served.make is None:
            plans = self.charts.plans(site)[::-1] if since is None else []
            end = before.skip + limit
            return Versions(tuple(plans[before.skip : end]), next=HistoryPosition(skip=end) if limit and len(plans) > end else None)
        found: list[Resource] = []
        rest: Position | None = before.entry or NEWEST
        for _chunk in range(max(1, self.clinic.settings.page_limit_max // CHUNK)):
            if rest is None or len(found) >= limit:
                break
            who, now = self.clinic.viewer(principal), self.clinic.clock.now()
            entries = await self.clinic.read(newest_entries, who, now, since, rest, CHUNK)
            made = await self._versions_of(principal, site, served, entries)
            taken = _fitting(made, limit - len(found))
            found += [version for _, versions in made[:taken] for version in versions]
            if taken:
                rest = Position(entries[taken - 1].recorded_at, entries[taken - 1].id)
            if taken < len(made):
                break
            if len(entries) < CHUNK:
                rest = None
        courses = sorted({course for each in found for course in courses_in(each)})
        await self.clinic.log(principal, "read", f"fhir history {kind}", courses)
        return Versions(tuple(found), next=HistoryPosition(entry=rest) if rest and limit else None)

    async def _versions_of(
        self, principal: Principal, site: Site, served: Served, entries: Sequence[PlaceInTime]
    ) -> list[tuple[PlaceInTime, list[Resource]]]:
        """Entries, each with the versions that it made."""
        ids = sorted({entry.course_id for entry in entries})
        courses = await self.clinic.all_seen(principal, await self.clinic.read(stored_courses.courses_by_id, ids))
        journals = await self.clinic.journals_for(principal, ids)
        made = []
        for entry in entries:
            stored = courses.get(entry.course_id)
            versions = self._made_by(served, site, stored, journals[entry.course_id], entry.seq) if stored else ()
            made.append((entry, list(versions)))
            await asyncio.sleep(0)  # other requests have their turn between two entries
        return made

    def _made_by(self, served: Served, site: Site, stored: StoredCourse, entries: Sequence[Entry], seq: int) -> Iterator[Resource]:
        """The versions that one entry made."""
        record = self.charts.record(site, stored, entries, seq)
        if record is None:
            return
        for each in _resources(served, record):
            own = served.versions == "one" and str(each.id).endswith(f".{seq}")
            if own or (served.versions != "one" and each.meta is not None and each.meta.version_id == str(seq)):
                yield each

    async def _only_version(
        self,
        principal: Principal,
        site: Site,
        kind: str,
        resource_id: str,
        since: dt.datetime | None,
        limit: int,
    ) -> Versions:
        """The one version of a resource that never changes."""
        event = await fhir_audit_log.one(self.clinic, principal, site, resource_id) if kind == "AuditEvent" else None
        plans = self.charts.plans(site) if kind == "PlanDefinition" else []
        found: list[Resource] = [event] if event else [each for each in plans if each.id == resource_id]
        if not found:
            raise NotFound(NOT_THERE)
        if event:
            await self.clinic.log(principal, "read", "fhir history AuditEvent", courses_in(event))
        recorded = found[0].meta.last_updated if found[0].meta else None
        kept = found if since is None or (recorded and recorded >= since) else []
        return Versions(tuple(kept[:limit]), len(kept))


def _resources(served: Served, record: Record) -> Sequence[Resource]:
    return served.make(record) if served.make else ()


def _versioned(kind: str) -> Served:
    served = served_as(kind)
    if served.versions == "none":
        raise NotFound(NO_VERSIONS)
    return served


def _seqs_of(served: Served, entries: Sequence[Entry], number: str) -> Sequence[int]:
    """The seqs of the entries that may have made a version. `number` is the seq in the resource's id, empty in a course's own."""
    if served.versions == "course":
        return [entry.written.seq for entry in entries]
    return [int(number)] if served.versions == "one" else about(journal.facts(entries))[int(number)]


def _fitting(made: Sequence[tuple[PlaceInTime, list[Resource]]], room: int) -> int:
    """How many entries fit on the page with all their versions; at least one, so that a page is never the last by mistake."""
    count = 0
    for number, (_, versions) in enumerate(made, start=1):
        count += len(versions)
        if count > room and number > 1:
            return number - 1
    return len(made)
