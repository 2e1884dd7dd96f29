"""Notices and feeds. Plain statements; they judge nothing."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.schema import tables
from ipt_workflow.store.schema.tables import NoticeRow

notice, client, course, feed = tables.notice, tables.client, tables.course, tables.feed
RECOVERED_MAX = 1000


class Taken(msgspec.Struct, frozen=True):
    """What came of putting a notice down: the row that has its key, and whether it is the one that was put."""

    row: NoticeRow
    new: bool


def put(connection: sa.Connection, row: Mapping[str, Any], ref: str | None, new_client: str) -> Taken:
    """Puts a notice down, unless its key is known. `ref` is the client it is about, whose record is made under `new_client` if need be.

    Raises `sqlalchemy.exc.IntegrityError` where another put the same down meanwhile: then it is known.
    """
    known = by_key(connection, row["organisation"], row["source_id"], row["key"])
    if known:
        return Taken(known, new=False)
    values = {**row, "client_id": _client(connection, row, ref, new_client) if ref else None}
    connection.execute(sa.insert(notice), values)
    return Taken(NoticeRow(**values), new=True)


def _client(connection: sa.Connection, row: Mapping[str, Any], ref: str, new_client: str) -> str:
    """The client's record, made where there is none: the one place where a reference is kept, also of a client without a course."""
    known = stored_courses.client_id(connection, row["organisation"], ref)
    if known is None:
        made = {"organisation": row["organisation"], "id": new_client, "ref": ref, "created_at": row["received_at"]}
        connection.execute(sa.insert(client), made)
    return known or new_client


def _read(row: Any) -> NoticeRow:
    return NoticeRow(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row's columns


def by_key(connection: sa.Connection, organisation: str, source_id: str, key: str) -> NoticeRow | None:
    where = (notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.key == key)
    row = connection.execute(sa.select(notice).where(*where)).first()
    return _read(row) if row else None


def find(connection: sa.Connection, organisation: str, notice_id: str) -> NoticeRow | None:
    row = connection.execute(sa.select(notice).where(notice.c.organisation == organisation, notice.c.id == notice_id)).first()
    return _read(row) if row else None


def of_resource(connection: sa.Connection, organisation: str, source_id: str, resources: Sequence[str]) -> list[NoticeRow]:
    """What a source has told of these things so far and was taken, the newest first."""
    statement = sa.select(notice).where(
        notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.resource.in_(list(resources))
    )
    return [_read(row) for row in connection.execute(statement.order_by(notice.c.id.desc()))]


def settle(
    connection: sa.Connection, organisation: str, notice_id: str, statuses: Sequence[str], values: Mapping[str, Any]
) -> bool:
    """Says what became of a notice, if it is still in one of these statuses."""
    where = (notice.c.organisation == organisation, notice.c.id == notice_id, notice.c.status.in_(list(statuses)))
    return connection.execute(sa.update(notice).where(*where).values(**values)).rowcount == 1


def waiting(connection: sa.Connection, organisation: str, most: int) -> int:
    """How many wait, counted up to `most`."""
    some = (
        sa.select(sa.literal(1)).where(notice.c.organisation == organisation, notice.c.status == stored_courses.WAITING).limit(most)
    )
    return int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar() or 0)


def waiting_by_source(connection: sa.Connection, organisation: str) -> list[tuple[str, bool, int]]:
    """How many wait of each source, with and without risk."""
    statement = (
        sa.select(notice.c.source_id, notice.c.risk, sa.func.count())
        .where(notice.c.organisation == organisation, notice.c.status == stored_courses.WAITING)
        .group_by(notice.c.source_id, notice.c.risk)
    )
    return [(row[0], bool(row[1]), row[2]) for row in connection.execute(statement)]


def unsettled(connection: sa.Connection, organisation: str) -> list[NoticeRow]:
    """What was put down and not settled: its process was stopped in between."""
    where = (notice.c.organisation == organisation, notice.c.status == "received")
    return [_read(row) for row in connection.execute(sa.select(notice).where(*where).order_by(notice.c.id).limit(RECOVERED_MAX))]


