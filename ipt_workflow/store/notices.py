"""Notices, and how far each feed of FHIR notifications has been read. Plain statements; they judge nothing."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ipt_workflow.errors import Fault, IptError, Refusal
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.schema import tables

notice, client, course, feed = tables.notice, tables.client, tables.course, tables.feed
RECOVERED_MAX = 1000


class NoticeTaken(IptError):
    """Another process stored this notice, or the record of its client, first."""


class NoticeDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a notice waits, or why a person dismissed it. `says` is what its reader noted about it.

    A record of a group's session has only `why` and `refusals`.
    """

    why: str | None = None
    refusals: tuple[Refusal, ...] = ()
    faults: tuple[Fault, ...] = ()
    says: tuple[str, ...] = ()


class NewNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to be stored.

    `key` is the digest that identifies the same message when it comes again. `resource` names what the notice is about in the EHR,
    in version `resource_version` as of `resource_at`. `body` is its content; `detail` says why it waits.
    """

    id: str
    source_id: str
    key: str
    body_hash: str
    type: str
    received_at: dt.datetime
    body: bytes | None
    status: str = "received"
    risk: bool = False
    resource: str | None = None
    resource_version: str | None = None
    resource_at: dt.datetime | None = None
    client_id: str | None = None
    course_id: str | None = None
    detail: NoticeDetail | None = None


class StoredNotice(NewNotice, frozen=True, kw_only=True):
    """A notice as it is stored. `seq` is the entry it made, `about_seq` the entry it is about.

    `body` is there only while the notice waits.
    """

    seq: int | None = None
    about_seq: int | None = None
    decided_by: str | None = None
    decided_at: dt.datetime | None = None


class NoticeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notice. `decided_by` is the person who decided it in the inbox."""

    status: str
    course_id: str | None
    seq: int | None
    about_seq: int | None
    detail: NoticeDetail | None
    decided_by: str | None = None
    decided_at: dt.datetime | None = None


class PutNotice(msgspec.Struct, frozen=True):
    """The stored notice that has the key; `new` if it was stored just now."""

    notice: StoredNotice
    new: bool


class ListedNotice(msgspec.Struct, frozen=True):
    """A notice with the course and the client it is about, if they are known."""

    notice: StoredNotice
    course_id: str | None
    therapist: str | None
    client_ref: str | None


class NoticeFilters(msgspec.Struct, frozen=True, kw_only=True):
    status: str | None = None
    source: str | None = None
    course: str | None = None
    risk: bool | None = None
    therapist: str | None = None


_COLUMNS = [column for column in notice.columns if column.name != "organisation"]
_select = sa.select(*_COLUMNS)
_detail_decoder = msgspec.json.Decoder(NoticeDetail)


def row(organisation: str, new: NewNotice) -> dict[str, Any]:
    """The row of a notice. The fields have the names of the columns."""
    return {"organisation": organisation, **msgspec.structs.asdict(new), "detail": _encoded(new.detail)}


def _encoded(detail: NoticeDetail | None) -> bytes | None:
    return msgspec.json.encode(detail) if detail else None


def decode_detail(stored: bytes | None) -> NoticeDetail | None:
    return _detail_decoder.decode(stored) if stored else None


def _read(found: Sequence[Any]) -> StoredNotice:
    """A notice from its columns, which come first in the row."""
    values = dict(zip((column.name for column in _COLUMNS), found, strict=False))
    return StoredNotice(**{**values, "detail": decode_detail(values["detail"])})


# Storing


def put(connection: sa.Connection, organisation: str, new: NewNotice, client_ref: str | None, new_client_id: str) -> PutNotice:
    """Stores a notice unless its key is known. If the client has no record yet, it gets one under `new_client_id`.

    Raises NoticeTaken if another process stored the same meanwhile: the notice is then known.
    """
    known = by_key(connection, organisation, new.source_id, new.key)
    if known:
        return PutNotice(known, new=False)
    try:
        client_id = _client(connection, organisation, new, client_ref, new_client_id) if client_ref else None
        stored = StoredNotice(**{**msgspec.structs.asdict(new), "client_id": client_id})
        connection.execute(sa.insert(notice), row(organisation, stored))
    except sa.exc.IntegrityError as error:
        raise NoticeTaken("Another process is storing the notice.") from error
    return PutNotice(stored, new=True)


def _client(connection: sa.Connection, organisation: str, new: NewNotice, client_ref: str, new_client_id: str) -> str:
    """The id of the client's record: the only row that holds the reference, also for a client without a course."""
    known = stored_courses.client_id(connection, organisation, client_ref)
    if known is None:
        made = {"organisation": organisation, "id": new_client_id, "ref": client_ref, "created_at": new.received_at}
        connection.execute(sa.insert(client), made)
    return known or new_client_id


def settle(connection: sa.Connection, organisation: str, notice_id: str, status: str, result: NoticeResult) -> None:
    """Writes what became of a notice if its status is still `status`. A notice that does not wait loses its body."""
    values = {**msgspec.structs.asdict(result), "detail": _encoded(result.detail)}
    _update(connection, organisation, notice_id, status, values if result.status == "waiting" else {**values, "body": None})


def close(connection: sa.Connection, organisation: str, notice_id: str) -> None:
    """Ends a waiting notice that needs no person any more."""
    _update(connection, organisation, notice_id, "waiting", {"status": "ignored", "body": None, "detail": None})


