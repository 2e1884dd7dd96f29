"""The input of every resource: a course with its journal, and the names of this service.

The journal versions the resources of a course: a resource's version is the seq of the last entry about it. The course's own
resources (EpisodeOfCare, CarePlan) change with every entry.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, moved_away, step, timeline
from ipt_workflow.ehr.fhir.types import Coding, Identifier, Meta, Reference
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Names of this service. Our own names begin with `canonical`. `base` is the URL of the FHIR routes, without a slash at its end."""

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
        """The actor. An EHR is a device. A person's name is the subject of their token."""
        kind = "Device" if role == "ehr" else "Practitioner"
        return Reference(type=kind, identifier=Identifier(system=self.own("person"), value=person))

    @property
    def organization(self) -> Reference:
        return Reference(type="Organization", identifier=Identifier(system=self.own("organisation"), value=self.organisation))

    def client_identifier(self, client_ref: str | None, client: str) -> Identifier:
        """The EHR's identifier of its patient. After erasure, only our opaque id is left."""
        known = Identifier(system=self.patient_system, value=client_ref) if client_ref else None
        return known or Identifier(system=self.own("client"), value=client)

    def client(self, client_ref: str | None, client: str) -> Reference:
        return Reference(reference=f"Patient/{client}", type="Patient", identifier=self.client_identifier(client_ref, client))

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
        """The version of resources that change with every entry."""
        return Meta(version_id=str(self.course.version), last_updated=self.entries[-1].written.recorded_at)

    def name(self, seq: int) -> str:
        """The id of the resource that one entry made."""
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

    def current_entries(self, trigger: str) -> list["CurrentEntry"]:
        """The entries of one trigger as amendments leave them, in the order of recording."""
        facts = journal.facts(self.entries)
        current, words, touching = current_facts(facts), journal.given(self.entries), about(facts)
        return [
            CurrentEntry(
                seq=entry.written.seq,
                fact=current[entry.written.seq],
                first=entry,
                words=words.get(entry.written.seq),
                versions=touching[entry.written.seq],
                last=self.entries[touching[entry.written.seq][-1] - 1],
            )
            for entry in self.entries
            if entry.written.trigger == trigger
        ]


class CurrentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as its amendments leave it.

    `fact` is the present content, or None if it was voided. `words` is None if it was erased. `first` is the entry as recorded.
    `versions` holds the seqs of all entries about it, and `last` is the latest of them.
    """

    seq: int
    fact: Fact | None
    first: Entry
    words: dict[str, Any] | None
    versions: tuple[int, ...]
    last: Entry

    @property
    def data(self) -> dict[str, Any]:
        return self.fact.data if self.fact else self.first.written.data

    @property
    def at(self) -> dt.datetime:
        return self.fact.occurred_at if self.fact else self.first.written.occurred_at

    @property
    def amended(self) -> bool:
        return any(self.first.written.seq != seq for seq in self.versions)

    @property
    def moved(self) -> bool:
        """Whether it was another client's, and moved to their course."""
        return self.fact is None and self.last.written.trigger == "move_entries"

    @property
    def meta(self) -> Meta:
        return Meta(version_id=str(self.versions[-1]), last_updated=self.last.written.recorded_at)


def about(facts: Sequence[Fact]) -> dict[int, tuple[int, ...]]:
    """For every entry, the seqs of the entries about it: itself, its amendments, its move, and entries that name it as their session."""
    by_seq = {fact.seq: fact for fact in facts}
    found: dict[int, list[int]] = {fact.seq: [] for fact in facts}
    for fact in facts:
        for seq in moved_away([fact]):
            found[seq].append(fact.seq)
        subject = by_seq[root(fact, by_seq)]
        session: int = subject.data.get("session", subject.seq)
        for seq in {fact.seq, subject.seq, session} & found.keys():
            found[seq].append(fact.seq)
    return {seq: tuple(touching) for seq, touching in found.items()}


def root(fact: Fact, by_seq: dict[int, Fact]) -> int:
    """The seq of the entry that a fact is about: its own, or that of the first entry in its chain of amendments."""
    while fact.trigger == "amend" and fact.data["supersedes"] in by_seq:
        fact = by_seq[fact.data["supersedes"]]
    return fact.seq
