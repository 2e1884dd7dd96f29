"""Emergency access, its end and its review; and an auditor's unmasking. Each is recorded with its audit record in one transaction."""

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import attempts, events, structs
from ipt_workflow.store.courses import by_ids, execute_by_ids
from ipt_workflow.store.events import NewEvent
from ipt_workflow.store.relations import ORGANISATION
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.store.upserts import insert_or

access, end, review = tables.emergency_access, tables.emergency_end, tables.emergency_review
text, unmasking, client, course = tables.access_text, tables.unmasking, tables.client, tables.course
REASON, COMMENT = "reason", "comment"  # the kinds of texts


class SealedText(msgspec.Struct, frozen=True):
    """A text to be stored so that it can be erased. `digest` is the SHA-256 of the salt and the sealed bytes."""

    salt: str
    sealed: bytes
    digest: str


class StoredAccess(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency access with its end and its review. `reason` and `comment` are the sealed texts, None if they were erased."""

    id: str
    client_id: str
    client_ref: str | None = None
    person: str
    role: str
    via: str
    code: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    restricted: bool
    ended_at: dt.datetime | None = None
    ended_by: str | None = None
    reviewer: str | None = None
    reviewed_at: dt.datetime | None = None
    verdict: str | None = None
    reason: bytes | None = None
    comment: bytes | None = None


_OWN = ("id", "client_id", "person", "role", "via", "code", "starts_at", "ends_at", "restricted")
_reason, _comment = text.alias(), text.alias()


def _beside(table: sa.FromClause, column: sa.ColumnElement[Any], *more: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.organisation == access.c.organisation, column == access.c.id, *more)


_joined = (
    access.outerjoin(end, _beside(end, end.c.access_id))
    .outerjoin(review, _beside(review, review.c.access_id))
    .outerjoin(_reason, _beside(_reason, _reason.c.id, _reason.c.kind == REASON))
    .outerjoin(_comment, _beside(_comment, _comment.c.id, _comment.c.kind == COMMENT))
    .outerjoin(client, sa.and_(client.c.organisation == access.c.organisation, client.c.id == access.c.client_id))
)
_select = sa.select(
    *(access.c[name] for name in _OWN),
    client.c.ref.label("client_ref"),
    end.c.ended_at,
    end.c.ended_by,
    review.c.reviewer,
    review.c.reviewed_at,
    review.c.verdict,
    _reason.c.sealed.label("reason"),
    _comment.c.sealed.label("comment"),
).select_from(_joined)


def start(
    connection: sa.Connection,
    organisation: str,
    new: StoredAccess,
    reason: SealedText,
    record: LoggedEvent,
    published: Sequence[NewEvent],
) -> None:
    """Starts an access, records it, and publishes its events."""
    row = {"organisation": organisation, **{name: getattr(new, name) for name in _OWN}, "text_digest": reason.digest}
    connection.execute(sa.insert(access), row)
    keep_text(connection, organisation, new.id, REASON, reason)
    attempts.log(connection, [record])
    for each in published:
        events.publish(connection, organisation, each)


def keep_text(connection: sa.Connection, organisation: str, of: str, kind: str, new: SealedText) -> None:
    row = {"organisation": organisation, "id": of, "kind": kind, "salt": new.salt, "sealed": new.sealed}
    connection.execute(sa.insert(text), row)


def finish(connection: sa.Connection, organisation: str, access_id: str, by: str, at: dt.datetime, record: LoggedEvent) -> None:
    """Ends an access. One that was ended already stays as it is."""
    row = {"organisation": organisation, "access_id": access_id, "ended_at": at, "ended_by": by}
    if _insert_once(connection, end, row):
        attempts.log(connection, [record])


def end_of(connection: sa.Connection, organisation: str, person: str, roles: Sequence[str], now: dt.datetime) -> int:
    """Ends the accesses that a person took in roles that they lose. Returns how many."""
    mine = (access.c.organisation == organisation, access.c.person == person, access.c.role.in_(roles))
    still = sa.select(access.c.id).where(*mine, access.c.starts_at <= now, access.c.ends_at > now)
    rows = [
        {"organisation": organisation, "access_id": row.id, "ended_at": now, "ended_by": person}
        for row in connection.execute(still).all()
    ]
    return sum(_insert_once(connection, end, row) for row in rows)


def _insert_once(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> bool:
    """Inserts the only row of an access. Returns False if it is there: SQLite's guard would not let it be inserted again."""
    there = sa.select(table.c.access_id).where(table.c.organisation == row["organisation"], table.c.access_id == row["access_id"])
    if connection.execute(there).first() is not None:
        return False
    return connection.execute(insert_or(connection, table).on_conflict_do_nothing(), row).rowcount == 1


class StoredReview(msgspec.Struct, frozen=True, kw_only=True):
    """A judgement to be recorded."""

    access_id: str
    reviewer: str
    reviewed_at: dt.datetime
    verdict: str


def judge(connection: sa.Connection, organisation: str, new: StoredReview, comment: SealedText | None, record: LoggedEvent) -> bool:
    """Records a review. Returns False if the access was reviewed already."""
    row = {**structs.row_of(organisation, new), "text_digest": comment.digest if comment else None}
    if not _insert_once(connection, review, row):
        return False
    if comment:
        keep_text(connection, organisation, new.access_id, COMMENT, comment)
    attempts.log(connection, [record])
    return True


def find(connection: sa.Connection, organisation: str, access_id: str) -> StoredAccess | None:
    return structs.read_first(
        connection, _select.where(access.c.organisation == organisation, access.c.id == access_id), StoredAccess
    )


class AccessFilters(msgspec.Struct, frozen=True, kw_only=True):
    """An access is listed if it meets all that are set. `of` is who took it, or is the therapist of a course that it opened."""

    reviewed: bool | None = None
    of: str | None = None
    but: str | None = None  # who took it is somebody else
    since: dt.datetime | None = None


def page(connection: sa.Connection, organisation: str, filters: AccessFilters, after: str, limit: int) -> list[StoredAccess]:
    """A page of accesses after an id, in the order in which they were started."""
    values = {name: value for name, value in msgspec.structs.asdict(filters).items() if value is not None}
    statement = _page(filters.reviewed, frozenset(values))
    return structs.read_all(
        connection, statement, StoredAccess, {**values, "organisation": organisation, "after": after, "limit": limit}
    )


@cache
def _page(reviewed: bool | None, asked: frozenset[str]) -> sa.Select[Any]:
    """A page of the accesses that meet the filters of these names, whose values are parameters."""
    statement = _select.where(access.c.organisation == ORGANISATION, access.c.id > sa.bindparam("after"))
    if reviewed is not None:
        statement = statement.where(review.c.access_id.is_not(None) if reviewed else review.c.access_id.is_(None))
    if "but" in asked:
        statement = statement.where(access.c.person != sa.bindparam("but"))
    if "since" in asked:
        statement = statement.where(access.c.starts_at >= sa.bindparam("since", type_=access.c.starts_at.type))
    if "of" in asked:
        of = sa.bindparam("of", type_=access.c.person.type)
        its = (course.c.organisation == access.c.organisation, course.c.client_id == access.c.client_id)
        statement = statement.where(sa.or_(access.c.person == of, sa.exists().where(*its, course.c.therapist == of)))
    return statement.order_by(access.c.id).limit(sa.bindparam("limit", type_=sa.Integer))


_starts_of = by_ids(sa.select(access.c.person, access.c.starts_at), access.c.organisation, access.c.person)
# Without an order: for one, SQLite would read all courses.
_courses_of_clients = by_ids(sa.select(course.c.client_id, course.c.id), course.c.organisation, course.c.client_id)


def starts_of(connection: sa.Connection, organisation: str, people: Sequence[str]) -> dict[str, list[dt.datetime]]:
    """When each of these people started emergency accesses."""
    found: dict[str, list[dt.datetime]] = {person: [] for person in people}
    for row in execute_by_ids(connection, _starts_of, organisation, people):
        found[row.person].append(row.starts_at)
    return found


def courses_of_clients(connection: sa.Connection, organisation: str, clients: Sequence[str]) -> dict[str, list[str]]:
    """The ids of each client's courses, in the order they were opened."""
    found: dict[str, list[str]] = {each: [] for each in clients}
    for row in execute_by_ids(connection, _courses_of_clients, organisation, clients):
        found[row.client_id].append(row.id)
    return {each: sorted(ids) for each, ids in found.items()}
