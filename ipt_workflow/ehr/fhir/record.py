"""What resources are made from: a course with its journal, and the names of the place it is kept at.

Resources that come of one course are versioned by its journal: the version of a resource is the seq of the last entry that says
something of it. A course's own resources (EpisodeOfCare, CarePlan) change with every entry.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, step, timeline
from ipt_workflow.ehr.fhir.types import Coding, Identifier, Meta, Reference
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Names of this service. `canonical` begins what we name ourselves; `base` is where FHIR is served, without a slash."""

    canonical: str
    patient_system: str
    organisation: str
    base: str = ""

    def own(self, *parts: str) -> str:
        """A URI of our own."""
        return (":" if self.canonical.startswith("urn:") else "/").join([self.canonical, *parts])

    def coding(self, system: str, code: str, display: str | None = None) -> Coding:
        """A code of our own."""
        return Coding(system=self.own("CodeSystem", system), code=code, display=display)

    def person(self, person: str, role: str = "therapist") -> Reference:
        """Who acted. An EHR is a device; people are named as their tokens name them."""
        kind = "Device" if role == "ehr" else "Practitioner"
        return Reference(type=kind, identifier=Identifier(system=self.own("person"), value=person))

    @property
    def organization(self) -> Reference:
        return Reference(type="Organization", identifier=Identifier(system=self.own("organisation"), value=self.organisation))

    def client(self, client_ref: str | None, client: str) -> Reference:
        """The EHR's patient; where who that was has been erased, only our opaque id."""
        named = Identifier(system=self.patient_system, value=client_ref) if client_ref else None
        return Reference(type="Patient", identifier=named or Identifier(system=self.own("client"), value=client))

    def questionnaire(self, instrument: str, version: str) -> str:
        return f"{self.own('Questionnaire', instrument)}|{version}"

    def plan(self, protocol: str, version: int) -> str:
        return f"{self.own('PlanDefinition', protocol)}|{version}"


class Stage(msgspec.Struct, frozen=True):
    """A stretch of time in one state. `until` is None while it lasts."""

    state: str
    phase: str | None
    since: dt.datetime
    until: dt.datetime | None = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A course at one version, with the entries up to it."""

    course: Course
    entries: tuple[Entry, ...]
    protocol: Protocol
    client_ref: str | None
    site: Site

    @property
    def patient(self) -> Reference:
        return self.site.client(self.client_ref, self.course.client)

    @property
    def episode(self) -> Reference:
        return Reference(reference=f"EpisodeOfCare/{self.course.id}")

    @property
    def meta(self) -> Meta:
        """Of what changes with every entry."""
        return Meta(version_id=str(self.course.version), last_updated=self.entries[-1].written.recorded_at)

    def name(self, seq: int) -> str:
        """The id of what one entry tells."""
        return f"{self.course.id}.{seq}"

    def history(self) -> tuple[Stage, ...]:
        """The states the course has been in, in the order they occurred."""
        stages: list[Stage] = []
        course: Course | None = None
        for placed in timeline(journal.facts(self.entries)):
            course = step(course, placed)
            if not stages or (stages[-1].state, stages[-1].phase) != (course.state, course.phase):
                since = max(placed.fact.occurred_at, stages[-1].since) if stages else placed.fact.occurred_at
                stages = [*stages[:-1], *(msgspec.structs.replace(last, until=since) for last in stages[-1:])]
                stages.append(Stage(course.state, course.phase, since))
        return tuple(stages)

    def told(self, trigger: str) -> list["Statement"]:
        """What entries of one trigger say now, in the order they were recorded."""
        facts = journal.facts(self.entries)
        stands, words, touching = current_facts(facts), journal.given(self.entries), about(facts)
        return [
            Statement(
                seq=entry.written.seq,
                fact=stands[entry.written.seq],
                entry=entry,
                words=words.get(entry.written.seq),
                versions=touching[entry.written.seq],
                last=self.entries[touching[entry.written.seq][-1] - 1],
            )
            for entry in self.entries
            if entry.written.trigger == trigger
        ]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the journal tells. `fact` is what it says now, None where it was taken back; `words` None where erased."""

    seq: int
    fact: Fact | None
    entry: Entry
    words: dict[str, Any] | None
    versions: tuple[int, ...]
    last: Entry

    @property
    def data(self) -> dict[str, Any]:
        return self.fact.data if self.fact else self.entry.written.data

    @property
    def at(self) -> dt.datetime:
        return self.fact.occurred_at if self.fact else self.entry.written.occurred_at

    @property
    def amended(self) -> bool:
        return any(self.entry.written.seq != seq for seq in self.versions)

    @property
    def meta(self) -> Meta:
        return Meta(version_id=str(self.versions[-1]), last_updated=self.last.written.recorded_at)


def about(facts: Sequence[Fact]) -> dict[int, tuple[int, ...]]:
    """For every entry, the entries that say something of it: itself, what amends it, and what names it as its session."""
    by_seq = {fact.seq: fact for fact in facts}
    found: dict[int, list[int]] = {fact.seq: [] for fact in facts}
    for fact in facts:
        subject = by_seq[root(fact, by_seq)]
        session: int = subject.data.get("session", subject.seq)
        for seq in {fact.seq, subject.seq, session} & found.keys():
            found[seq].append(fact.seq)
    return {seq: tuple(touching) for seq, touching in found.items()}


def root(fact: Fact, by_seq: dict[int, Fact]) -> int:
    """The entry that a fact is about: itself, or what it amends in the end."""
    while fact.trigger == "amend" and fact.data["supersedes"] in by_seq:
        fact = by_seq[fact.data["supersedes"]]
    return fact.seq
