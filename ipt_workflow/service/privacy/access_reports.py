"""The verb that reports who had to do with a client: everybody, why they might, how often, first and last."""

import datetime as dt
from collections.abc import AsyncIterator, Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.access.streams import RunningStream
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.clients import NamedClient, RightsOfClients, SeenClient
from ipt_workflow.store import audit, audit_summaries, disclosures
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.audit_summaries import AccessSum
from ipt_workflow.store.disclosures import Recipient
from ipt_workflow.values.types import Moment

QUESTION = "read who saw a course"
BEGINNING = dt.datetime(1900, 1, 1, tzinfo=dt.UTC)
ORDER = "must not be before `from`"


class ReportQuery(NamedClient, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A client, and the time that a report is about: without `from`, from the beginning, or as far back as the law asks; without `to`, up to now."""

    from_: Moment | None = None
    to: Moment | None = None

    def span(self, beginning: dt.datetime, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
        """From when until when: what was recorded at the end is not in it, but what was just now is. Raises CommandInvalid."""
        after = now + dt.timedelta(microseconds=1)
        since, until = self.from_ or beginning, min(self.to or after, after)
        if until < since:
            raise CommandInvalid([Fault("to", ORDER)])
        return since.astimezone(dt.UTC), until.astimezone(dt.UTC)


class ReportedAccess(AccessSum, frozen=True, kw_only=True):
    """How often somebody did one kind of thing with the client's courses. `name` is the person's, or the system's.

    `rules` are those by which they were refused.
    """

    name: str


class AccessReport(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Everybody who had to do with a client, the last first. `courses` are those that the report is about."""

    client_ref: str | None
    organisation: str
    courses: tuple[str, ...]
    from_: dt.datetime
    to: dt.datetime
    made_at: dt.datetime
    items: tuple[ReportedAccess, ...]


class AccessReports:
    """Who had to do with the clients of a clinic. Reading it is recorded too."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.clients = RightsOfClients(clinic)

    async def require(self, principal: Principal) -> None:
        """Raises Forbidden unless the principal's role may read such a report."""
        await self.clinic.require(principal, QUESTION)

    async def one(self, principal: Principal, query: ReportQuery) -> AccessReport:
        """Raises Forbidden, NotFound or CommandInvalid."""
        client = await self.clients.seen(principal, QUESTION, query)
        now = self.clinic.clock.now()
        since, until = query.span(BEGINNING, now)
        found = await self.of(client, since, until)
        await self.clinic.log(principal, "read", "access report", client.courses)
        return AccessReport(
            client_ref=client.ref,
            organisation=await self.clinic.title(),
            courses=client.ids,
            from_=since,
            to=until,
            made_at=now,
            items=found,
        )

    async def of(self, client: SeenClient, since: dt.datetime, until: dt.datetime) -> tuple[ReportedAccess, ...]:
        """Everybody who had to do with a client between two moments. The caller records it."""
        found = await self.clinic.read(audit_summaries.accesses, client.ids, None, since, until)
        actors = sorted({each.person for each in found})
        names = await self.clinic.read(stored_people.names, actors)
        systems = await self.clinic.read(disclosures.recipients, actors)
        return tuple(
            ReportedAccess(**msgspec.structs.asdict(each), name=_name(each.person, names.get(each.person), systems))
            for each in found
        )

    async def records(self, principal: Principal, query: ReportQuery) -> AsyncIterator[list[AuditRecord]]:
        """The records themselves, oldest first, in chunks. Each names courses of this client alone. Recorded before the first.

        The chunks raise an IptError once the principal's access has ended.
        """
        client = await self.clients.seen(principal, QUESTION, query)
        since, until = query.span(BEGINNING, self.clinic.clock.now())
        await self.clinic.log(principal, "read", "access report", client.courses)
        return self._running(RunningStream(self.clinic, principal, client.ids), since, until)

    async def _running(self, stream: RunningStream, since: dt.datetime, until: dt.datetime) -> AsyncIterator[list[AuditRecord]]:
        async for chunk in self.records_of(stream.courses, since, until):
            await stream.check()
            yield chunk

    async def records_of(self, courses: Sequence[str], since: dt.datetime, until: dt.datetime) -> AsyncIterator[list[AuditRecord]]:
        """The records about these courses between two moments, oldest first, in chunks. What else a record was about it does not say."""
        filters, after, size = (
            AuditFilters(courses=tuple(courses), from_=since, to=until),
            Position(),
            self.clinic.settings.export_chunk,
        )
        own = frozenset(courses)
        while True:
            read = await audit.page(self.clinic.database, self.clinic.organisation, filters, after, size)
            if read:
                yield [
                    msgspec.structs.replace(each, courses=tuple(course for course in each.courses if course in own))
                    for each in read
                ]
                after = Position(read[-1].recorded_at, read[-1].id)
            if len(read) < size:
                return


def _name(person: str, name: str | None, systems: dict[str, Recipient]) -> str:
    return name or (systems[person].name if person in systems else person)
