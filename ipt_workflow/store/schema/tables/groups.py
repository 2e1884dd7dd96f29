"""Groups and the lines of their logs."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class GroupRow(SQLModel, table=True):
    """A group, pinned to a protocol. `version` is the seq of the last line of its log, which lies in the three tables below."""

    __tablename__ = "therapy_group"

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    label: str = Field(max_length=64)
    protocol: str = Field(max_length=64)
    protocol_version: int
    version: int
    created_at: dt.datetime
    created_by: str = Field(max_length=128)


class GroupFacilitatorRow(SQLModel, table=True):
    """Who facilitates a group from a seq on: all rows of one seq together, until the next."""

    __tablename__ = "group_facilitator"
    __table_args__ = (sa.Index("ix_group_facilitator_person", "organisation", "person", "group_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    group_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    person: str = Field(primary_key=True, max_length=128)
    told_by: str = Field(max_length=128)
    told_at: dt.datetime


class GroupMemberRow(SQLModel, table=True):
    """A course joined a group, or left it. `nth` counts these lines of a course in whichever group, so that it is in one at a time."""

    __tablename__ = "group_member"
    __table_args__ = (sa.UniqueConstraint("organisation", "group_id", "seq"),)

    organisation: str = Field(primary_key=True, max_length=64)
    course_id: str = Field(primary_key=True, max_length=36)
    nth: int = Field(primary_key=True)
    group_id: str = Field(max_length=36)
    seq: int
    joined: bool
    at: dt.datetime
    reason: str | None = Field(default=None, max_length=24)
    told_by: str = Field(max_length=128)
    told_at: dt.datetime


class GroupSessionRow(SQLModel, table=True):
    """A session of a group as it was told. `told` is JSON: by course its attendance, and the entry or the notice that it became."""

    __tablename__ = "group_session"
    __table_args__ = (sa.UniqueConstraint("organisation", "group_id", "seq"),)

    organisation: str = Field(primary_key=True, max_length=64)
    id: str = Field(primary_key=True, max_length=36)
    group_id: str = Field(max_length=36)
    seq: int
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    recorded_by: str = Field(max_length=128)
    kind: str = Field(max_length=16)
    medium: str = Field(max_length=16)
    minutes: int | None = None
    scheduled_for: dt.datetime | None = None
    held: bool
    told: bytes


therapy_group = GroupRow.__table__  # type: ignore[attr-defined]
group_facilitator = GroupFacilitatorRow.__table__  # type: ignore[attr-defined]
group_member = GroupMemberRow.__table__  # type: ignore[attr-defined]
group_session = GroupSessionRow.__table__  # type: ignore[attr-defined]
