"""The verbs about records that are due: the clock makes the list, and a person decides. Nothing goes by itself.

A record is due when every floor of the policies in force has passed. It is on the list until a person has it erased, or keeps it for longer.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from ipt_workflow.access import retention
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.retention import RecordFacts, RetentionTerm
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, RecordHeld
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.privacy import erasures
from ipt_workflow.service.privacy.erasures import ErasureOrder, Erasures
from ipt_workflow.service.privacy.holds import in_words
from ipt_workflow.service.privacy.log_months import LogMonths
from ipt_workflow.service.privacy.policies import CHANGE, READ, RetentionPolicies
from ipt_workflow.store import holds as stored_holds
from ipt_workflow.store import retention as stored
from ipt_workflow.store.database import Connection
from ipt_workflow.store.erasures import StoredErasure
from ipt_workflow.store.retention import ClosedRecord, StoredDecision, StoredPolicy
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.values.canonical import canonical

SCAN = 500  # records that are looked at in one read
SCANS_MAX = 20  # reads for one page of the list
CLIENTS_MAX = 100  # of one deed
KEEP_YEARS_MAX = 30  # for which a record that is due can be kept by one decision
RETENTION = "retention"  # the ground of these erasures
ERASED, KEPT = "retention: record erased", "retention: record kept"
KeepGround = Literal["continuing_care", "claims", "client_wish", "research", "national_law"]
NOT_DUE = "No record of this client is due."
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


class RetentionDecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about a record. Those of one `deed` were decided together. `removed` says what was removed, by table."""

    id: str
    deed: str
    client: str
    decision: str
    ground: str
    until: dt.date | None
    policies: tuple[str, ...]
    removed: Mapping[str, int]
    person: str
    decided_at: dt.datetime


class _CameBack(Exception):
    """The client has an open course again."""


