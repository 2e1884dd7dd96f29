"""Notices, and how far each feed of FHIR notifications has been read. Plain statements; they judge nothing."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.errors import Fault, IptError, Refusal
from ipt_workflow.store import relations
from ipt_workflow.store.attention import WAITING
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

notice, client, course, feed = tables.notice, tables.client, tables.course, tables.feed
RECOVERED_MAX = 1000


class NoticeTaken(IptError):
    """Another request stored or settled this notice, or another version of its resource, first."""


class NoticeDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a notice waits, or why a person dismissed it. `says` is what its reader noted about it.

    A record of a group's session has only `why` and `refusals`.
    """

    why: str | None = None
    refusals: tuple[Refusal, ...] = ()
    faults: tuple[Fault, ...] = ()
    says: tuple[str, ...] = ()


class NewNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to be stored, with what became of it.

    `key` is the digest that identifies the same message when it comes again. `resource` names what the notice is about in the EHR,
    in version `resource_version` as of `resource_at`; `resource_key` is the digest of its name, and `part` says which of the things that
    the resource came to. `ordinal` counts the kept versions of a part; None if the notice is no version of anything. `void`: the EHR
    withdrew the thing. `seq` is the entry it made, `about_seq` the entry it is about. `body` is its content, kept while it waits;
    `detail` says why it waits. If it `awaits_course`, its client had no course when it came.
    """

    id: str
    source_id: str
    key: str
    body_hash: str
    type: str
    received_at: dt.datetime
    body: bytes | None = None
    status: str = "received"
    risk: bool = False
    resource: str | None = None
    resource_key: str | None = None
    part: str = ""
    ordinal: int | None = None
    void: bool = False
    content_digest: str | None = None
    resource_version: str | None = None
    resource_at: dt.datetime | None = None
    client_id: str | None = None
    course_id: str | None = None
    seq: int | None = None
    about_seq: int | None = None
    detail: NoticeDetail | None = None
    awaits_course: bool = False


class StoredNotice(NewNotice, frozen=True, kw_only=True):
    """A notice as it is stored. `decided_by` is the person who decided it in the inbox."""

    decided_by: str | None = None
    decided_at: dt.datetime | None = None


class NoticeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notice that was stored before. `decided_by` is the person who decided it in the inbox."""

    status: str
    course_id: str | None
    seq: int | None
    about_seq: int | None
    detail: NoticeDetail | None
    awaits_course: bool = False
    decided_by: str | None = None
    decided_at: dt.datetime | None = None


class SettledNotice(msgspec.Struct, frozen=True):
    """The result of a stored notice, to be written if its status is still `status`. If it does not wait, it loses its body."""

    id: str
    status: str
    result: NoticeResult


class ListedNotice(msgspec.Struct, frozen=True):
    """A notice with the course and the client it is about, if they are known."""

    notice: StoredNotice
    course_id: str | None
    client_ref: str | None


class NoticeFilters(msgspec.Struct, frozen=True, kw_only=True):
    status: str | None = None
    source: str | None = None
    course: str | None = None
    risk: bool | None = None
    viewer: Viewer | None = None


COLUMNS = [column for column in notice.columns if column.name != "organisation"]
_NAMES = [column.name for column in COLUMNS]
_select = sa.select(*COLUMNS)
_detail_decoder = msgspec.json.Decoder(NoticeDetail)


def row(organisation: str, new: NewNotice) -> dict[str, Any]:
    """The row of a notice. The fields have the names of the columns."""
    columns = {"organisation": organisation, **msgspec.structs.asdict(new), "detail": _encoded(new.detail)}
    return {"decided_by": None, "decided_at": None, **columns}


def _encoded(detail: NoticeDetail | None) -> bytes | None:
    return msgspec.json.encode(detail) if detail else None


def decode_detail(stored: bytes | None) -> NoticeDetail | None:
    return _detail_decoder.decode(stored) if stored else None


def stored_notice(*found: Any) -> StoredNotice:
    """A notice from the values of COLUMNS."""
    values = dict(zip(_NAMES, found, strict=True))
    return StoredNotice(**{**values, "detail": decode_detail(values["detail"])})


def _read(found: Sequence[Any]) -> StoredNotice:
    """A notice from its columns, which come first in the row."""
    return stored_notice(*found[: len(COLUMNS)])


# Writing, in the transaction of a unit


