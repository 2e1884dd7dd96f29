"""The verb that reads all that belongs together about one course, for those who work with it, and who has looked at it."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import Relation
from ipt_workflow.course import triggers
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import timeline
from ipt_workflow.course.rules import Bound, Context
from ipt_workflow.course.rules.requirements import requirements
from ipt_workflow.errors import Refusal
from ipt_workflow.journal import Entry
from ipt_workflow.machine import CourseMachine, Option
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service import views
from ipt_workflow.service.access.break_glass import text_of
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.views import CourseDetails
from ipt_workflow.store import client_labels as stored_labels
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import marks as stored_marks
from ipt_workflow.store import people as stored_people
from ipt_workflow.store import proposals as stored_proposals
from ipt_workflow.store import readers as stored_readers
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.database import Connection
from ipt_workflow.store.marks import MarkInForce
from ipt_workflow.store.proposals import StoredProposal
from ipt_workflow.store.readers import CourseLook

LOOKS_DAYS = 30  # for so long back an overview lists who looked at the course
EVENTS = (  # what a chart marks, beside the phases
    *("select_focus", "change_focus", "amend_contract", "extend_phase", "pause", "resume", "record_absence", "raise_risk"),
    *("review_risk", "transfer", "announce_ending", "change_protocol"),
)


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened in the course: `phase` is the phase that began with it, if one did."""

    trigger: str
    at: dt.datetime
    phase: str | None = None


class Demand(msgspec.Struct, frozen=True):
    """What the next step demands, and its refusal; None where it is met. `severity` says whether a reason can take its place."""

    rule: str
    says: str
    severity: str
    refusal: Refusal | None


class LinkedCourse(msgspec.Struct, frozen=True, kw_only=True):
    """Another course of the client. `how`: it came `before` this one, it `follows` it, or it is `another`."""

    id: str
    protocol: Protocol
    state: str
    opened_at: dt.datetime
    how: str


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """One course as a whole. `label` is what the clinic calls the client. `options` is empty for who may not change it. `names` are the people's, by id, as far as they are known.

    `looks` are those of the last LOOKS_DAYS days, without this one. `marks` are those in force on the client's record.
    """

    course: CourseDetails
    protocol: Protocol
    relation: Relation | None
    happened: tuple[Happened, ...]
    demands: tuple[Demand, ...]
    options: tuple[Option, ...]
    proposals: tuple[StoredProposal, ...]
    linked: tuple[LinkedCourse, ...]
    looks: tuple[CourseLook, ...]
    label: str | None
    marks: tuple[MarkInForce, ...]
    names: Mapping[str, str]


class _Around(msgspec.Struct, frozen=True):
    """The journal of a course, and what belongs to it elsewhere."""

    entries: Sequence[Entry]
    of_client: Sequence[StoredCourse]
    proposals: Sequence[StoredProposal]
    looks: Sequence[CourseLook]
    label: bytes | None
    marks: Sequence[MarkInForce]
    names: Mapping[str, str]


