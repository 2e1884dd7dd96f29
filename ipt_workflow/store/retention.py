"""Retention policies in force, clients' records that have closed, and what people decided about them."""

import datetime as dt
from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.store import attempts, structs
from ipt_workflow.store.courses import by_ids, execute_by_ids
from ipt_workflow.store.schema.tables import OPEN, client, course
from ipt_workflow.store.schema.tables import retention_decision as decision
from ipt_workflow.store.schema.tables import retention_policy as policy
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.store.upserts import insert_or
from ipt_workflow.values.types import DECEASED

KEEP = "keep"


class StoredPolicy(NewRetentionPolicy, frozen=True, kw_only=True):
    """A policy that an organisation put in force, until it has ended."""

    id: str
    adopted_by: str
    adopted_role: str
    adopted_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = None


class ClosedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a client all of whose courses have ended. `last_contact` is the last time at which anything of them happened.

    `death` is the ending because of it, and `kept_until` the last day for which somebody decided to keep the record.
    """

    client_id: str
    client_ref: str
    courses: tuple[str, ...]
    last_contact: dt.datetime
    death: dt.datetime | None
    kept_until: dt.date | None


class StoredDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided about a client's record. `policies` are separated by commas, and `counts` is JSON."""

    id: str
    deed: str
    client_id: str
    decision: str
    ground: str
    until: dt.date | None
    policies: str
    counts: bytes
    person: str
    role: str
    via: str
    decided_at: dt.datetime


class _EndingOfSnapshot(msgspec.Struct):
    """What a term counts from, of the ending in a snapshot."""

    at: dt.datetime
    end_code: str


class _DatesOfSnapshot(msgspec.Struct):
    """What a term counts from, of a snapshot."""

    last_occurred_at: dt.datetime
    ending: _EndingOfSnapshot | None = None


_dates = msgspec.json.Decoder(_DatesOfSnapshot)


def adopt(connection: sa.Connection, organisation: str, new: StoredPolicy, record: LoggedEvent) -> bool:
    """Puts a policy in force. Returns False, and writes nothing, if one of its name is."""
    row = structs.row_of(organisation, new)
    if connection.execute(insert_or(connection, policy).on_conflict_do_nothing(), row).rowcount == 0:
        return False
    attempts.log(connection, [record])
    return True


def end(connection: sa.Connection, organisation: str, name: str, by: str, at: dt.datetime, record: LoggedEvent) -> bool:
    """Ends a policy. Returns False, and writes nothing, if none of this name is in force."""
    ours = (policy.c.organisation == organisation, policy.c.name == name, policy.c.ended_at.is_(None))
    if connection.execute(sa.update(policy).where(*ours).values(ended_at=at, ended_by=by)).rowcount == 0:
        return False
    attempts.log(connection, [record])
    return True


def policies(connection: sa.Connection, organisation: str, *, in_force: bool = True) -> list[StoredPolicy]:
    """The policies in force, or also those that have ended, in the order in which they were put in force."""
    statement = sa.select(*structs.columns(policy, StoredPolicy)).where(policy.c.organisation == organisation)
    if in_force:
        statement = statement.where(policy.c.ended_at.is_(None))
    return structs.read_all(connection, statement.order_by(policy.c.id), StoredPolicy)


_own_course = (course.c.organisation == client.c.organisation, course.c.client_id == client.c.id)
_closed = (
    sa.select(client.c.id, client.c.ref)
    .where(
        client.c.organisation == sa.bindparam("organisation"),
        client.c.id > sa.bindparam("after"),
        client.c.ref.is_not(None),
        sa.exists().where(*_own_course),
        ~sa.exists().where(*_own_course, sa.text(f"course.{OPEN}")),
    )
    .order_by(client.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_courses = by_ids(sa.select(course.c.client_id, course.c.id, course.c.snapshot), course.c.organisation, course.c.client_id)
_kept = by_ids(
    sa.select(decision.c.client_id, decision.c.until).where(decision.c.decision == sa.literal_column(f"'{KEEP}'")),
    decision.c.organisation,
    decision.c.client_id,
)
_named = by_ids(sa.select(client.c.id, client.c.ref).where(client.c.ref.is_not(None)), client.c.organisation, client.c.id)


def closed_records(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[ClosedRecord]:
    """The records of clients after an id all of whose courses have ended. Records of clients who were erased are no records any more."""
    found = connection.execute(_closed, {"organisation": organisation, "after": after, "limit": limit}).all()
    return _records(connection, organisation, {row.id: row.ref for row in found})


def closed_records_of(connection: sa.Connection, organisation: str, clients: Collection[str]) -> dict[str, ClosedRecord]:
    """The records of these clients, by client. Those who are not known, were erased, or have an open course are missing."""
    refs = {row.id: row.ref for row in execute_by_ids(connection, _named, organisation, clients)}
    return {each.client_id: each for each in _records(connection, organisation, refs)}


def _records(connection: sa.Connection, organisation: str, refs: dict[str, str]) -> list[ClosedRecord]:
    if not refs:
        return []
    dates: dict[str, list[_DatesOfSnapshot]] = {each: [] for each in refs}
    courses: dict[str, list[str]] = {each: [] for each in refs}
    for row in execute_by_ids(connection, _courses, organisation, refs):
        dates[row.client_id].append(_dates.decode(row.snapshot))
        courses[row.client_id].append(row.id)
    kept: dict[str, dt.date] = {}
    for row in execute_by_ids(connection, _kept, organisation, refs):
        kept[row.client_id] = max(row.until, kept.get(row.client_id, row.until))
    return [
        _record(each, refs[each], courses[each], dates[each], kept.get(each))
        for each in sorted(refs)
        if courses[each] and all(its.ending for its in dates[each])
    ]


def _record(
    client_id: str, ref: str, courses: Sequence[str], dates: Sequence[_DatesOfSnapshot], kept: dt.date | None
) -> ClosedRecord:
    deaths = [each.ending.at for each in dates if each.ending and each.ending.end_code in DECEASED]
    return ClosedRecord(
        client_id=client_id,
        client_ref=ref,
        courses=tuple(sorted(courses)),
        last_contact=max(each.last_occurred_at for each in dates),
        death=max(deaths, default=None),
        kept_until=kept,
    )


def is_open(connection: sa.Connection, organisation: str, client_id: str) -> bool:
    """Whether a client has an open course."""
    open_course = sa.select(course.c.id).where(
        course.c.organisation == organisation, course.c.client_id == client_id, sa.text(f"course.{OPEN}")
    )
    return connection.execute(open_course.limit(1)).first() is not None


def decide(connection: sa.Connection, organisation: str, new: StoredDecision, record: LoggedEvent) -> None:
    """Writes what was decided, in the transaction that does it."""
    connection.execute(sa.insert(decision), structs.row_of(organisation, new))
    attempts.log(connection, [record])


def decisions(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[StoredDecision]:
    """What was decided after an id, in the order in which it was."""
    ours = (decision.c.organisation == organisation, decision.c.id > after)
    statement = sa.select(*structs.columns(decision, StoredDecision)).where(*ours).order_by(decision.c.id).limit(limit)
    return structs.read_all(connection, statement, StoredDecision)
