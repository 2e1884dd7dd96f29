"""The verbs about records that are due: the clock makes the list, and a person decides. Nothing goes by itself.

A record is due when every floor of the policies in force has passed. It is on the list until a person has it erased, or keeps it for longer.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ipt_workflow.access import retention
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.retention import RecordFacts, Term
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.privacy.policies import CHANGE, READ
from ipt_workflow.store import retention as stored
from ipt_workflow.store.retention import ClosedRecord, StoredDecision, StoredPolicy
from ipt_workflow.values.canonical import canonical

SCAN = 500  # records that are looked at in one read
SCANS_MAX = 20  # reads for one page of the list
CLIENTS_MAX = 100  # of one deed
ERASED, KEPT = "retention: record erased", "retention: record kept"
KeepGround = Literal["continuing_care", "claims", "client_wish", "research", "national_law"]
MUST_TELL_BIRTH = "is needed: a policy in force counts from the 18th birthday, and the service keeps no date of birth"
Outcome = Literal["erased", "kept", "held", "not_due", "unknown"]


class DueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A client's record that is due. `since` is the day from which somebody may decide, and `overdue` says that a ceiling has passed.

    `policies` are those whose terms have passed. `birth_needed`: a policy counts from the 18th birthday, which whoever decides must tell.
    `holds` stop the erasure.
    """

    client: str
    client_ref: str
    courses: tuple[str, ...]
    last_contact: dt.date
    death: dt.date | None
    since: dt.date
    overdue: bool
    policies: tuple[str, ...]
    birth_needed: bool
    holds: tuple[str, ...]


class DueRecords(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list. `next` is where the list goes on, None at its end. A page may be empty and not the last."""

    items: tuple[DueRecord, ...]
    next: str | None


class ToDecide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One record of a decision. `born` is the client's date of birth, which is not kept."""

    client: Annotated[str, Meta(min_length=1, max_length=36)]
    born: dt.date | None = None


class NewRetentionDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decides about records that are due: to erase them, or to keep them until a day on a `ground`."""

    decision: Literal["erase", "keep"]
    clients: Annotated[tuple[ToDecide, ...], Meta(min_length=1, max_length=CLIENTS_MAX)]
    ground: KeepGround | None = None
    until: dt.date | None = None


class DecidedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record. `counts` says what was removed, by table."""

    client: str
    outcome: Outcome
    counts: Mapping[str, int] = {}
    holds: tuple[str, ...] = ()


class RetentionDeed(msgspec.Struct, frozen=True, kw_only=True):
    """A decision and what became of it. `counts` are the records by outcome, and `removed` what was removed of all of them.

    With `dry_run`, it is what would become of it.
    """

    id: str | None
    decision: str
    dry_run: bool
    records: tuple[DecidedRecord, ...]
    counts: Mapping[str, int]
    removed: Mapping[str, int]


class Retention:
    """The records of a clinic that are due."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def due(self, principal: Principal, after: str, limit: int) -> DueRecords:
        """Records after a client's id that are due, in the order in which the clients came. The read is recorded with their courses."""
        await self.clinic.require(principal, READ)
        policies = await self.clinic.read(stored.policies)
        found: list[DueRecord] = []
        rest = after if policies else None
        for _ in range(SCANS_MAX):
            if rest is None or len(found) == limit:
                break
            records = await self.clinic.read(stored.closed_records, rest, SCAN)
            due = await self._due(policies, records)
            rest = records[-1].client_id if len(records) == SCAN else None
            if len(found) + len(due) > limit:
                due = due[: limit - len(found)]
                rest = due[-1].client
            found += due
        await self.clinic.log(principal, "read", "records due", [course for each in found for course in each.courses])
        return DueRecords(items=tuple(found), next=rest)

    async def decisions(self, principal: Principal, after: str, limit: int) -> list[StoredDecision]:
        """What was decided, oldest first."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(stored.decisions, after, limit)
        await self.clinic.log(principal, "read", "retention decisions")
        return found

    async def decide(
        self, principal: Principal, decode: Callable[[], NewRetentionDecision], *, dry_run: bool = False
    ) -> RetentionDeed:
        """Erases records that are due, or keeps them for longer. Each is erased in a transaction of its own, with what is recorded of it.

        Raises CommandInvalid, PersonNeeded or ReauthenticationNeeded.
        """
        await self.clinic.require(principal, CHANGE)
        await self.clinic.require_fresh(principal, CHANGE)
        new = decode()
        today = self._today()
        if faults := decision_faults(new, today):
            raise CommandInvalid(faults)
        policies = await self.clinic.read(stored.policies)
        known = await self.clinic.read(stored.closed_records_of, [each.client for each in new.clients])
        if faults := _birth_faults(new, policies, known):
            raise CommandInvalid(faults)
        deed, results = new_id(), list[DecidedRecord]()
        for each in new.clients:
            record = known.get(each.client)
            if record is None:
                results.append(DecidedRecord(client=each.client, outcome="unknown"))
                continue
            terms = self._terms(policies, record, each.born)
            if not self._is_due(record, terms):
                results.append(DecidedRecord(client=each.client, outcome="not_due"))
            else:
                results.append(await self._done(principal, deed, new, record, terms, dry_run=dry_run))
        return _deed(None if dry_run else deed, new, results, dry_run=dry_run)

    async def _due(self, policies: Sequence[StoredPolicy], records: Sequence[ClosedRecord]) -> list[DueRecord]:
        due = [(each, terms) for each in records if self._is_due(each, terms := self._terms(policies, each, None))]
        return [self._view(each, terms) for each, terms in due]

    def _today(self) -> dt.date:
        return self._day(self.clinic.clock.now())

    def _day(self, moment: dt.datetime) -> dt.date:
        return moment.astimezone(self.clinic.zone).date()

    def _terms(self, policies: Sequence[StoredPolicy], record: ClosedRecord, born: dt.date | None) -> list[Term]:
        death = self._day(record.death) if record.death else None
        return retention.of_record(policies, RecordFacts(last_contact=self._day(record.last_contact), death=death, born=born))

    def _is_due(self, record: ClosedRecord, terms: Sequence[Term]) -> bool:
        since, today = retention.due_since(terms), self._today()
        return since is not None and since <= today and (record.kept_until is None or record.kept_until < today)