class NoticeFilters(msgspec.Struct, frozen=True, kw_only=True):
    status: str | None = None
    source: str | None = None
    course: str | None = None
    risk: bool | None = None
    therapist: str | None = None


class Listed(msgspec.Struct, frozen=True):
    """A notice with the course and the client it is about, where they are known."""

    row: NoticeRow
    course_id: str | None
    therapist: str | None
    client_ref: str | None


def page(connection: sa.Connection, organisation: str, filters: NoticeFilters, after: str, limit: int) -> list[Listed]:
    """Notices in the order they came. One that names no course stands with the newest of its client's."""
    about = _about()
    statement = (
        sa.select(notice, course.c.id.label("about_course"), course.c.therapist, client.c.ref)
        .select_from(
            notice.outerjoin(
                client, sa.and_(client.c.organisation == notice.c.organisation, client.c.id == notice.c.client_id)
            ).outerjoin(course, sa.and_(course.c.organisation == notice.c.organisation, course.c.id == about))
        )
        .where(notice.c.organisation == organisation, notice.c.id > after)
    )
    for column, value in (
        (notice.c.status, filters.status),
        (notice.c.source_id, filters.source),
        (course.c.id, filters.course),
        (notice.c.risk, filters.risk),
        (course.c.therapist, filters.therapist),
    ):
        if value is not None:
            statement = statement.where(column == value)
    return [_listed(row) for row in connection.execute(statement.order_by(notice.c.id).limit(limit))]


def _about() -> sa.ScalarSelect[Any]:
    """The course that a notice stands with: its own, else the newest of its client's."""
    newest = sa.select(sa.func.max(course.c.id)).where(
        course.c.organisation == notice.c.organisation, course.c.client_id == notice.c.client_id
    )
    its = sa.select(sa.func.coalesce(notice.c.course_id, newest.correlate(notice).scalar_subquery()))
    return its.correlate(notice).scalar_subquery()


def _listed(row: Any) -> Listed:
    told = dict(row._mapping)  # noqa: SLF001
    about, therapist, ref = told.pop("about_course"), told.pop("therapist"), told.pop("ref")
    return Listed(NoticeRow(**told), about, therapist, ref)


def one(connection: sa.Connection, organisation: str, notice_id: str) -> Listed | None:
    row = find(connection, organisation, notice_id)
    if row is None:
        return None
    about = (
        row.course_id
        or connection.execute(
            sa.select(sa.func.max(course.c.id)).where(course.c.organisation == organisation, course.c.client_id == row.client_id)
        ).scalar()
    )
    therapist = connection.execute(
        sa.select(course.c.therapist).where(course.c.organisation == organisation, course.c.id == about)
    ).scalar()
    ref = connection.execute(
        sa.select(client.c.ref).where(client.c.organisation == organisation, client.c.id == row.client_id)
    ).scalar()
    return Listed(row, about, therapist, ref)


def courses_of(connection: sa.Connection, organisation: str, client_id: str) -> list[StoredCourse]:
    """A client's courses, in the order they were opened."""
    return stored_courses.of_client(connection, organisation, client_id)


def last_event(connection: sa.Connection, organisation: str, source_id: str, subscription: str) -> int | None:
    """How far a feed is; None where it is not known."""
    where = (feed.c.organisation == organisation, feed.c.source_id == source_id, feed.c.subscription == subscription)
    found: int | None = connection.execute(sa.select(feed.c.last_event).where(*where)).scalar()
    return found


def see_event(
    connection: sa.Connection, organisation: str, source_id: str, subscription: str, event: int, now: dt.datetime
) -> None:
    """Writes down how far a feed is."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    key = {"organisation": organisation, "source_id": source_id, "subscription": subscription}
    seen = {"last_event": event, "seen_at": now}
    connection.execute(insert(feed).values(**key, **seen).on_conflict_do_update(index_elements=list(key), set_=seen))