def dismiss(
    connection: sa.Connection, organisation: str, notice_id: str, reason: str | None, person: str, now: dt.datetime
) -> None:
    """Ends a waiting notice by a person's decision."""
    detail = _encoded(NoticeDetail(why=reason))
    decision = {"status": "dismissed", "body": None, "detail": detail, "decided_by": person, "decided_at": now}
    _update(connection, organisation, notice_id, "waiting", decision)


def _update(connection: sa.Connection, organisation: str, notice_id: str, status: str, values: dict[str, Any]) -> None:
    where = (notice.c.organisation == organisation, notice.c.id == notice_id, notice.c.status == status)
    connection.execute(sa.update(notice).where(*where).values(**values))


# Reading


def by_key(connection: sa.Connection, organisation: str, source_id: str, key: str) -> StoredNotice | None:
    where = (notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.key == key)
    found = connection.execute(_select.where(*where)).first()
    return _read(found) if found else None


def find(connection: sa.Connection, organisation: str, notice_id: str) -> StoredNotice | None:
    found = connection.execute(_select.where(notice.c.organisation == organisation, notice.c.id == notice_id)).first()
    return _read(found) if found else None


def of_resource(connection: sa.Connection, organisation: str, source_id: str, resources: Sequence[str]) -> list[StoredNotice]:
    """A source's stored notices about these resources, the newest first."""
    statement = _select.where(
        notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.resource.in_(list(resources))
    )
    return [_read(found) for found in connection.execute(statement.order_by(notice.c.id.desc()))]


def waiting(connection: sa.Connection, organisation: str, most: int) -> int:
    """How many notices wait, counted up to `most`."""
    some = (
        sa.select(sa.literal(1)).where(notice.c.organisation == organisation, notice.c.status == stored_courses.WAITING).limit(most)
    )
    return int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar() or 0)


def waiting_by_source(connection: sa.Connection, organisation: str) -> list[tuple[str, bool, int]]:
    """How many notices of each source wait: `(source, risk, count)`."""
    statement = (
        sa.select(notice.c.source_id, notice.c.risk, sa.func.count())
        .where(notice.c.organisation == organisation, notice.c.status == stored_courses.WAITING)
        .group_by(notice.c.source_id, notice.c.risk)
    )
    return [(found[0], bool(found[1]), found[2]) for found in connection.execute(statement)]


def unsettled(connection: sa.Connection, organisation: str) -> list[StoredNotice]:
    """Notices that were stored and not settled, because their process stopped in between."""
    where = (notice.c.organisation == organisation, notice.c.status == "received")
    return [_read(found) for found in connection.execute(_select.where(*where).order_by(notice.c.id).limit(RECOVERED_MAX))]


def page(connection: sa.Connection, organisation: str, filters: NoticeFilters, after: str, limit: int) -> list[ListedNotice]:
    """Notices in the order they came. A notice that names no course is listed with its client's newest course."""
    statement = (
        sa.select(*_COLUMNS, course.c.id, course.c.therapist, client.c.ref)
        .select_from(
            notice.outerjoin(
                client, sa.and_(client.c.organisation == notice.c.organisation, client.c.id == notice.c.client_id)
            ).outerjoin(course, sa.and_(course.c.organisation == notice.c.organisation, course.c.id == _course_of_notice()))
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
    return [ListedNotice(_read(found), *found[-3:]) for found in connection.execute(statement.order_by(notice.c.id).limit(limit))]


def _course_of_notice() -> sa.ScalarSelect[Any]:
    """The course that a notice is listed with: its own, else its client's newest."""
    newest = sa.select(sa.func.max(course.c.id)).where(
        course.c.organisation == notice.c.organisation, course.c.client_id == notice.c.client_id
    )
    own = sa.select(sa.func.coalesce(notice.c.course_id, newest.correlate(notice).scalar_subquery()))
    return own.correlate(notice).scalar_subquery()


def one(connection: sa.Connection, organisation: str, notice_id: str) -> ListedNotice | None:
    found = find(connection, organisation, notice_id)
    if found is None:
        return None
    course_id = (
        found.course_id
        or connection.execute(
            sa.select(sa.func.max(course.c.id)).where(course.c.organisation == organisation, course.c.client_id == found.client_id)
        ).scalar()
    )
    therapist = connection.execute(
        sa.select(course.c.therapist).where(course.c.organisation == organisation, course.c.id == course_id)
    ).scalar()
    client_ref = connection.execute(
        sa.select(client.c.ref).where(client.c.organisation == organisation, client.c.id == found.client_id)
    ).scalar()
    return ListedNotice(found, course_id, therapist, client_ref)


# Feeds


def last_event(connection: sa.Connection, organisation: str, source_id: str, subscription: str) -> int | None:
    """The number of the last event read from a feed; None for a feed that is new."""
    where = (feed.c.organisation == organisation, feed.c.source_id == source_id, feed.c.subscription == subscription)
    found: int | None = connection.execute(sa.select(feed.c.last_event).where(*where)).scalar()
    return found


def keep_last_event(
    connection: sa.Connection, organisation: str, source_id: str, subscription: str, event: int, now: dt.datetime
) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    key = {"organisation": organisation, "source_id": source_id, "subscription": subscription}
    seen = {"last_event": event, "seen_at": now}
    connection.execute(insert(feed).values(**key, **seen).on_conflict_do_update(index_elements=list(key), set_=seen))
