"""Groups and the lines of their logs."""

import datetime as dt

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class GroupRow(SQLModel, table=True):
    """A group, pinned to a protocol. `version` is the seq of the last line of its log. The log is in the three tables below."""

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
    """A facilitator of a group. The rows of one seq are all facilitators from then on, until the next seq here."""

    __tablename__ = "group_facilitator"
    __table_args__ = (sa.Index("ix_group_facilitator_person", "organisation", "person", "group_id"),)

    organisation: str = Field(primary_key=True, max_length=64)
    group_id: str = Field(primary_key=True, max_length=36)
    seq: int = Field(primary_key=True)
    person: str = Field(primary_key=True, max_length=128)
    told_by: str = Field(max_length=128)
    told_at: dt.datetime


class GroupMemberRow(SQLModel, table=True):
    """A course joined or left a group. `nth` counts these lines of a course in all groups, so that it is in one group at a time."""

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
    """A session of a group as it was recorded. `told` is JSON: by course, the attendance and the entry or notice it resulted in."""

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
