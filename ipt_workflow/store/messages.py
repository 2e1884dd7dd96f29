"""What became of a source's messages, in the order they came. Never their content."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.notices import NoticeDetail, decode_detail
from ipt_workflow.store.schema.tables import notice


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as its source may see it. `detail` says why it waits; what of it may be shown is decided above."""

    id: str
    type: str
    resource: str | None
    resource_version: str | None
    status: str
    received_at: dt.datetime
    decided_at: dt.datetime | None
    course_id: str | None
    seq: int | None
    awaits_course: bool
    detail: NoticeDetail | None


class MessageFilters(msgspec.Struct, frozen=True, kw_only=True):
    """`key` is the digest of a message's id."""

    key: str | None = None
    status: str | None = None
    since: dt.datetime | None = None


_COLUMNS: list[sa.Column[Any]] = [notice.c[name] for name in StoredMessage.__struct_fields__]


def page(
    connection: sa.Connection, organisation: str, source_id: str, filters: MessageFilters, after: str, limit: int
) -> list[StoredMessage]:
    """A source's messages after the id `after`."""
    statement = sa.select(*_COLUMNS).where(
        notice.c.organisation == organisation, notice.c.source_id == source_id, notice.c.id > after
    )
    if filters.key is not None:
        statement = statement.where(notice.c.key == filters.key)
    if filters.status is not None:
        statement = statement.where(notice.c.status == filters.status)
    if filters.since is not None:
        statement = statement.where(notice.c.received_at >= filters.since)
    found = connection.execute(statement.order_by(notice.c.id).limit(limit)).mappings()
    return [StoredMessage(**{**row, "detail": decode_detail(row["detail"])}) for row in found]
