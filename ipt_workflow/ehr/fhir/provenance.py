"""Provenance: one for every entry of a journal, with its author, its cosigner and the version that it made."""

from ipt_workflow import journal
from ipt_workflow.course import triggers
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import moved_away
from ipt_workflow.ehr.fhir import codes
from ipt_workflow.ehr.fhir.record import Record, Site, root
from ipt_workflow.ehr.fhir.resources import Provenance, ProvenanceAgent, ProvenanceEntity
from ipt_workflow.ehr.fhir.types import Coding, Extension, Meta, Reference, concept
from ipt_workflow.journal import Entry, Written

RESOURCE_OF_TRIGGER = {"record_session": "Encounter", "record_measure": "Observation"}


def provenances(record: Record) -> list[Provenance]:
    by_seq = {fact.seq: fact for fact in journal.facts(record.entries)}
    return [_provenance(record, entry, by_seq) for entry in record.entries]


def _provenance(record: Record, entry: Entry, by_seq: dict[int, Fact]) -> Provenance:
    site, written = record.site, entry.written
    before = _version("EpisodeOfCare", record.course.id, written.seq - 1)
    return Provenance(
        id=record.name(written.seq),
        meta=Meta(version_id="1", last_updated=written.recorded_at),
        extension=(Extension(url=site.own("StructureDefinition", "entry-hash"), value_string=entry.hash),),
        target=(_version("EpisodeOfCare", record.course.id, written.seq), *_subject(record, written.seq, by_seq)),
        occurred_date_time=written.occurred_at,
        recorded=written.recorded_at,
        activity=concept(Coding(system=codes.DATA_OPERATION, code=_operation(written)), site.coding("trigger", written.trigger)),
        agent=tuple(_agents(site, written)),
        entity=() if written.trigger in triggers.OPENINGS else (ProvenanceEntity(role="revision", what=before),),
    )


def _version(kind: str, name: str, version: int) -> Reference:
    return Reference(reference=f"{kind}/{name}/_history/{version}")


def _subject(record: Record, seq: int, by_seq: dict[int, Fact]) -> list[Reference]:
    """The session or measure that an entry is about, at the version that the entry made; of a move, all that it moved."""
    gone = moved_away([by_seq[seq]])
    if gone:
        kinds = [(RESOURCE_OF_TRIGGER.get(by_seq[each].trigger), each) for each in gone]
        return [_version(kind, record.name(each), seq) for kind, each in kinds if kind]
    subject = by_seq[root(by_seq[seq], by_seq)]
    named = by_seq.get(subject.data.get("session", subject.seq), subject)
    kind = RESOURCE_OF_TRIGGER.get(named.trigger)
    return [_version(kind, record.name(named.seq), seq)] if kind else []


def _operation(written: Written) -> str:
    if written.trigger in triggers.OPENINGS:
        return "CREATE"
    voids = written.trigger == "move_entries" or (written.trigger == "amend" and written.data.get("void"))
    return "NULLIFY" if voids else "UPDATE"


def _agents(site: Site, written: Written) -> list[ProvenanceAgent]:
    actor = written.actor
    agents = [
        ProvenanceAgent(
            type=codes.participant_type("author"),
            role=(concept(site.coding("role", actor.role)),),
            who=site.person(actor.person, actor.role),
            on_behalf_of=site.person(written.on_behalf_of, "therapist") if written.on_behalf_of else None,
        )
    ]
    if written.cosigned_by:
        who = site.person(written.cosigned_by, "supervisor")
        agents.append(ProvenanceAgent(type=codes.participant_type("verifier"), who=who))
    return agents
