"""The verb that hands a client all their data: a bundle for people and programs, which `ipt_verify.py` verifies without this service."""

from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Literal

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import Relation
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.ehr.fhir.compartment import WantedMembers
from ipt_workflow.ehr.fhir.resources import Bundle, BundleEntry
from ipt_workflow.ehr.fhir_compartments import ClientResources
from ipt_workflow.ehr.fhir_reads import FhirReader
from ipt_workflow.ehr.fhir_searches import course_of
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Proof, SignedNote
from ipt_workflow.service.audit import tables as audit_tables
from ipt_workflow.service.audit.bundles import BundleWriter
from ipt_workflow.service.audit.log_exports import LogExports
from ipt_workflow.service.clinic import ROLE, Clinic
from ipt_workflow.service.privacy import summary, tables
from ipt_workflow.service.privacy.access_reports import BEGINNING, AccessReports, ReportQuery
from ipt_workflow.service.privacy.clients import NamedClient, RightsOfClients, SeenClient
from ipt_workflow.service.privacy.disclosures import Disclosures
from ipt_workflow.store import checkpoints, client_bundles, client_texts, log
from ipt_workflow.store.client_bundles import PlacedEntry
from ipt_workflow.values.spreadsheets import csv_rows

QUESTION = "export a client's data"
SUMMARY, EVERYTHING, OTHER_TEXTS = "summary.html", "fhir-everything.json", "other-texts.ndjson"
ACCESS_LOG, ACCESS_REPORT, DISCLOSURES = "access-log.csv", "access-report.csv", "disclosures.csv"
LATER_ENTRIES = "entries-after-checkpoint.ndjson"
HIDDEN_TEXT = "export sealed text that is hidden from auditors"
Ground = Literal["gdpr-15", "gdpr-20", "hipaa-164.524", "national_law", "other"]
_line = msgspec.json.Encoder().encode


