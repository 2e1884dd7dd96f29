"""Entries, their sealed documents, and the answers kept under idempotency keys."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from ipt_workflow.store.schema.tables.columns import ROLES, one_of


class EntryRow(SQLModel, table=True):
    """One entry of a course's journal. `canonical` holds the hashed bytes; the other columns are for queries."""

    __tablename__ = "entry"
    __table_args__ = (
        sa.UniqueConstraint("organisation", "id"),
        sa.Index("ix_entry_recorded", "organisation", "recorded_at", "id"),
        sa.Index("ix_entry_person", "organisation", "person", "recorded_at", "id"),
        sa.Index("ix_entry_trigger", "organisation", "trigger", "recorded_at", "id"),
        sa.Index(
            "ix_entry_group_session",
            "organisation",
            "group_session",
            sqlite_where=sa.text("group_session IS NOT NULL"),
            postgresql_where=sa.text("group_session IS NOT NULL"),
        ),
    )

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    id: str = Field(max_length=36)
    trigger: str = Field(max_length=80)
    from_state: str | None = Field(default=None, max_length=64)
    to_state: str = Field(max_length=64)
    person: str = Field(max_length=128)
    role: str = Field(sa_type=one_of("entry_role", ROLES))
    via: str = Field(max_length=16)
    cosigned_by: str | None = Field(default=None, max_length=128)
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    protocol_digest: str = Field(max_length=64)
    data_digest: str = Field(max_length=64)
    prev_hash: str = Field(max_length=64)
    hash: str = Field(max_length=64)
    group_session: str | None = Field(default=None, max_length=36)
    canonical: bytes
    request_id: str | None = Field(default=None, max_length=64)  # of the request that wrote it; in no hash
    basis: str | None = Field(default=None, max_length=16)  # why the person might: the relation to the course; in no hash
    purpose: str | None = Field(default=None, max_length=16)  # of use; in no hash
    on_behalf_of: str | None = Field(default=None, max_length=128)  # the therapist for whom the person covered


class EntryDataRow(SQLModel, table=True):
    """The sealed text of an entry. Erasure empties `salt` and `sealed` together; no other change is allowed."""

    __tablename__ = "entry_data"

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    salt: str | None = Field(default=None, max_length=64)
    sealed: bytes | None = None


class IdempotencyRow(SQLModel, table=True):
    """Which entries a request with an idempotency key wrote, never their content. Valid for a day, and removed some time later.

    For a write to a group, `course_id` is the group's id, and both seqs are the group's version after the write.
    """

    __tablename__ = "idempotency"

    organisation: str = Field(primary_key=True, max_length=64)
    scope: str = Field(primary_key=True, max_length=64)
    body: str = Field(max_length=64)
    course_id: str = Field(max_length=36)
    first_seq: int
    last_seq: int
    expires_at: dt.datetime


entry = EntryRow.__table__  # type: ignore[attr-defined]
entry_data = EntryDataRow.__table__  # type: ignore[attr-defined]
idempotency = IdempotencyRow.__table__  # type: ignore[attr-defined]
