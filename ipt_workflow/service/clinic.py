"""One organisation's clinic: how the verbs reach its courses and protocols, and how they record events."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from uuid_utils import uuid7

from ipt_workflow import journal
from ipt_workflow.access import policy, relations
from ipt_workflow.access.marks import PROCESSING
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules, Relation, Viewer
from ipt_workflow.access.sessions import require_fresh
from ipt_workflow.course import Course, attention
from ipt_workflow.course.rules import Context
from ipt_workflow.errors import (
    CommandInvalid,
    Fault,
    Forbidden,
    IptError,
    NotFound,
    PersonNeeded,
    ProcessingRestricted,
    ReauthenticationNeeded,
    SettingsInvalid,
)
from ipt_workflow.journal import Entry
from ipt_workflow.machine import CourseMachine, machine_for
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.runtime.clock import Clock, SandboxClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service import views
from ipt_workflow.service.client_keys import ClientKeys
from ipt_workflow.service.installation import Installation, install
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import lookups, organisations, sandbox, unmaskings
from ipt_workflow.store import protocols as stored_protocols
from ipt_workflow.store import relations as stored_relations
from ipt_workflow.store.clinic_database import ClinicDatabase
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.database import Connection
from ipt_workflow.store.loader import PendingLookup
from ipt_workflow.store.organisations import StoredOrganisation
from ipt_workflow.store.protocols import StoredProtocol
from ipt_workflow.store.units import KeptAnswer, LoggedEvent

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
HIDDEN = "hidden"  # the rule in the record of an attempt to see what exists for others
ROLE = "role"  # the rule where the person's role may not
SIGN_IN = "sign_in"  # the rule where the person must sign in, or sign in again
DENIED = {(HIDDEN,), (ROLE,), (SIGN_IN,)}
Touched = StoredCourse | str  # a course that an event names: as it was read for the principal, or its id
NOT_SEEN = "There is no such course, or none that you may see."


def new_id() -> str:
    """A UUIDv7: ids sort by the time they were made."""
    return str(uuid7())


class Clinic:
    """One organisation's courses, tokens and protocols, on an installation that several clinics can share.

    `zone` decides its days and weeks. Without one it is the setting's.
    """

    def __init__(self, installation: Installation, organisation: str, zone: ZoneInfo | None = None) -> None:
        self.installation = installation
        self.organisation = organisation
        self.zone = zone or installation.settings.zone
        self.database = ClinicDatabase(installation.database, organisation)
        self.committer = installation.committer
        self.catalogue = installation.catalogue
        self.settings = installation.settings
        self.access_rules = AccessRules()
        self.clock = installation.clock
        self.metrics = installation.metrics
        self.courses = installation.loader(organisation, lookups.COURSES)
        self.tokens = installation.loader(organisation, lookups.TOKEN_TERMS)
        self.people = installation.loader(organisation, lookups.PEOPLE)
        self.preferences = installation.loader(organisation, lookups.PREFERENCES)
        self.clients = installation.loader(organisation, lookups.CLIENTS)
        self.notices = installation.loader(organisation, lookups.NOTICES)
        self.measures = installation.loader(organisation, lookups.MEASURES)
        self.versions = installation.loader(organisation, lookups.VERSIONS_OF_RESOURCE)
        self.openings: list[Callable[[], None]] = []  # called after a course was opened
        self.sources = installation.loader(organisation, lookups.SOURCES)
        self.keys = ClientKeys(self.database, organisation, installation.keys, installation.clock)
        self._by_digest = {protocol.digest: protocol for protocol in self.catalogue.protocols.values()}

    def follow(self, record: StoredOrganisation) -> None:
        """Takes over what the organisation's record decides."""
        self.zone = ZoneInfo(record.zone) if record.zone else self.settings.zone
        self.access_rules = relations.access_rules(record.settings)

    @property
    def protocols(self) -> list[Protocol]:
        """Every protocol that courses may run under: those in files, and those that only the database still keeps."""
        return sorted(self._by_digest.values(), key=lambda protocol: (protocol.id, protocol.version))

    async def read(
        self, query: Callable[Concatenate[Connection, str, Arguments], Result], *args: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Runs a query for this organisation on one snapshot of the database."""
        return await self.database.read(lambda connection: query(connection, self.organisation, *args, **named))

    async def write(
        self, query: Callable[Concatenate[Connection, str, Arguments], Result], *args: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Runs a query for this organisation and commits it."""
        return await self.database.write(lambda connection: query(connection, self.organisation, *args, **named))

    async def title(self) -> str:
        """The organisation's name, as people read it."""
        record = await self.database.read(organisations.find, self.organisation)
        return record.title if record else self.organisation

    async def load_protocols(self, *, reads_only: bool) -> None:
        """Stores every definition, unless it `reads_only`, and reads those whose file is gone.

        Raises ProtocolInvalid if a file has changed and its version has not.
        """
        stored = await self.read(stored_protocols.every)
        self._know(stored)
        kept = {(row.id, row.version) for row in stored}
        now = self.clock.now()
        new = [_definition(protocol, now) for key, protocol in self.catalogue.protocols.items() if key not in kept]
        if new and not reads_only:
            self._know(await self.write(stored_protocols.keep, new))

    def _know(self, stored: Sequence[StoredProtocol]) -> None:
        protocol_files.check_unchanged(self.catalogue, [(row.id, row.version, row.digest) for row in stored])
        for row in (each for each in stored if each.digest not in self._by_digest):
            definition = protocol_files.read_definition(msgspec.json.decode(row.definition), self.catalogue.instruments)
            self._by_digest.setdefault(definition.digest, definition)

    def machine_of(self, course: Course) -> CourseMachine:
        """The machine of the protocol to which the course is pinned."""
        return machine_for(self._by_digest[course.protocol_digest])

    def protocol(self, protocol_id: str, version: int | None, where: str = "protocol") -> Protocol:
        """A protocol by id and version, or the latest version. Raises CommandInvalid with a fault at `where`."""
        try:
            return self.catalogue.get(protocol_id, version)
        except KeyError:
            known = ", ".join(sorted(protocol.key for protocol in self.catalogue.protocols.values()))
            raise CommandInvalid([Fault(where, f"is not known; use one of {known}")]) from None

    async def visible_course(
        self, principal: Principal, course_id: str, pending: PendingLookup[StoredCourse] | None = None
    ) -> StoredCourse:
        """A course that the principal may see. `pending` is its lookup, if the caller has started it. Raises NotFound."""
        stored = await (pending or self.courses.start(course_id))
        if stored is None:
            raise NotFound(NOT_SEEN)
        seen = await self.seen(principal, stored)
        if seen is None:
            raise await self.hidden(principal, "see a course", [course_id])
        return seen

    def viewer(self, principal: Principal) -> Viewer:
        """The principal as the question of what they may see is asked."""
        return relations.viewer(principal, self.access_rules)

    async def seen(self, principal: Principal, stored: StoredCourse) -> StoredCourse | None:
        """The course with the principal's relation to it; None if it does not exist for them.

        Asks the database only if the course's own row does not tell.
        """
        found = _at_once(self.viewer(principal), stored)
        if found is not None:
            return msgspec.structs.replace(stored, relation=found)
        return (await self.all_seen(principal, [stored])).get(stored.course.id)

    def withheld(self, principal: Principal, course: Course) -> bool:
        """Whether the principal may not see the course because consent to share it is withdrawn."""
        return self.viewer(principal).bound_by_sharing and not course.shared

    async def all_seen(self, principal: Principal, courses: Iterable[StoredCourse]) -> dict[str, StoredCourse]:
        """Those courses that exist for the principal, by id, each with their relation to it."""
        who, known = self.viewer(principal), {each.course.id: each for each in courses}
        found = {course_id: _at_once(who, each) for course_id, each in known.items()}
        found |= await self.relations_of(principal, [course_id for course_id, relation in found.items() if relation is None])
        return {
            course_id: msgspec.structs.replace(known[course_id], relation=relation)
            for course_id, relation in found.items()
            if relation is not None
        }

    async def relations_of(self, principal: Principal, ids: Sequence[str]) -> dict[str, Relation]:
        """How the principal is related to those of these courses that exist for them, where it takes their ties to tell."""
        who = self.viewer(principal)
        if not (ids and who.has_ties):
            return {}
        return await self.read(stored_relations.relations_of, who, ids, self.clock.now())

    async def unseen(self, principal: Principal, ids: Sequence[str]) -> set[str]:
        """Those of these courses that do not exist for the principal. Asked of readers of the organisation, who seldom lack any."""
        if not ids or not await self.read(stored_relations.hides_any, self.viewer(principal)):
            return set()
        return set(ids) - (await self.relations_of(principal, ids)).keys()

    async def kept_answer(self, scope: str) -> KeptAnswer | None:
        """The answer kept under an idempotency key, unless it has expired."""
        kept = (await self.database.find(lookups.ANSWERS, self.organisation, [scope])).get(scope)
        return kept if kept and kept.expires_at > self.clock.now() else None

    async def entries(self, course_id: str, triggers: Sequence[str] = ()) -> list[Entry]:
        """A course's journal; with `triggers`, only their entries."""
        return await self.read(stored_courses.load_entries, course_id, triggers=triggers)

    async def entries_for(self, principal: Principal, course_id: str, triggers: Sequence[str] = ()) -> list[Entry]:
        """A course's journal as the principal may read it: perhaps without its sealed text."""
        found = await self.entries(course_id, triggers)
        return journal.masked(found) if await self.masked(principal, [course_id]) else found

    async def journals_for(self, principal: Principal, ids: Sequence[str]) -> dict[str, list[Entry]]:
        """The journals of several courses as the principal may read them."""
        masked = await self.masked(principal, ids)
        found = await self.read(stored_courses.entries_of, ids)
        return {each: journal.masked(entries) if each in masked else entries for each, entries in found.items()}

    async def masked(self, principal: Principal, ids: Iterable[str]) -> set[str]:
        """Those of these courses whose sealed text is hidden from the principal."""
        if principal.role != "auditor" or self.access_rules.auditor_text == "open":
            return set()
        if self.access_rules.auditor_text == "never":
            return set(ids)
        return set(ids) - await self.read(unmaskings.in_force, principal.person, self.clock.now())

    def context(self, principal: Principal, now: dt.datetime, **more: Any) -> Context:
        return Context(
            now=now,
            actor=principal.actor,
            zone=self.zone,
            ahead_seconds=self.settings.clock_ahead_seconds,
            protocols=self._by_digest,
            **more,
        )

    def with_history(self, context: Context, entries: Iterable[Entry]) -> Context:
        known = list(entries)
        return msgspec.structs.replace(context, history=journal.facts(known), given=journal.given(known))

    def course_view(
        self,
        course: Course,
        context: Context,
        head: str,
        client_ref: str | None,
        due: Mapping[str, dt.datetime] | None = None,
        asked: Mapping[str, dt.datetime] | None = None,
    ) -> views.CourseView:
        """A course as callers see it.

        `due` says when each kind of attention begins; it is computed if not given. `asked` says the same of the kinds that the journal
        knows nothing of.
        """
        machine = self.machine_of(course)
        due = attention.attention(machine.protocol, machine.bound, course, self.zone) if due is None else due
        kinds = sorted({kind for kind, since in (*due.items(), *(asked or {}).items()) if since <= context.now})
        return views.course_view(machine, course, context, head=head, client_ref=client_ref, attention=kinds)

    async def require(self, principal: Principal, question: str, courses: Sequence[str] = ()) -> None:
        """Checks the policy before a read or a write. If the principal may not, records the attempt and raises Forbidden."""
        if not policy.may(principal, question):
            await self.log(principal, "refusal", question, courses, [ROLE])
        policy.require(principal, question)

    async def require_lasting(self, principal: Principal, question: str, stored: StoredCourse) -> None:
        """Raises Forbidden if the principal sees the course by emergency access alone, and records the attempt."""
        if stored.is_glimpse:
            await self.log(principal, "refusal", question, [stored.course.id], [ROLE])
            raise Forbidden(f"{question} with emergency access", principal.role, ("somebody with another relation to the course",))

    async def require_processing(self, principal: Principal, question: str, stored: StoredCourse) -> None:
        """Raises ProcessingRestricted while processing of the client's data is restricted, and records the attempt."""
        if stored.processing:
            await self.log(principal, "refusal", question, [stored.course.id], [PROCESSING, stored.processing])
            raise ProcessingRestricted(stored.processing)

    async def require_fresh(self, principal: Principal, question: str) -> None:
        """Raises PersonNeeded or ReauthenticationNeeded unless a person proved lately who they are, and records the attempt."""
        try:
            require_fresh(principal, self.clock.now(), self.settings.reauthentication)
        except (PersonNeeded, ReauthenticationNeeded):
            await self.log(principal, "refusal", question, (), [SIGN_IN])
            raise

    async def hidden(self, principal: Principal, action: str, courses: Sequence[str] = (), message: str = NOT_SEEN) -> IptError:
        """The error for what exists, but not for this principal. The attempt is recorded, although the answer does not tell.

        It is ProcessingRestricted, with the ground, if a processing restriction alone hides it.
        """
        if courses and (ground := await self._restricted_for(principal, courses)):
            await self.log(principal, "refusal", action, courses, [PROCESSING, ground])
            return ProcessingRestricted(ground)
        await self.log(principal, "refusal", action, courses, [HIDDEN])
        return NotFound(message)

    async def _restricted_for(self, principal: Principal, courses: Sequence[str]) -> str | None:
        """The ground of the processing restriction, if the principal would see one of these courses without it."""
        found = [each for each in await self.read(stored_courses.courses_by_id, courses) if each.processing]
        who = self.viewer(principal)
        shown = any(_at_once(who, msgspec.structs.replace(each, processing=None)) for each in found)
        if found and not shown and who.has_ties:
            ids = [each.course.id for each in found]
            shown = bool(await self.read(stored_relations.relations_of, who, ids, self.clock.now(), processed=True))
        return found[0].processing if shown else None

    async def log(
        self, principal: Principal, kind: str, action: str, courses: Iterable[Touched] = (), rules: Iterable[str] = ()
    ) -> None:
        """Writes an event to the audit log, with every course it names: an event for each relation that the principal has to them.

        Courses that were not read for the principal, but shown to them as parts of something else, are looked up.
        """
        touched, broken = list(courses), tuple(rules)
        shown = [] if kind == "refusal" else [each for each in touched if isinstance(each, str)]
        known = await self.relations_of(principal, shown) if not self.viewer(principal).sees_organisation else {}
        by_relation: dict[Relation | None, list[Touched]] = {}
        for each in touched:
            why = known.get(each) if isinstance(each, str) else each.relation
            by_relation.setdefault(why, []).append(each)
        for why, group in (by_relation or {None: []}).items():
            await self.committer.commit(self.event(principal, kind, action, group, broken, why=why))

    def event(
        self,
        principal: Principal,
        kind: str,
        action: str,
        courses: Iterable[Touched] = (),
        rules: Iterable[str] = (),
        *,
        why: Relation | None = None,
        publish: bool = False,
        command: bytes | None = None,
    ) -> LoggedEvent:
        """An event of the audit log, to be committed with other writes. With `publish`, subscribers receive it.

        Its basis is `why`: else the relation to a course that was read for the principal, else that of their role. What was denied has no
        basis. If a processing restriction does not bind them, its ground is among the rules. `command` is the encoded RefusedCommand of a refusal.
        """
        touched, broken = list(courses), tuple(rules)
        why = why or next((each.relation for each in touched if isinstance(each, StoredCourse) and each.relation), None)
        why = why or relations.standing(self.viewer(principal))
        broken = broken or ((PROCESSING, why.despite) if why.despite else ())
        return LoggedEvent(
            organisation=self.organisation,
            id=new_id(),
            kind=kind,
            recorded_at=self.clock.now(),
            person=principal.person,
            role=principal.role,
            via=principal.via,
            action=action,
            rules=broken,
            request_id=principal.request_id,
            basis=None if kind == "refusal" and (broken in DENIED or broken[:1] == (PROCESSING,)) else why.basis,
            purpose=why.purpose,
            command=command,
            courses=tuple(each.course.id if isinstance(each, StoredCourse) else each for each in touched),
            published=publish,
        )


def _at_once(who: Viewer, stored: StoredCourse) -> Relation | None:
    course = stored.course
    return relations.at_once(
        who, course.therapist, restricted=stored.restricted, shared=course.shared, processing=stored.processing
    )


def _definition(protocol: Protocol, now: dt.datetime) -> StoredProtocol:
    return StoredProtocol(
        id=protocol.id,
        version=protocol.version,
        digest=protocol.digest,
        definition=msgspec.json.encode(protocol.source),
        loaded_at=now,
    )


async def open_clinic(settings: Settings, clock: Clock | None = None, *, reads_only: bool = False) -> Clinic:
    """Opens the clinic of the organisation in the settings. Close its installation when done. With `reads_only` it writes nothing.

    A sandbox has its own clock, unless `clock` is given. Raises ProtocolInvalid, DatabaseNotReady, or SettingsInvalid if there is no
    such organisation.
    """
    installation = install(settings, clock)
    try:
        await installation.database.require_sessions()
        await installation.require_revision()
        move = await installation.database.read(sandbox.find)
        if clock is None and move is not None:
            installation.clock = SandboxClock(move.ahead, move.reached)
        record = await installation.database.read(_of_settings, settings.organisation)
        return await clinic_of(installation, record, reads_only=reads_only)
    except BaseException:
        await installation.close()
        raise


def _of_settings(connection: Connection, organisation: str) -> StoredOrganisation:
    """The organisation of the settings. Raises SettingsInvalid if the database does not know it."""
    known = {each.id: each for each in organisations.every(connection)}
    if organisation not in known:
        use = f"use {' or '.join(known)}" if known else "run `ipt-workflow db upgrade`, which makes it"
        raise SettingsInvalid([Fault("IPT_ORGANISATION", f"names no organisation of this database: {use}")])
    return known[organisation]


async def clinic_of(installation: Installation, record: StoredOrganisation, *, reads_only: bool = False) -> Clinic:
    """The clinic of an organisation. Raises ProtocolInvalid if a file has changed and its version has not."""
    clinic = Clinic(installation, record.id)
    clinic.follow(record)
    await clinic.load_protocols(reads_only=reads_only)
    return clinic


def new_organisation(organisation: str, now: dt.datetime, title: str = "", zone: str | None = None) -> StoredOrganisation:
    return StoredOrganisation(
        id=organisation, title=title or organisation, zone=zone, status="active", settings=b"{}", version=1, created_at=now
    )