class Overviews:
    """Reads a clinic's courses as wholes. The audit log records it as any other read of the course."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.reads = CourseReads(clinic)

    async def one(self, principal: Principal, course_id: str, leaving_out: Collection[str] = ()) -> Overview:
        """Raises NotFound or Forbidden. Triggers that are left out are not judged. The number of statements does not depend on the course, nor on how many there are."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        course, now = stored.course, self.clinic.clock.now()
        around = await self.clinic.read(_around, stored, now - dt.timedelta(days=LOOKS_DAYS))
        await self.clinic.log(principal, "read", "course", [stored])
        entries = around.entries[: course.version]  # perhaps later ones too, which the snapshot does not know
        masked = bool(await self.clinic.masked(principal, [course_id]))
        if masked:
            entries = journal.masked(entries)
        machine, context = self.clinic.machine_of(course), self.clinic.context(principal, now)
        view = self.clinic.course_view(course, context, stored.head, stored.client_ref, asked=stored.asked)
        details = views.course_details(view, course, machine.protocol, entries, context, None)
        seen = await self.clinic.all_seen(principal, around.of_client)
        looks = tuple(around.looks) if policy.may(principal, "read who saw a course") else ()
        proposals = tuple(around.proposals) if policy.may(principal, "read proposals") else ()
        return Overview(
            course=details,
            protocol=machine.protocol,
            relation=stored.relation,
            happened=tuple(_happened(journal.facts(entries))),
            demands=_demands(machine, stored, context),
            options=await self._options(principal, stored, around, leaving_out),
            proposals=proposals,
            linked=tuple(self._linked(details, seen.values())),
            looks=looks,
            label=None if masked else text_of(around.label),
            marks=tuple(around.marks),
            names=around.names,
        )

    async def looks(self, principal: Principal, course_id: str) -> list[CourseLook]:
        """Who looked at a course in the last LOOKS_DAYS days, the last one first. Raises NotFound or Forbidden."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read who saw a course", [course_id])
        since = self.clinic.clock.now() - dt.timedelta(days=LOOKS_DAYS)
        found = await self.clinic.read(stored_readers.of_course, course_id, since)
        await self.clinic.log(principal, "read", "who saw a course", [stored])
        return found

    async def _options(
        self, principal: Principal, stored: StoredCourse, around: _Around, leaving_out: Collection[str]
    ) -> tuple[Option, ...]:
        if not policy.may(principal, "change a course"):
            return ()
        others = (each.course for each in around.of_client if each.course.id != stored.course.id)
        other = next((each.id for each in others if each.open and each.acute), None)
        return await self.reads.judged(principal, stored, around.entries, other, leaving_out=leaving_out)

    def _linked(self, details: CourseDetails, seen: Iterable[StoredCourse]) -> Iterable[LinkedCourse]:
        """The other courses of the client that the reader may see, in the order in which they were opened."""
        for each in sorted((stored.course for stored in seen if stored.course.id != details.id), key=lambda course: course.id):
            how = "before" if each.id == details.linked_from else "follows" if each.id in details.followed_by else "another"
            protocol = self.clinic.machine_of(each).protocol
            yield LinkedCourse(id=each.id, protocol=protocol, state=each.state, opened_at=each.opened_at, how=how)


def _around(connection: Connection, organisation: str, stored: StoredCourse, since: dt.datetime) -> _Around:
    """All of it on one snapshot of the database."""
    course_id, client = stored.course.id, stored.course.client
    proposals = stored_proposals.undecided_on(connection, organisation, [course_id])
    looks = stored_readers.of_course(connection, organisation, course_id, since)
    return _Around(
        entries=stored_courses.load_entries(connection, organisation, course_id),
        of_client=stored_courses.of_client(connection, organisation, client),
        proposals=proposals,
        looks=looks,
        label=stored_labels.of_clients(connection, organisation, [client]).get(client),
        marks=stored_marks.in_force(connection, organisation, client),
        names=stored_people.names(connection, organisation, _people(stored, looks, proposals)),
    )


def _people(stored: StoredCourse, looks: Iterable[CourseLook], proposals: Iterable[StoredProposal]) -> list[str]:
    """Whom an overview names."""
    course = stored.course
    named = {course.therapist, course.supervisor, stored.relation.on_behalf_of if stored.relation else None}
    named |= {each.person for each in looks} | {each.proposed_by for each in proposals} | {each.decided_by for each in proposals}
    return [each for each in named if each]


def _happened(facts: Sequence[Fact]) -> Iterable[Happened]:
    """The phases and the events, in the order in which they happened. Who took over a course began it in a later phase."""
    for placed in timeline(facts):
        fact = placed.fact
        if triggers.begins_phase(fact.trigger) or fact.trigger == "adopt":
            phase = fact.data.get("phase") or fact.trigger.removeprefix(triggers.BEGIN_PREFIX)
            yield Happened(trigger=fact.trigger, at=fact.occurred_at, phase=phase)
        elif fact.trigger in EVENTS:
            yield Happened(trigger=fact.trigger, at=fact.occurred_at)


def _demands(machine: CourseMachine, stored: StoredCourse, context: Context) -> tuple[Demand, ...]:
    """What leaving the present phase demands. The refusals have no sentences: pages make theirs from the message's id."""
    _next, required = requirements(machine.protocol, machine.bound, stored.course, context.now, context)
    return tuple(_demand(bound, refusal) for bound, refusal in required)


def _demand(bound: Bound, refusal: Refusal | None) -> Demand:
    return Demand(bound.rule.name, bound.rule.says, refusal.severity if refusal else bound.severity, refusal)