class ClientExportQuery(NamedClient, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client whose data are wanted, and on what ground. `language` is that of the summary for people."""

    ground: Ground
    language: summary.Language = "en"


class ClientExportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds. `erased` entries have no text any more. `checkpoint` is the size of the log that proves it, null if nothing does.

    `unproved` entries are newer than the checkpoint, and in a file of their own.
    """

    client_ref: str | None
    courses: tuple[str, ...]
    ground: Ground
    entries: int
    erased: int
    unproved: int
    checkpoint: int | None


class ClientExports:
    """Exports of a clinic's clients."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.clients = RightsOfClients(clinic)
        self.reports = AccessReports(clinic)
        self.disclosures = Disclosures(clinic)
        self.resources = ClientResources(clinic)

    async def preview(self, principal: Principal, decode: Callable[[], ClientExportQuery]) -> ClientExportPlan:
        """What an export would hold. Raises as `write` does."""
        client, query = await self._asked(principal, decode)
        await self.clinic.log(principal, "read", "client export preview", client.courses)
        note = await self._newest()
        return _plan(client, query, await self.clinic.read(client_bundles.entries, client.ids), note)

    async def write(self, principal: Principal, decode: Callable[[], ClientExportQuery], target: BinaryIO) -> ClientExportPlan:
        """Writes the bundle of a client. It is recorded before anything is read.

        Raises Forbidden, PersonNeeded, ReauthenticationNeeded, NotFound, CommandInvalid or LongRequestsFull.
        """
        client, query = await self._asked(principal, decode)
        with self.clinic.installation.long_requests.one():
            await self._record(principal, client, query)
            log_exports = LogExports(self.clinic)
            note = await self._signed(log_exports)
            entries = await self.clinic.read(client_bundles.entries, client.ids)
            made_at = self.clinic.clock.now()
            with BundleWriter(
                target,
                "client",
                organisation=self.clinic.organisation,
                note=note,
                policy=log_exports.policy(ipt_verify.read_checkpoint(note.text).origin if note else ""),
                made_at=made_at,
            ) as bundle:
                await self._proved(bundle, entries, note)
                await self._reports(bundle, principal, client, query, proved=note is not None)
        return _plan(client, query, entries, note)

    async def _asked(self, principal: Principal, decode: Callable[[], ClientExportQuery]) -> tuple[SeenClient, ClientExportQuery]:
        """The client, if a person who may asks for them and proved lately who they are."""
        await self.clinic.require(principal, QUESTION)
        await self.clinic.require_fresh(principal, QUESTION)
        query = decode()
        client = await self.clients.seen(principal, QUESTION, query)
        if await self.clinic.masked(principal, client.ids):
            await self.clinic.log(principal, "refusal", QUESTION, client.ids, [ROLE])
            raise Forbidden(HIDDEN_TEXT, principal.role, ("therapist", "supervisor"))
        return client, query

    async def _record(self, principal: Principal, client: SeenClient, query: ClientExportQuery) -> None:
        """One record for each relation to the client's courses, for the purpose that the client asked."""
        by_relation: dict[Relation | None, list[str]] = {}
        for each in client.courses:
            by_relation.setdefault(each.relation, []).append(each.course.id)
        for relation, courses in by_relation.items():
            why = Relation(relation.basis, "PATRQT", relation.on_behalf_of) if relation else None
            await self.clinic.committer.commit(self.clinic.event(principal, "export", f"client {query.ground}", courses, why=why))

    async def _signed(self, log_exports: LogExports) -> SignedNote | None:
        """The checkpoint that proves the bundle, which covers everything up to now if this process may sign; None if there is none."""
        await fan_out.bring_up_to_date(self.clinic)
        try:
            return await log_exports.checkpoint(lambda _: None)
        except NotFound:
            return None

    async def _newest(self) -> SignedNote | None:
        found = await self.clinic.read(checkpoints.newest)
        return ipt_verify.read_note(found.note + found.cosignatures) if found else None

    async def _proved(self, bundle: BundleWriter, entries: Sequence[PlacedEntry], note: SignedNote | None) -> None:
        """The journal, with the proofs of what the checkpoint covers; what is newer in a file of its own."""
        size = size_of(note)
        covered = [each for each in entries if _is_covered(each, size)]
        bundle.add(ipt_verify.ENTRIES, _lines([each.entry for each in covered]))
        if later := [each.entry for each in entries if not _is_covered(each, size)]:
            bundle.add(LATER_ENTRIES, _lines(later))
        if note is None:
            return
        heads = {each.entry.course: each for each in covered}  # the last of each course
        for course, head in heads.items():
            assert head.position is not None
            hashes = await self.clinic.read(log.inclusion, head.position, size)
            leaf = await self.clinic.read(log.leaf_of_entry, course, head.entry.seq)
            assert leaf is not None  # it has a position
            proof = Proof(head.position, hashes, note, leaf.canonical())
            bundle.add(f"{ipt_verify.PROOFS}{course}-{head.entry.seq}.tlog-proof", str(proof).encode())
        courses = tuple(dict.fromkeys(each.entry.course for each in entries))
        bundle.add(ipt_verify.RECORDS, _lines(await self.clinic.read(client_bundles.records, courses, size)))

    async def _reports(
        self, bundle: BundleWriter, principal: Principal, client: SeenClient, query: ClientExportQuery, *, proved: bool
    ) -> None:
        """What people read, and what other systems take over."""
        since, until = ReportQuery().span(BEGINNING, self.clinic.clock.now())
        accesses = await self.reports.of(client, since, until)
        disclosed = await self.disclosures.of(client, since, until)
        bundle.add(ACCESS_REPORT, tables.accesses_csv(accesses))
        bundle.add(DISCLOSURES, tables.disclosures_csv(disclosed))
        with bundle.file(ACCESS_LOG) as write:
            write(csv_rows([audit_tables.COLUMNS]))
            async for records in self.reports.records_of(client.ids, since, until):
                write(csv_rows(audit_tables.row(each) for each in records))
        bundle.add(OTHER_TEXTS, _lines(await self.clinic.read(client_texts.of_client, client.id, client.ids)))
        bundle.add(EVERYTHING, await self._fhir(principal, client))
        journals = await self.clinic.read(summary.read, client.ids)
        shown = summary.ClientSummary(
            clinic=await self.clinic.title(),
            client_ref=client.ref,
            made_at=self.clinic.clock.now(),
            zone=self.clinic.zone,
            courses=tuple(
                summary.CourseSummary(each.course, self.clinic.machine_of(each.course).protocol, journals.entries[each.course.id])
                for each in client.courses
            ),
            names=journals.names,
            accesses=accesses,
            disclosures=disclosed,
            proved=proved,
        )
        bundle.add(SUMMARY, summary.page(shown, query.language).encode())

    async def _fhir(self, principal: Principal, client: SeenClient) -> bytes:
        """Everything of the client as one Bundle, which has no address."""
        site = FhirReader(self.clinic).site("")
        found = await self.resources.all_of(principal, site, client.id, WantedMembers())
        own = {client.id, *client.ids}
        entries = tuple(BundleEntry(resource=each) for each in found if each.kind == "PlanDefinition" or course_of(each) in own)
        return _line(Bundle(type="collection", timestamp=self.clinic.clock.now(), entry=entries))


def size_of(note: SignedNote | None) -> int:
    return ipt_verify.read_checkpoint(note.text).size if note else 0


def _is_covered(placed: PlacedEntry, size: int) -> bool:
    return placed.position is not None and placed.position < size


def _plan(
    client: SeenClient, query: ClientExportQuery, entries: Sequence[PlacedEntry], note: SignedNote | None
) -> ClientExportPlan:
    size = size_of(note)
    return ClientExportPlan(
        client_ref=client.ref,
        courses=client.ids,
        ground=query.ground,
        entries=len(entries),
        erased=sum(each.entry.sealed is None for each in entries),
        unproved=sum(not _is_covered(each, size) for each in entries),
        checkpoint=size or None,
    )


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(_line(each) + b"\n" for each in rows)
