"""What `GET /v1/courses/{id}` shows beside the course itself: words and series, which the journal keeps and the fold does not.

It reads the journal, so answers to transitions and lists leave it out. Whoever may read the course may read its journal, so nothing here
is hidden from anybody who sees it. Words that were erased are null.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.course.course import Booking
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import NOTE, timeline
from ipt_workflow.course.rules import Context
from ipt_workflow.journal import Entry
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.views.course import CourseView

CONTRACTS = ("agree_contract", "amend_contract")
RISKS = ("raise_risk", "review_risk")
SICK_ROLES = ("assign_sick_role", "update_sick_role")
READ = (
    *("record_contact", "record_measure", "record_formulation", "accept_formulation", "amend", "move_entries"),
    *(*CONTRACTS, *RISKS, *SICK_ROLES),
)
SCORES_MAX = 200  # of one instrument, the latest
RISKS_MAX = 100  # the latest


class BookingView(msgspec.Struct, frozen=True, kw_only=True):
    scheduled_for: dt.datetime
    kind: str
    ref: str | None


class ContactsView(msgspec.Struct, frozen=True, kw_only=True):
    """The contacts of one kind: how many, and the last one."""

    count: int
    last_at: dt.datetime
    last_seq: int


class ScoreView(msgspec.Struct, frozen=True, kw_only=True):
    """One reading. `total` is None if answers were missing."""

    seq: int
    at: dt.datetime
    total: int | None
    band: str | None


class FormulationView(msgspec.Struct, frozen=True, kw_only=True):
    """The latest formulation that the client accepted, in whole or in part, and the answer."""

    version: int
    seq: int
    at: dt.datetime
    response: str
    crisis: str | None
    vulnerabilities: dict[str, str]
    social_support: str | None
    plain_words: str | None


class ExemptionView(msgspec.Struct, frozen=True, kw_only=True):
    """An exemption of the sick role. `over`: its last day has passed, or the client has given up the sick role."""

    obligation: str | None
    until: dt.date
    over: bool


class RiskEventView(msgspec.Struct, frozen=True, kw_only=True):
    """A risk that was raised or reviewed (`level`), or that a scale showed (`instrument`)."""

    seq: int
    at: dt.datetime
    trigger: str
    level: str | None
    instrument: str | None
    plan: str | None
    told: tuple[str, ...]


class CourseDetails(CourseView, frozen=True, kw_only=True):
    """A course with what its journal says of it. `risk_plan` is the plan in force."""

    appointments: tuple[BookingView, ...]
    contacts: dict[str, ContactsView]
    scores: dict[str, tuple[ScoreView, ...]]
    goals: tuple[str, ...]
    formulation: FormulationView | None
    exemptions: tuple[ExemptionView, ...]
    risk_plan: str | None
    risk_history: tuple[RiskEventView, ...]


class _Journal(msgspec.Struct, frozen=True):
    """The facts in force of the triggers in READ, in the order in which they occurred, and their sealed data by seq."""

    facts: tuple[Fact, ...]
    given: Mapping[int, dict[str, Any]]

    def of(self, *names: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.trigger in names]

    def words(self, fact: Fact) -> dict[str, Any]:
        """What was given with a fact; nothing if it was erased."""
        return self.given.get(fact.seq, {})


def course_details(
    view: CourseView, course: Course, protocol: Protocol, entries: Sequence[Entry], context: Context, as_of: dt.datetime | None
) -> CourseDetails:
    """The view with the details from the entries of the triggers in READ; others are ignored."""
    known = [entry for entry in entries if entry.written.trigger in READ]
    acting = timeline(journal.facts(known), as_of=as_of)
    read = _Journal(tuple(placed.fact for placed in acting), journal.given(known))
    return CourseDetails(
        **{name: getattr(view, name) for name in CourseView.__struct_fields__},
        appointments=tuple(_booking(each) for each in course.bookings),
        contacts=_contacts(read.of("record_contact")),
        scores=_scores(protocol, read.of("record_measure")),
        goals=_goals(read),
        formulation=_formulation(course, read),
        exemptions=_exemptions(course, read, context),
        risk_plan=_risk_plan(read),
        risk_history=_risks(read, {fact.seq: fact for fact in journal.facts(known)}),
    )


def _booking(booking: Booking) -> BookingView:
    return BookingView(scheduled_for=booking.scheduled_for, kind=booking.kind, ref=booking.ref)


def _contacts(contacts: Iterable[Fact]) -> dict[str, ContactsView]:
    by_kind: dict[str, ContactsView] = {}
    for fact in contacts:
        before = by_kind.get(fact.data["kind"])
        by_kind[fact.data["kind"]] = ContactsView(
            count=before.count + 1 if before else 1, last_at=fact.occurred_at, last_seq=fact.seq
        )
    return by_kind


def _scores(protocol: Protocol, measures: Iterable[Fact]) -> dict[str, tuple[ScoreView, ...]]:
    """The readings of each instrument of the protocol, in the order in which they were taken."""
    by_key: dict[str, list[ScoreView]] = {}
    for fact in measures:
        instrument = protocol.instruments.get(fact.data["instrument"])
        if instrument is None or fact.data.get("not_obtained"):
            continue
        total = fact.data.get("total")
        score = ScoreView(
            seq=fact.seq,
            at=msgspec.convert(fact.data["taken_at"], dt.datetime),
            total=total,
            band=None if total is None else instruments.band(instrument, total),
        )
        by_key.setdefault(instrument.key, []).append(score)
    return {key: tuple(sorted(scores, key=lambda each: (each.at, each.seq))[-SCORES_MAX:]) for key, scores in by_key.items()}


def _goals(read: _Journal) -> tuple[str, ...]:
    """The goals that were agreed last. An amended contract without goals keeps them."""
    agreed = [fact for fact in read.of(*CONTRACTS) if fact.data.get("goals")]
    return tuple(read.words(agreed[-1]).get("goals", ())) if agreed else ()


def _formulation(course: Course, read: _Journal) -> FormulationView | None:
    version = course.formulation.accepted_version if course.formulation else None
    written = [fact for fact in read.of("record_formulation") if fact.data["version"] == version]
    answers = [fact for fact in read.of("accept_formulation") if fact.data["version"] == version]
    if version is None or not written or not answers:
        return None
    words = read.words(written[-1])
    return FormulationView(
        version=version,
        seq=written[-1].seq,
        at=written[-1].occurred_at,
        response=answers[-1].data["response"],
        crisis=words.get("crisis"),
        vulnerabilities=words.get("vulnerabilities") or {},
        social_support=words.get("social_support"),
        plain_words=words.get("plain_words"),
    )


def _exemptions(course: Course, read: _Journal, context: Context) -> tuple[ExemptionView, ...]:
    """The exemptions that were agreed last, those that are over included. An update without a list keeps them, an empty list ends them."""
    agreed = [fact for fact in read.of(*SICK_ROLES) if fact.trigger == "assign_sick_role" or "exemptions" in fact.data]
    if not agreed:
        return ()
    words = read.words(agreed[-1]).get("exemptions", ())
    today, given_up = context.now.astimezone(context.zone).date(), course.sick_role.status == "relinquished"
    ends = [dt.date.fromisoformat(each["until"]) for each in agreed[-1].data.get("exemptions", ())]
    return tuple(
        ExemptionView(
            obligation=words[index]["obligation"] if index < len(words) else None, until=until, over=given_up or until < today
        )
        for index, until in enumerate(ends)
    )


def _risk_plan(read: _Journal) -> str | None:
    """The plan that was written last. A review that finds no risk ends it."""
    plan: str | None = None
    for fact in read.of(*RISKS):
        over = fact.trigger == "review_risk" and fact.data["level"] == "none"
        plan = read.words(fact).get("plan") or (None if over else plan)
    return plan


def _risks(read: _Journal, recorded: Mapping[int, Fact]) -> tuple[RiskEventView, ...]:
    """Every event of risk once, also evidence that an amendment took back: the review of that is still owed."""
    events: dict[int, Fact] = {}
    for fact in read.facts:
        if fact.trigger == NOTE and fact.data.get("risk"):
            events.setdefault(fact.seq, recorded[fact.seq])
        elif fact.trigger in RISKS or fact.data.get("risk"):
            events[fact.seq] = fact
    return tuple(
        RiskEventView(
            seq=fact.seq,
            at=fact.occurred_at,
            trigger=fact.trigger,
            level=fact.data.get("level"),
            instrument=fact.data.get("instrument"),
            plan=read.words(fact).get("plan"),
            told=tuple(read.words(fact).get("told") or ()),
        )
        for fact in [*events.values()][-RISKS_MAX:]
    )
