"""EHR systems as sources: their keys, notices and feeds."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import one_of

OTHER_VISITS = ("wait", "ignore")
KEY_KINDS = ("standard-webhooks", "x-signature", "bearer")
NOTICE_STATUSES = ("received", "waiting", "applied", "ignored", "dismissed")


class SourceRow(SQLModel, table=True):
    """An EHR that may send notices.

    With `names_persons`, it is trusted to name the person who acted. With `all_visits`, all visits it reports belong to IPT.
    `other_visits` says what becomes of a visit that nothing marks as IPT. `client_prefix` plus the id of a FHIR Patient is a client
    reference. `digest_key` keys the digests of content that are kept of its messages.
    """

    __tablename__ = "source"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=32)
    names_persons: bool
    all_visits: bool
    other_visits: str = Field(sa_type=one_of("source_other_visits", OTHER_VISITS))
    digest_key: bytes
    client_prefix: str = Field(max_length=64)
    created_at: dt.datetime
    created_by: str = Field(max_length=128)
    disabled_at: dt.datetime | None = None


class SourceKeyRow(SQLModel, table=True):
    """A key that verifies a source's notices until it expires. Of a bearer token, only the SHA-256 is stored."""

    __tablename__ = "source_key"
    __table_args__ = (sa.Index("ix_source_key_source", "organisation", "source_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    source_id: str = Field(max_length=32)
    kind: str = Field(sa_type=one_of("source_key_kind", KEY_KINDS))
    secret: str = Field(max_length=500)
    created_at: dt.datetime
    expires_at: dt.datetime | None = None


def _waiting_index(column: str) -> sa.Index:
    """An index of only the notices that wait for a person."""
    some = sa.text("status = 'waiting'")
    return sa.Index(f"ix_notice_waiting_{column}", "organisation", column, sqlite_where=some, postgresql_where=some)


class NoticeRow(SQLModel, table=True):
    """A message of an EHR with what became of it. Two messages with the same `key`, a digest, are the same message.

    `resource` names the EHR's resource, at `resource_version` and `resource_at`; of a Patient it is only the type. `resource_key` is the
    keyed digest of its name. A resource may come to several things: `part` says which. `ordinal` counts the versions that were kept of
    a part, so that two processes cannot both keep the next. `content_digest` is the keyed digest of what was read. `seq` is the entry
    that the notice resulted in, `about_seq` the entry that stands for the resource. `body` (the content) and `detail` (why it waits) are
    kept only while it waits; both can be erased at any time, and so can the digests. The client's reference is in `client` alone.
    If it `awaits_course`, it is handled again by itself when its client's course is opened.
    """

    __tablename__ = "notice"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "source_id", "key"),
        sa.Index("uq_notice_key", "organisation", "key", unique=True),
        sa.Index("uq_notice_version", "organisation", "resource_key", "part", "ordinal", unique=True),
        sa.Index("ix_notice_status", "organisation", "status", "id"),
        sa.Index("ix_notice_source", "organisation", "source_id", "id"),
        _waiting_index("course_id"),
        _waiting_index("client_id"),
        _waiting_index("source_id"),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    source_id: str = Field(max_length=32)
    key: str = Field(max_length=64)
    body_hash: str = Field(max_length=64)
    type: str = Field(max_length=64)
    resource: str | None = Field(default=None, max_length=160)
    resource_key: str | None = Field(default=None, max_length=64)
    part: str = Field(default="", max_length=64)
    ordinal: int | None = None
    void: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    content_digest: str | None = Field(default=None, max_length=64)
    awaits_course: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    resource_version: str | None = Field(default=None, max_length=64)
    resource_at: dt.datetime | None = None
    received_at: dt.datetime
    status: str = Field(sa_type=one_of("notice_status", NOTICE_STATUSES))
    risk: bool
    client_id: str | None = Field(default=None, max_length=36)
    course_id: str | None = Field(default=None, max_length=36)
    seq: int | None = None
    about_seq: int | None = None
    body: bytes | None = None
    detail: bytes | None = None
    decided_by: str | None = Field(default=None, max_length=128)
    decided_at: dt.datetime | None = None


class FeedRow(SQLModel, table=True):
    """A FHIR subscription that notifies us: the digest of its reference, and the number of the last event received."""

    __tablename__ = "feed"

    organisation: str = Field(primary_key=True, max_length=64)
    source_id: str = Field(primary_key=True, max_length=32)
    subscription: str = Field(primary_key=True, max_length=64)
    last_event: int
    seen_at: dt.datetime


source = SourceRow.__table__  # type: ignore[attr-defined]
source_key = SourceKeyRow.__table__  # type: ignore[attr-defined]
notice = NoticeRow.__table__  # type: ignore[attr-defined]
feed = FeedRow.__table__  # type: ignore[attr-defined]