def settle(connection: sa.Connection, organisation: str, settled: SettledNotice) -> None:
    """Writes what became of a notice. Raises NoticeTaken if its status has changed meanwhile."""
    values = {**msgspec.structs.asdict(settled.result), "detail": _encoded(settled.result.detail)}
    values |= {} if settled.result.status == "waiting" else {"body": None}
    where = (notice.c.organisation == organisation, notice.c.id == settled.id, notice.c.status == settled.status)
    if connection.execute(sa.update(notice).where(*where).values(**values)).rowcount != 1:
        raise NoticeTaken("The notice was settled meanwhile.")


# Reading


def find(connection: sa.Connection, organisation: str, notice_id: str) -> StoredNotice | None:
    found = connection.execute(_select.where(notice.c.organisation == organisation, notice.c.id == notice_id)).first()
    return _read(found) if found else None


def waiting(connection: sa.Connection, organisation: str, source_id: str, most: int) -> int:
    """How many notices of a source wait, counted up to `most`."""
    of_source = (notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.status == WAITING)
    some = sa.select(sa.literal(1)).where(*of_source).limit(most)
    return int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar() or 0)


def waiting_by_source(connection: sa.Connection, organisation: str) -> list[tuple[str, bool, int]]:
    """How many notices of each source wait: `(source, risk, count)`."""
    statement = (
        sa.select(notice.c.source_id, notice.c.risk, sa.func.count())
        .where(notice.c.organisation == organisation, notice.c.status == WAITING)
        .group_by(notice.c.source_id, notice.c.risk)
    )
    return [(found[0], bool(found[1]), found[2]) for found in connection.execute(statement)]


def unsettled(connection: sa.Connection, organisation: str) -> list[StoredNotice]:
    """Notices that were stored and not settled, because their process stopped in between."""
    where = (notice.c.organisation == organisation, notice.c.status == "received")
    return [_read(found) for found in connection.execute(_select.where(*where).order_by(notice.c.id).limit(RECOVERED_MAX))]


def clients_referred(connection: sa.Connection, organisation: str, most: int) -> list[str]:
    """Clients with a course whose notices came before it was opened, and wait."""
    statement = (
        sa.select(notice.c.client_id)
        .distinct()
        .select_from(
            notice.join(course, sa.and_(course.c.organisation == notice.c.organisation, course.c.client_id == notice.c.client_id))
        )
        .where(notice.c.organisation == organisation, notice.c.status == WAITING, notice.c.awaits_course)
    )
    return list(connection.execute(statement.limit(most)).scalars())


def awaiting_course(connection: sa.Connection, organisation: str, client_id: str) -> list[StoredNotice]:
    """A client's notices that await a course, in the order they came."""
    of_client = (notice.c.organisation == organisation, notice.c.client_id == client_id, notice.c.status == WAITING)
    statement = _select.where(*of_client, notice.c.awaits_course).order_by(notice.c.id)
    return [_read(found) for found in connection.execute(statement)]


def page(
    connection: sa.Connection, organisation: str, filters: NoticeFilters, after: str, limit: int, now: dt.datetime
) -> list[ListedNotice]:
    """Notices in the order they came. A notice that names no course is listed with its client's newest course.

    With a viewer: those on courses that this person may see at this moment. A supervisor also sees those without a course.
    """
    statement = (
        sa.select(*COLUMNS, course.c.id, client.c.ref)
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
    ):
        if value is not None:
            statement = statement.where(column == value)
    viewer = filters.viewer
    visible = relations.sight(connection, organisation, viewer, now).condition if viewer else None
    if visible is not None and viewer:
        statement = statement.where(sa.or_(visible, course.c.id.is_(None)) if viewer.role == "supervisor" else visible)
    seen = relations.values(organisation, viewer, now) if viewer else {}
    found = connection.execute(statement.order_by(notice.c.id).limit(limit), seen)
    return [ListedNotice(_read(each), *each[-2:]) for each in found]


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
    client_ref = connection.execute(
        sa.select(client.c.ref).where(client.c.organisation == organisation, client.c.id == found.client_id)
    ).scalar()
    return ListedNotice(found, course_id, client_ref)


# Feeds


def last_event(connection: sa.Connection, organisation: str, source_id: str, subscription: str) -> int | None:
    """The number of the last event read from a feed; None for a feed that is new."""
    where = (feed.c.organisation == organisation, feed.c.source_id == source_id, feed.c.subscription == subscription)
    found: int | None = connection.execute(sa.select(feed.c.last_event).where(*where)).scalar()
    return found


def keep_last_event(
    connection: sa.Connection, organisation: str, source_id: str, subscription: str, event: int, now: dt.datetime
) -> None:
    key = {"organisation": organisation, "source_id": source_id, "subscription": subscription}
    seen = {"last_event": event, "seen_at": now}
    insert = insert_or(connection, feed).values(**key, **seen)
    connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=seen))