class Retention:
    """The records of a clinic that are due."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.policies = RetentionPolicies(clinic)
        self.months = LogMonths(clinic)

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

    async def one(self, principal: Principal, client: str) -> DueRecord:
        """A record that is due. Raises NotFound if it is not."""
        await self.clinic.require(principal, READ)
        known = await self.clinic.read(stored.closed_records_of, [client]) if "\x00" not in client else {}
        due = await self._due(await self.clinic.read(stored.policies), [*known.values()])
        if not due:
            raise NotFound(NOT_DUE)
        await self.clinic.log(principal, "read", "record due", due[0].courses)
        return due[0]

    async def decisions(self, principal: Principal, after: str, limit: int) -> list[RetentionDecisionView]:
        """What was decided, oldest first."""
        await self.clinic.require(principal, READ)
        found = await self.clinic.read(stored.decisions, after, limit)
        await self.clinic.log(principal, "read", "retention decisions")
        return [_decision_view(each) for each in found]

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
        if faults := _birth_faults(new, policies, known, today):
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
        held = await self.clinic.read(stored_holds.of_clients, [each.client_id for each, _ in due])
        return [self._view(each, terms, [in_words(hold) for hold in held.get(each.client_id, ())]) for each, terms in due]

    def _today(self) -> dt.date:
        return self._day(self.clinic.clock.now())

    def _day(self, moment: dt.datetime) -> dt.date:
        return moment.astimezone(self.clinic.zone).date()

    def _terms(self, policies: Sequence[StoredPolicy], record: ClosedRecord, born: dt.date | None) -> list[RetentionTerm]:
        death = self._day(record.death) if record.death else None
        return retention.of_record(policies, RecordFacts(last_contact=self._day(record.last_contact), death=death, born=born))

    def _is_due(self, record: ClosedRecord, terms: Sequence[RetentionTerm]) -> bool:
        since, today = retention.due_since(terms), self._today()
        return since is not None and since <= today and (record.kept_until is None or record.kept_until < today)

    def _view(self, record: ClosedRecord, terms: Sequence[RetentionTerm], holds: Sequence[str]) -> DueRecord:
        since, overdue, today = retention.due_since(terms), retention.overdue_since(terms), self._today()
        assert since is not None  # it is due
        return DueRecord(
            client=record.client_id,
            client_ref=record.client_ref,
            courses=record.courses,
            last_contact=self._day(record.last_contact),
            death=self._day(record.death) if record.death else None,
            since=since,
            overdue=overdue is not None and overdue <= today,
            policies=_passed(terms, today),
            birth_needed=any(each.until is None for each in terms),
            holds=tuple(holds),
        )

    async def _done(
        self,
        principal: Principal,
        deed: str,
        new: NewRetentionDecision,
        record: ClosedRecord,
        terms: Sequence[RetentionTerm],
        *,
        dry_run: bool,
    ) -> DecidedRecord:
        """What becomes of a record that is due."""
        if new.decision == "erase":
            return await self._erased(principal, deed, new, record, terms, dry_run=dry_run)
        if not dry_run:
            decided = self._decided(principal, deed, new, record, terms, {})
            await self.clinic.write(stored.decide, decided, self._action(principal, KEPT, record, decided))
        return DecidedRecord(client=record.client_id, outcome="kept")

    async def _erased(
        self,
        principal: Principal,
        deed: str,
        new: NewRetentionDecision,
        record: ClosedRecord,
        terms: Sequence[RetentionTerm],
        *,
        dry_run: bool,
    ) -> DecidedRecord:
        """Erases a record that is due, unless there is a hold on it or the client came back meanwhile."""
        organisation, client = self.clinic.organisation, record.client_id

        def also(connection: Connection, line: StoredErasure) -> None:
            if stored.is_open(connection, organisation, client):
                raise _CameBack
            decided = self._decided(principal, deed, new, record, terms, erasures.counts_of(line))
            stored.decide(connection, organisation, decided, self._action(principal, ERASED, record, decided))

        order = ErasureOrder(principal=principal, client=client, course=None, seq=None, ground=RETENTION)
        try:
            view = await Erasures(self.clinic).carry_out(order, dry_run=dry_run, also=also)
        except RecordHeld as error:
            return DecidedRecord(client=client, outcome="held", holds=error.holds)
        except _CameBack:
            return DecidedRecord(client=client, outcome="not_due")
        return DecidedRecord(client=client, outcome="erased", counts=view.counts)

    def _action(self, principal: Principal, action: str, record: ClosedRecord, decided: StoredDecision) -> LoggedEvent:
        """The audit record of a decision, with its policies and what was removed."""
        details: dict[str, Any] = {
            "deed": decided.deed,
            "policies": decided.policies.split(","),
            "until": decided.until.isoformat() if decided.until else None,
            "removed": msgspec.json.decode(decided.counts),
        }
        event = self.clinic.event(principal, "access", action, record.courses, [decided.ground, *details["policies"]])
        return msgspec.structs.replace(event, details=details)

    def _decided(
        self,
        principal: Principal,
        deed: str,
        new: NewRetentionDecision,
        record: ClosedRecord,
        terms: Sequence[RetentionTerm],
        counts: Mapping[str, int],
    ) -> StoredDecision:
        return StoredDecision(
            id=new_id(),
            deed=deed,
            client_id=record.client_id,
            decision=new.decision,
            ground=new.ground or RETENTION,
            until=new.until,
            policies=",".join(_passed(terms, self._today())),
            counts=canonical(dict(counts)),
            person=principal.person,
            role=principal.role,
            via=principal.via,
            decided_at=self.clinic.clock.now(),
        )


def _passed(terms: Sequence[RetentionTerm], today: dt.date) -> tuple[str, ...]:
    """The names of the policies whose terms have passed."""
    return tuple(each.policy for each in terms if each.until and each.until < today)


def decision_faults(new: NewRetentionDecision, today: dt.date) -> list[Fault]:
    """What is wrong with a decision by itself."""
    faults = (
        [Fault("clients", "must name each client once")] if len({each.client for each in new.clients}) < len(new.clients) else []
    )
    if new.decision == "erase":
        given = {"ground": new.ground, "until": new.until}
        return faults + [Fault(name, "belongs to the decision to keep") for name, value in given.items() if value is not None]
    if new.ground is None:
        faults.append(Fault("ground", f"is needed to keep a record that is due: one of {', '.join(get_args(KeepGround))}"))
    if new.until is None or not today <= new.until <= retention.after(today, 12 * KEEP_YEARS_MAX):
        faults.append(Fault("until", f"must be a day from today on, at most {KEEP_YEARS_MAX} years ahead"))
    return faults


def _birth_faults(
    new: NewRetentionDecision, policies: Sequence[StoredPolicy], known: Mapping[str, ClosedRecord], today: dt.date
) -> list[Fault]:
    """Dates of birth that are missing, or are no dates of birth."""
    needed = new.decision == "erase" and any((each.kind, each.anchor) == ("record", "majority") for each in policies)
    faults = [
        Fault(f"clients[{index}].born", MUST_TELL_BIRTH)
        for index, each in enumerate(new.clients)
        if needed and each.born is None and each.client in known
    ]
    return faults + [
        Fault(f"clients[{index}].born", "must be a day before today")
        for index, each in enumerate(new.clients)
        if each.born is not None and each.born >= today
    ]


def _deed(deed: str | None, new: NewRetentionDecision, records: Sequence[DecidedRecord], *, dry_run: bool) -> RetentionDeed:
    removed = Counter[str]()
    for each in records:
        removed.update(each.counts)
    return RetentionDeed(
        id=deed,
        decision=new.decision,
        dry_run=dry_run,
        records=tuple(records),
        counts=dict(Counter(each.outcome for each in records)),
        removed=dict(removed),
    )


def _decision_view(found: StoredDecision) -> RetentionDecisionView:
    return RetentionDecisionView(
        id=found.id,
        deed=found.deed,
        client=found.client_id,
        decision=found.decision,
        ground=found.ground,
        until=found.until,
        policies=tuple(found.policies.split(",")),
        removed=msgspec.json.decode(found.counts, type=dict[str, int]),
        person=found.person,
        decided_at=found.decided_at,
    )
